"""Who may do what, and what is refused before MONAI Label sees it."""

from __future__ import annotations

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


@pytest.mark.parametrize("raw", ["{", "[1]", '"text"'])
def test_params_that_are_no_object_are_refused(raw):
    with pytest.raises(HTTPException) as refused:
        routes.read_params(raw)
    assert refused.value.status_code == 422
    assert routes.read_params("") == {}
