"""Every route asks for a role: that of the route it replaces, or a stricter one."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings

from scaling_app.monai_app import roles
from scaling_app.monai_app.routes.every import include_first, make_router

ROLES = {
    ("PUT", "/datastore/label"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/image"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/image/info"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/label/info"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("PUT", "/datastore/updatelabelinfo"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("GET", "/datastore/label"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("DELETE", "/datastore/label"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/datastore/image"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/datastore/"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("POST", "/activelearning/{strategy}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/infer/{model}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/infer/wsi/{model}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/infer/wsi_v2/{model}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/batch/infer/{model}"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("POST", "/train/{model}"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/train/"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("GET", "/datastore/dataset"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("GET", "/train/"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/train/"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("GET", "/scoring/"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/scoring/"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("POST", "/scoring/{method}"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("DELETE", "/scoring/"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("GET", "/batch/infer"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("DELETE", "/batch/infer"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("GET", "/logs/"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("GET", "/logs/gpu"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("HEAD", "/datastore/image"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("GET", "/ohif/{path:path}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("GET", "/proxy/dicom/{path:path}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("POST", "/proxy/dicom/{path:path}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("PUT", "/session/"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("GET", "/session/{session_id}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
    ("DELETE", "/session/{session_id}"): settings.MONAI_LABEL_AUTH_ROLE_USER,
}
STRICTER = {
    ("PUT", "/model/{model}"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("DELETE", "/model/{model}"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("POST", "/reload"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    ("POST", "/sufficiency/lease/{image:path}"): settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    ("GET", "/logs/names"): settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
}
"""MONAI Label describes the first two as an admin's and asks for an annotator; the third it grants everybody; the last two are ours."""


def test_every_route_asks_for_the_role_that_monai_label_asks_for():
    found = {}
    for route in make_router(SimpleNamespace(studies="/studies")).routes:
        (role,) = [d.call.roles for d in route.dependant.dependencies if isinstance(d.call, roles.RBAC)]
        found |= {(method, route.path): role for method in route.methods}
    assert found == ROLES | STRICTER


def test_the_roles_are_those_of_the_routes_they_replace():
    names = "activelearning batch_infer datastore infer logs ohif proxy scoring session train wsi_infer"
    stock = {}
    for name in names.split():
        for route in import_module(f"monailabel.endpoints.{name}").router.routes:
            roles = [d.call.roles for d in route.dependant.dependencies if hasattr(d.call, "roles")]
            stock |= {(method, route.path): roles[0] for method in route.methods if roles}
    assert {key: stock[key] for key in ROLES} == ROLES


def test_routes_included_first_win():
    server = FastAPI()
    stock, ours = APIRouter(), APIRouter()
    stock.add_api_route("/x", lambda: "stock", methods=["GET", "PUT"])
    ours.add_api_route("/x", lambda: "ours", methods=["PUT"])
    server.include_router(stock)
    include_first(server, ours)
    client = TestClient(server)
    assert (client.put("/x").json(), client.get("/x").json()) == ("ours", "stock")
