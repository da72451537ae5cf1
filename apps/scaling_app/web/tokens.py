"""Tokens of a login server: who sent one, if it is good.

MONAI Label's own takes a token without an end, of any issuer and for anybody, and fails where a claim is missing. Here the rules
of RFC 8725 and RFC 9068 hold. The login server's description (OpenID Connect Discovery) names its issuer and its keys.
PyJWT does the rest: MONAI Label needs it anyway, it is kept, and its client for keys asks again for one that it does not
know, but not more often than it should. python-jose and joserfc, Authlib's part for tokens, fetch no keys.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from jwt import InvalidTokenError, PyJWKClient, PyJWKClientConnectionError, PyJWKClientError
from jwt.exceptions import PyJWKSetError

from scaling_app.web.addresses import is_loopback

logger = logging.getLogger(__name__)

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Never `none`, and none with a shared secret: the public key would be that secret (RFC 8725, 3.1)."""

SKEW_SECONDS = 30
"""How far the clocks of this computer and of the login server may be apart."""

KEYS_SECONDS = 300.0
"""How long the keys hold; a key that was taken back lives on so long."""

AGAIN_SECONDS = 30.0
"""A key that is not known is asked for at most so often."""

RETRY_SECONDS = 5.0
"""How long nobody asks a login server that gave no answer."""

MOST_BYTES = 16 << 10
"""Of a token."""

_OWN_AUDIENCE = "account"
"""What Keycloak writes as the audience where it was told of none: its own page."""

_OF_OTHER_TOKENS = ("at_hash", "c_hash", "s_hash", "events")
"""Claims of ID and logout tokens, which are for whom they were sent to, and open no door."""

_KINDS = ("jwt", "at+jwt", "application/at+jwt")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_NAME = 200


class LoginUnavailableError(Exception):
    """The login server gave no usable answer; the sentence is for people."""


@dataclass(frozen=True)
class Person:
    """Who asks: the name that counts, what a token says beside it, and all roles."""

    username: str
    email: str | None
    name: str | None
    roles: list[str]


@dataclass(frozen=True)
class ClaimNames:
    """Where tokens say who somebody is.

    Attributes:
        username: the claim with the name that counts; `sub` takes its place.
        roles: the claim with the roles; `#` leads into it.
        ranked: the roles, the one that contains all others first.
    """

    username: str
    email: str
    name: str
    roles: str
    ranked: tuple[str, ...]


class Realm:
    """A login server, as its tokens name it.

    Args:
        uri: its issuer; a Keycloak realm's address.
        client_id: the audience that a token must be for.
        names: where its tokens say who somebody is.
        timeout: seconds until the login server must have answered.
    """

    def __init__(self, uri: str, client_id: str, names: ClaimNames, *, timeout: float) -> None:
        self.uri, self.client_id, self.timeout = uri.rstrip("/"), client_id, timeout
        self.names = names
        self._described: Mapping[str, Any] | None = None
        self._keys: _Keys | None = None
        self._not_before = 0.0
        self._lock = threading.Lock()

    def is_at_hand(self, token: str) -> bool:
        """Whether the key of a token is known, so that looking at it asks nobody."""
        try:
            wanted = jwt.get_unverified_header(token).get("kid")
        except InvalidTokenError:
            return True
        return self._keys is not None and self._keys.known(wanted) is not None

    def person(self, token: str) -> Person:
        """Who a token is from, with all roles that the named ones contain.

        Raises:
            InvalidTokenError: it is not good; the message holds nothing of it.
            LoginUnavailableError: the login server does not say its keys.
        """
        if len(token) > MOST_BYTES:
            raise InvalidTokenError("too long")
        try:
            return self._person(token)
        except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise InvalidTokenError("of no form that a token has") from error  # a list where a word has to be

    def _person(self, token: str) -> Person:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise InvalidTokenError("not signed as it must be")
        if str(header.get("typ") or "jwt").lower() not in _KINDS:
            raise InvalidTokenError("not an access token")
        described = self.described()
        try:
            claims = jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=sorted(ALGORITHMS),
                issuer=described["issuer"],
                leeway=SKEW_SECONDS,
                options={"require": ["exp", "iss"], "verify_aud": False, "enforce_minimum_key_length": True},
            )
        except jwt.InvalidKeyError as error:
            raise InvalidTokenError("signed with a key that is too short") from error
        self._require_for_us(claims)
        return person_of(claims, self.names)

    def sign_in(self, name: str, password: str) -> dict[str, str]:
        """A token for a name and its password, as `access_token` and `token_type`.

        Raises:
            PermissionError: the login server does not know them.
            LoginUnavailableError: it gave no usable answer.
        """
        form = {"client_id": self.client_id, "username": name, "password": password, "grant_type": "password"}
        try:
            answer = requests.post(
                self.described().get("token_endpoint", ""), form, timeout=self.timeout, allow_redirects=False
            )
            if 400 <= answer.status_code < 500:
                raise PermissionError("The name or the password is wrong.")
            answer.raise_for_status()
            told = answer.json()
            return {
                "access_token": str(told["access_token"]),
                "token_type": str(told.get("token_type", "Bearer")),
            }
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._unavailable(error) from None  # the request, with the password, is in the traceback

    def described(self) -> Mapping[str, Any]:
        """What the login server says of itself: its `issuer`, `jwks_uri`, `token_endpoint`.

        Raises:
            LoginUnavailableError: nothing, or that it is another.
        """
        with self._lock:
            if self._described is None:
                if time.monotonic() < self._not_before:
                    raise LoginUnavailableError("The login server gave no answer; try again later.")
                self._described = self._describe()
                self._keys = _Keys(self._described["jwks_uri"], self.timeout)
            return self._described

    def _describe(self) -> Mapping[str, Any]:
        try:
            answer = requests.get(
                f"{self.uri}/.well-known/openid-configuration", timeout=self.timeout, allow_redirects=False
            )
            answer.raise_for_status()
            told = answer.json()
            issuer, keys = str(told["issuer"]), str(told["jwks_uri"])
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise self._unavailable(error) from error
        if issuer.rstrip("/") != self.uri:  # OpenID Connect Discovery, 4.3
            self._not_before = time.monotonic() + RETRY_SECONDS
            logger.error("The login server calls itself %s: set MONAI_LABEL_AUTH_REALM_URI to that", issuer)
            raise LoginUnavailableError(
                "The login server is another than this server was told; ask its operator."
            )
        return {**told, "issuer": issuer, "jwks_uri": keys}

    def _unavailable(self, error: Exception) -> LoginUnavailableError:
        self._not_before = time.monotonic() + RETRY_SECONDS
        logger.error("The login server %s gave no usable answer (%s)", self.uri, type(error).__name__)
        return LoginUnavailableError("The login server gave no answer; try again later.")

    def _key(self, name: object) -> jwt.PyJWK:
        assert self._keys is not None
        try:
            # without waiting for whoever asks for another
            return self._keys.known(name) or self._keys.get_signing_key(str(name))
        except PyJWKClientConnectionError as error:
            raise self._unavailable(error) from error
        except (PyJWKClientError, PyJWKSetError) as error:
            raise InvalidTokenError("signed with a key that is not the login server's") from error

    def _require_for_us(self, claims: Mapping[str, Any]) -> None:
        """Refuses a token that is for somebody else, or of another kind."""
        if any(name in claims for name in _OF_OTHER_TOKENS) or str(claims.get("typ", "Bearer")) != "Bearer":
            raise InvalidTokenError("not an access token")
        named = claims.get("aud")
        audience = [named] if isinstance(named, str) else named
        if isinstance(audience, list) and self.client_id in audience:
            return
        if audience == [_OWN_AUDIENCE] and claims.get("azp") == self.client_id:
            return
        raise InvalidTokenError("for another server")


class _Keys(PyJWKClient):
    """The login server's public keys. A server that gives none is left in peace for a while."""

    def __init__(self, uri: str, timeout: float) -> None:
        super().__init__(uri, lifespan=KEYS_SECONDS, timeout=timeout, cooldown_duration=AGAIN_SECONDS)
        self._not_before = 0.0

    def known(self, name: object) -> jwt.PyJWK | None:
        """A key that is at hand and fresh."""
        held = self.jwk_set_cache.get() if self.jwk_set_cache else None
        signing = [key for key in held.keys if key.public_key_use in ("sig", None)] if held else []
        return next((key for key in signing if key.key_id and key.key_id == name), None)

    def fetch_data(self) -> Any:
        """The keys; those with a shared secret are none."""
        if time.monotonic() < self._not_before:
            raise PyJWKClientConnectionError("asked a moment ago")
        try:
            told = super().fetch_data()
        except (PyJWKClientError, PyJWKSetError, ValueError) as error:
            self._not_before = time.monotonic() + RETRY_SECONDS
            raise PyJWKClientConnectionError("no keys") from error
        public = [key for key in told.get("keys", ()) if isinstance(key, dict) and key.get("kty") != "oct"]
        return {**told, "keys": public}


def person_of(claims: Mapping[str, Any], names: ClaimNames) -> Person:
    """The person whom a token's claims name, with the roles that theirs contain; what is no role is passed over.

    Raises:
        InvalidTokenError: they name nobody.
    """
    username = _text(claims.get(names.username)) or _text(claims.get("sub"))
    if not username:
        raise InvalidTokenError("it names nobody")
    found: Any = claims
    for step in names.roles.split("#"):
        found = found.get(step) if isinstance(found, Mapping) else None
    roles = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    ranks = [names.ranked.index(role) for role in roles if isinstance(role, str) and role in names.ranked]
    return Person(
        username=username,
        email=_text(claims.get(names.email)) or None,
        name=_text(claims.get(names.name)) or None,
        roles=list(names.ranked[min(ranks) :]) if ranks else [],
    )


def is_readable_on_its_way(uri: str) -> bool:
    """Whether somebody between here and the login server could put other keys in place of its own."""
    parts = urlsplit(uri)
    return parts.scheme != "https" and not (
        parts.hostname == "localhost" or is_loopback(parts.hostname or "")
    )


def _text(value: object) -> str:
    """A short line of text; empty where it is none."""
    return _CONTROL.sub(" ", value)[:_LONGEST_NAME].strip() if isinstance(value, str) else ""
