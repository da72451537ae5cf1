"""All routes of this app, and how they come before MONAI Label's."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from monailabel.config import settings

from scaling_app.monai_app import roles
from scaling_app.monai_app.routes.datastore import add_datastore_routes
from scaling_app.monai_app.routes.guards import add_guards
from scaling_app.monai_app.routes.lent_images import add_lending_routes
from scaling_app.monai_app.routes.predictions import add_prediction_routes
from scaling_app.monai_app.routes.readers import add_reader_routes, reader_name
from scaling_app.monai_app.routes.trainings import add_training_routes
from scaling_app.monai_app.served import Served
from scaling_app.service import routes as sufficiency_routes


def include_first(server: FastAPI, router: APIRouter) -> None:
    """Adds routes so that they win over those already there."""
    routes = server.router.routes
    before = len(routes)
    server.include_router(router, prefix=settings.MONAI_LABEL_API_STR)
    added = routes[before:]
    del routes[before:]
    routes[:0] = added


def add_all(server: FastAPI, app: Served) -> None:
    """Adds all routes of this app before MONAI Label's."""
    include_first(server, make_router(app))
    sufficiency = sufficiency_routes.make_router(
        app.keeper,
        app.open_studies.ledger,
        start_update=app.start_update,
        has_image=app.open_studies.has_image,
        user=roles.USER,
        annotator=roles.ANNOTATOR,
        admin=roles.ADMIN,
        training=app.training,
        name_of=reader_name,
    )
    include_first(server, sufficiency)


def make_router(app: Served) -> APIRouter:
    """The routes of this app that replace MONAI Label's."""
    router = APIRouter()
    add_datastore_routes(router, app)
    add_reader_routes(router, app)
    add_prediction_routes(router, app)
    add_training_routes(router, app)
    add_lending_routes(router, app)
    add_guards(router, app)
    return router
