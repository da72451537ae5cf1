"""Who may ask what: the roles of MONAI Label's login, and the table of every route with the role that it asks for.

A role stands once, at its handler, as the type of a parameter. The table is read from the routes of the running server,
MONAI Label's own among them; `door` lets nobody past it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import Pattern
from typing import Annotated, Any

from fastapi import Depends, FastAPI, routing
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from starlette.routing import Mount, compile_path

from scaling_app.web.tokens import ClaimNames

USER = RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER)
ANNOTATOR = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)
ADMIN = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN)

AnyUser = Annotated[User, Depends(USER)]
Annotator = Annotated[User, Depends(ANNOTATOR)]
Admin = Annotated[User, Depends(ADMIN)]


def annotator_of(user: User) -> str | None:
    """The name of who is logged in; None where nobody has to, and only viewers have names."""
    return user.username if settings.MONAI_LABEL_AUTH_ENABLE else None


def claim_names() -> ClaimNames:
    """Where tokens say who somebody is, as MONAI Label's settings have it."""
    return ClaimNames(
        username=settings.MONAI_LABEL_AUTH_TOKEN_USERNAME,
        email=settings.MONAI_LABEL_AUTH_TOKEN_EMAIL,
        name=settings.MONAI_LABEL_AUTH_TOKEN_NAME,
        roles=settings.MONAI_LABEL_AUTH_TOKEN_ROLES,
        ranked=(
            settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
            settings.MONAI_LABEL_AUTH_ROLE_REVIEWER,
            settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
            settings.MONAI_LABEL_AUTH_ROLE_USER,
        ),
    )


EVERYBODY = ""
"""No role: whoever reaches the server."""

BESIDE: Mapping[tuple[str, str], str] = {
    ("GET", "/"): EVERYBODY,
    ("GET", "/docs"): EVERYBODY,
    ("GET", "/favicon.ico"): EVERYBODY,
    ("GET", "/openapi.json"): EVERYBODY,
    ("GET", "/static"): EVERYBODY,
    ("GET", "/auth/"): EVERYBODY,
    ("POST", "/auth/token"): EVERYBODY,
    ("GET", "/auth/token/valid"): settings.MONAI_LABEL_AUTH_ROLE_USER,
}
"""Routes whose handlers, which are MONAI Label's, name no role. They tell how to ask and how to log in, and nothing of the studies."""


@dataclass(frozen=True)
class Rule:
    """One route: its method, its address, and the role that it asks for; None where nobody said one."""

    method: str
    path: str
    role: str | None
    fits: Pattern[str]


class RouteTable:
    """Every route of a server, in the order in which it looks for one; without those that another stands before."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules: tuple[Rule, ...] = ()
        for rule in rules:
            if self.rule(rule.method, rule.path) is None:
                self.rules += (rule,)

    def rule(self, method: str, path: str) -> Rule | None:
        """The route that answers a request; None where none does."""
        return next((rule for rule in self.rules if rule.method == method and rule.fits.match(path)), None)


def table_of(server: FastAPI) -> RouteTable:
    """The routes that a server has now."""
    return RouteTable([rule for route in _flat(server.router.routes) for rule in _rules_of(route)])


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    """The routes with those of included routers, which newer FastAPI keeps apart."""
    contexts = getattr(routing, "iter_route_contexts", None)
    yield from routes if contexts is None else contexts(routes)


def _rules_of(route: Any) -> Iterator[Rule]:
    path = getattr(route, "path", None)
    if path is None:
        return
    mounted = isinstance(getattr(route, "original_route", route), Mount)
    role = _role_of(getattr(route, "dependant", None))
    plain = path.removeprefix(settings.MONAI_LABEL_API_STR)
    fits, *_ = compile_path(f"{path}/{{path:path}}" if mounted else path)
    methods = ("GET", "HEAD") if mounted else sorted(getattr(route, "methods", None) or ())
    for method in methods:
        told = BESIDE.get(("GET" if method == "HEAD" else method, plain)) if role is None else role
        yield Rule(method, path, told, fits)


def _role_of(dependant: Any) -> str | None:
    for needed in getattr(dependant, "dependencies", ()):
        if isinstance(needed.call, RBAC):
            return str(needed.call.roles)
    return None
