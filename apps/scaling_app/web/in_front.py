"""What stands before everything that a running server answers with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware


def stand_in_front(server: FastAPI, kind: Any, **options: Any) -> None:
    """Puts a middleware before those that a server has, whether or not it has answered yet."""
    server.user_middleware = [Middleware(kind, **options), *server.user_middleware]
    build_anew(server)


def build_anew(server: FastAPI) -> None:
    """Has what a server was told lately hold from the next request on."""
    server.middleware_stack = None
