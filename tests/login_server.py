"""A login server on loopback whose keys the test holds, so that it can sign whatever tokens it wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE = "monailabel-app"


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A pair of keys."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def jwk(key: rsa.RSAPrivateKey, name: str, *, private: bool = False) -> dict:
    """A key as login servers publish it."""
    told = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key if private else key.public_key()))
    told.pop("key_ops", None)
    return {**told, "kid": name, "use": "sig", "alg": "RS256"}


@dataclass
class LoginServer:
    """What it says of itself, and the keys that it publishes by their names.

    Attributes:
        asked: how often for the keys.
        silent: whether it gives no answer.
    """

    uri: str
    keys: dict[str, rsa.RSAPrivateKey]
    issuer: str = ""
    others: list[dict] = field(default_factory=list)
    asked: int = 0
    silent: bool = False

    def token(
        self,
        *,
        key: rsa.RSAPrivateKey | None = None,
        kid: str = "one",
        header: dict | None = None,
        **claims: object,
    ) -> str:
        """A good token of an annotator, but for what is said otherwise; a claim that is None is left out."""
        usual = {
            "iss": self.uri,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 3600,
            "iat": int(time.time()),
            "sub": "7",
            "preferred_username": "reader",
            "realm_access": {"roles": ["monailabel-annotator"]},
        }
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(
            said, key or self.keys[kid], algorithm="RS256", headers={"kid": kid, **(header or {})}
        )

    def answer(self, path: str) -> dict | None:
        """What it says at an address."""
        if path == "/.well-known/openid-configuration":
            named = {"issuer": self.issuer or self.uri, "jwks_uri": f"{self.uri}/jwks"}
            return {**named, "token_endpoint": f"{self.uri}/token"}
        if path == "/jwks":
            self.asked += 1
            return {"keys": [*(jwk(key, name) for name, key in self.keys.items()), *self.others]}
        return None


@contextmanager
def running_login_server(key: rsa.RSAPrivateKey | None = None) -> Iterator[LoginServer]:
    """One with one key, `one`."""
    told: list[LoginServer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = None if told[0].silent else told[0].answer(self.path)
            self.send_response(503 if told[0].silent else 404 if said is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(said or {}).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.append(LoginServer(f"http://127.0.0.1:{http.server_port}", {"one": key or new_key()}))
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield told[0]
    finally:
        http.shutdown()
        http.server_close()
