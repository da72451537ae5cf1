"""The door of the server: who asks, whether they may, and how often. It stands before every route and reads no body.

Each route stands in `roles.table_of`; one that names no role is refused, with and without a login. MONAI Label's own checks
follow behind it and see the same person.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict

import anyio
from fastapi import FastAPI, Request
from jwt import ExpiredSignatureError, InvalidTokenError
from monailabel.config import settings
from monailabel.endpoints.user import auth
from monailabel.endpoints.user.auth import User
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scaling_app.monai_app import roles
from scaling_app.web.addresses import client_at, is_loopback
from scaling_app.web.in_front import stand_in_front
from scaling_app.web.places import client_of, note_client
from scaling_app.web.rates import Rate
from scaling_app.web.tokens import LoginUnavailableError, Realm, is_readable_on_its_way
from scaling_app.web.unwanted import thrown_away

logger = logging.getLogger(__name__)

READS = (600, 50.0)
"""Requests that change nothing, of one client: at once, and a second after that. A viewer fetches a series in hundreds of pieces."""

CHANGES = (200, 10.0)
"""All others."""

WRONG_TOKENS = (20, 1 / 3)
"""From one address. Good tokens from there, as of the others in a house with one address, are taken on."""

PASSWORDS = (10, 1 / 6)
"""Tries to log in, from one address."""

_PERSON = "scaling_app.person"
_LOOKING = 4
"""Tokens at once whose key has to be asked for."""


def stand_before(server: FastAPI) -> None:
    """Puts the door before all routes that a server has."""
    realm = None
    if settings.MONAI_LABEL_AUTH_ENABLE:
        realm = Realm(
            settings.MONAI_LABEL_AUTH_REALM_URI,
            settings.MONAI_LABEL_AUTH_CLIENT_ID,
            roles.claim_names(),
            timeout=settings.MONAI_LABEL_AUTH_TIMEOUT,
        )
        server.state.realm = realm
        if is_readable_on_its_way(realm.uri):
            logger.warning(
                "MONAI_LABEL_AUTH_REALM_URI is not https: whoever can change what is sent to this computer can log in "
                "as anybody"
            )
    table = roles.table_of(server)
    for rule in table.rules:
        if rule.role is None:
            logger.error("%s %s names no role, and is refused", rule.method, rule.path)
    stand_in_front(server, _Door, table=table, realm=realm)
    server.dependency_overrides[auth.get_current_user] = _person


def _person(request: Request) -> User:
    """Who was let in, for the handlers."""
    return request.scope[_PERSON]


class _RefusedError(Exception):
    """An answer instead of the route's."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})


class _Door:
    def __init__(self, app: ASGIApp, table: roles.RouteTable, realm: Realm | None) -> None:
        self.app, self.table, self.realm = app, table, realm
        self._reads, self._changes = Rate(*READS), Rate(*CHANGES)
        self._wrong, self._passwords = Rate(*WRONG_TOKENS), Rate(*PASSWORDS)
        self._looking: anyio.CapacityLimiter | None = None
        self._says_who_is_behind = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # no route is one
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            scope[_PERSON] = await self._let_in(scope)
        except _RefusedError as refusal:
            whole = await thrown_away(scope, receive)
            headers = refusal.headers if whole else {**refusal.headers, "Connection": "close"}
            await JSONResponse({"detail": refusal.sentence}, refusal.status, headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _let_in(self, scope: Scope) -> User:
        """Who asks.

        Raises:
            _RefusedError: 401, 403, 429 or 503.
        """
        self._warn_of_one_for_all(scope)
        rule = self.table.rule(scope["method"], get_route_path(scope))
        # what is not there is told to those alone who may look around
        wanted = settings.MONAI_LABEL_AUTH_ROLE_USER if rule is None else rule.role
        address = client_at((scope.get("client") or ("",))[0])
        if wanted is None:
            raise _RefusedError(403, "This address is open to nobody.")
        if self.realm is None:
            if not is_loopback(
                (scope.get("client") or ("",))[0]
            ):  # only others: who is on this computer needs no server
                self._count(scope, address)
            return auth.DEFAULT_USER
        if wanted == roles.EVERYBODY:
            self._count(scope, address)
            if rule is not None and rule.method == "POST":
                _require(self._passwords.wait(address), "Too many tries to log in; wait a little.")
            return User(username="", roles=[])
        person = await self._known(scope, address)
        note_client(scope, ("person", person.username))
        self._count(scope, client_of(scope))
        if wanted not in person.roles:
            raise _RefusedError(
                403,
                f"This account may not do this: it needs the role {wanted}, or one above it.",
                {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
            )
        return person

    def _warn_of_one_for_all(self, scope: Scope) -> None:
        """Says once that a web server in front is not believed: whoever comes through it shares one client's limits."""
        if not self._says_who_is_behind:
            return
        address, named = (scope.get("client") or ("",))[0], Headers(scope=scope).getlist("x-forwarded-for")
        if named and address not in ",".join(named):  # else uvicorn has taken it from there
            self._says_who_is_behind = False
            logger.warning(
                "Requests come through a web server at %s, whose word is not taken for who asks: all of them count as one "
                "client. If it is yours, start the server with FORWARDED_ALLOW_IPS=%s",
                address,
                address,
            )

    async def _known(self, scope: Scope, address: str) -> User:
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            self._count(scope, address)
            raise _RefusedError(
                401, "The server wants to know who you are: log in.", {"WWW-Authenticate": "Bearer"}
            )
        try:
            return await self._looked_at(token)
        except LoginUnavailableError as error:
            raise _RefusedError(503, str(error), {"Retry-After": "10"}) from error
        except InvalidTokenError as error:
            logger.info("A token was refused: %s", type(error).__name__)
            _require(
                self._wrong.wait(address), "Too many wrong tokens came from your address; wait a little."
            )
            why = "has run out" if isinstance(error, ExpiredSignatureError) else "is none of this server's"
            raise _RefusedError(
                401, f"The token {why}: log in again.", {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            ) from error

    async def _looked_at(self, token: str) -> User:
        assert self.realm is not None
        if self.realm.is_at_hand(token):
            return User(**asdict(self.realm.person(token)))
        # the login server may be slow: whose key is known is not kept waiting, nor are the threads of the routes
        self._looking = self._looking or anyio.CapacityLimiter(_LOOKING)
        person = await anyio.to_thread.run_sync(self.realm.person, token, limiter=self._looking)
        return User(**asdict(person))

    def _count(self, scope: Scope, client: object) -> None:
        rate = self._reads if scope["method"] in ("GET", "HEAD", "OPTIONS") else self._changes
        _require(rate.wait(client), "You ask too often; wait a little.")


def _require(seconds: float, sentence: str) -> None:
    if seconds > 0:
        raise _RefusedError(429, sentence, {"Retry-After": str(math.ceil(seconds))})
