"""Who may do what, and what is refused before MONAI Label sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from monailabel.config import settings

from scaling_app.monai_app import routes

ROLES = {
    ("PUT", "/datastore/label"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/image"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("DELETE", "/datastore/label"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/datastore/image"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/datastore/"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("POST", "/activelearning/{strategy}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/infer/{model}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/train/{model}"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/train/"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
}


def test_every_route_asks_for_the_role_that_monai_label_asks_for():
    found = {}
    for route in routes.make_router(None).routes:
        (role,) = [d.call.roles for d in route.dependant.dependencies if isinstance(d.call, routes.RBAC)]
        found |= {(method, route.path): role for method in route.methods}
    assert found == ROLES


def test_the_roles_are_those_of_the_routes_they_replace():
    from monailabel.endpoints import activelearning, datastore, infer, train

    stock = {}
    for router in (activelearning.router, datastore.router, infer.router, train.router):
        for route in router.routes:
            roles = [d.call.roles for d in route.dependant.dependencies if hasattr(d.call, "roles")]
            stock |= {(method, route.path): roles[0] for method in route.methods if roles}
    assert {key: stock[key] for key in ROLES} == ROLES


def test_routes_included_first_win():
    server = FastAPI()
    stock, ours = routes.APIRouter(), routes.APIRouter()
    stock.add_api_route("/x", lambda: "stock", methods=["GET", "PUT"])
    ours.add_api_route("/x", lambda: "ours", methods=["PUT"])
    server.include_router(stock)
    routes.include_first(server, ours)
    client = TestClient(server)
    assert (client.put("/x").json(), client.get("/x").json()) == ("ours", "stock")


@pytest.fixture
def client_of() -> Callable[..., TestClient]:
    """The routes over a desk, with nobody logged in."""

    def make(desk) -> TestClient:
        app = SimpleNamespace(
            session=desk.session,
            datastore=lambda: desk.session.datastore,
            take_stock=desk.book.take_stock,
            take_label=lambda image, path, *_: {"image": image, "kind": path.suffix},
            on_save_label=lambda *_: {},
            model_names=lambda: ["segmentation"],
        )
        server = FastAPI()
        server.include_router(routes.make_router(app))
        return TestClient(server)

    return make


def files_under(folder: Path) -> set[Path]:
    """The files there, without the datastore's own."""
    return {
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "datastore"))
    }


@pytest.mark.parametrize(
    "name", ["../../../escaped", "/tmp/escaped", "a/b", "..", ".hidden", "a\\b", "a\0", "x" * 201, " "]
)
def test_no_name_that_a_client_gives_leads_out_of_the_datastore(desk_of, client_of, tmp_path, name):
    desk = desk_of(1)
    client, before = client_of(desk), files_under(tmp_path)
    image, label = desk.session.image_path("synthetic_000"), desk.labels["synthetic_000"]
    known = {"image": "synthetic_000"}
    answers = [
        client.put(
            "/datastore/label",
            params={**known, "tag": name},
            files={"label": (label.name, label.read_bytes())},
        ),
        client.put(
            "/datastore/image", params={"image": name}, files={"file": (image.name, image.read_bytes())}
        ),
        client.delete("/datastore/label", params={"id": "synthetic_000", "tag": name}),
        client.post("/infer/segmentation", params=known, data={"params": json.dumps({"label_tag": name})}),
    ]
    for answer in answers:
        assert answer.status_code == 422 and "cannot be the name of the" in answer.json()["detail"]
    assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["Patient 07 (T1)", "1.2.840.113619", "sub-01_T1w+c", "Müller", "_x", "左_01"]
)
def test_names_as_real_data_sets_have_them_are_taken(desk_of, client_of, tmp_path, name):
    desk = desk_of(1)
    image = desk.session.image_path("synthetic_000")
    answer = client_of(desk).put(
        "/datastore/image", params={"image": name}, files={"file": (image.name, image.read_bytes())}
    )
    assert answer.json() == {"image": name} and desk.session.image_path(name).parent == image.parent


def test_an_image_that_is_there_is_not_replaced(desk_of, client_of):
    desk = desk_of(2)
    desk.submit("synthetic_000")
    other = desk.session.image_path("synthetic_001").read_bytes()
    answer = client_of(desk).put(
        "/datastore/image", params={"image": "synthetic_000"}, files={"file": ("x.nii.gz", other)}
    )
    assert answer.status_code == 409 and "another name" in answer.json()["detail"]
    assert desk.session.has_label("synthetic_000")
    assert desk.session.image_path("synthetic_000").read_bytes() != other


@pytest.mark.parametrize(("tag", "file"), [("final", "x.sh"), ("original", "x.sh"), ("original", "x.nii.gz")])
def test_a_label_of_a_kind_that_is_not_read_is_refused(desk_of, client_of, tag, file):
    desk = desk_of(1)
    params, files = {"image": "synthetic_000", "tag": tag}, {"label": (file, b"#!/bin/sh")}
    answer = client_of(desk).put("/datastore/label", params=params, files=files)
    assert answer.status_code == 422 and not desk.session.has_label("synthetic_000", tag)


def test_a_label_with_another_tag_is_stored_and_deleted_again(desk_of, client_of):
    desk = desk_of(1)
    client, label = client_of(desk), desk.labels["synthetic_000"]
    put = client.put(
        "/datastore/label",
        params={"image": "synthetic_000", "tag": "original"},
        files={"label": (label.name, label.read_bytes())},
    )
    assert put.status_code == 200 and desk.session.has_label("synthetic_000", "original")
    answer = client.delete("/datastore/label", params={"id": "synthetic_000", "tag": "nope"})
    assert answer.status_code == 404 and "no label 'nope'" in answer.json()["detail"]


def test_params_cannot_name_another_image_than_the_address(desk_of, client_of):
    answer = client_of(desk_of(1)).post(
        "/infer/segmentation", params={"image": "synthetic_000"}, data={"params": '{"image": "/etc/passwd"}'}
    )
    assert answer.status_code == 422 and "?image=" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["/datastore/image", "/datastore/"])
def test_deleting_an_image_that_is_not_there_says_so(desk_of, client_of, address):
    answer = client_of(desk_of(1)).delete(address, params={"id": "ghost"})
    assert answer.status_code == 404 and "ghost" in answer.json()["detail"]


@pytest.mark.parametrize("raw", ["{", "[1]", '"text"', '{"client_id": "\\ud800"}'])
def test_params_that_are_no_object_are_refused(raw):
    with pytest.raises(HTTPException) as refused:
        routes.read_params(raw)
    assert refused.value.status_code == 422
    assert routes.read_params("") == {}
