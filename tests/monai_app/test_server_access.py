"""The login takes good tokens and no others; pages of other sites get no permission to read."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings
from monailabel.endpoints.user import auth
from starlette.middleware.cors import CORSMiddleware

from scaling_app.monai_app.server_access import accept_tokens, keep_other_sites_out


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def realm(key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    answer = json.dumps({"public_key": base64.b64encode(der).decode()}).encode()

    class Realm(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Realm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_REALM_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(auth, "jwt", auth.jwt)
    accept_tokens()
    yield
    server.shutdown()


def claims(**more: object) -> dict:
    roles = {"realm_access": {"roles": ["monailabel-annotator"]}}
    return {"preferred_username": "reader", "exp": time.time() + 60, **roles, **more}


def test_a_token_of_the_realm_is_accepted_with_its_roles(realm: None, key: rsa.RSAPrivateKey) -> None:
    user = auth.from_token(jwt.encode(claims(), key, algorithm="RS256"))
    assert (user.username, user.roles) == ("reader", ["monailabel-annotator"])


def test_other_tokens_are_refused(realm: None, key: rsa.RSAPrivateKey) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused = [
        jwt.encode(claims(), stranger, algorithm="RS256"),
        jwt.encode(claims(exp=time.time() - 60), key, algorithm="RS256"),
        jwt.encode(claims(), "a secret of at least thirty-two bytes", algorithm="HS256"),
        jwt.encode(claims(), None, algorithm="none"),
    ]
    for token in refused:
        with pytest.raises(jwt.InvalidTokenError):
            auth.from_token(token)


def test_pages_of_other_sites_get_no_permission_to_read() -> None:
    server = FastAPI()
    server.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    server.get("/info/")(lambda: {"name": "a server"})
    client = TestClient(server)
    asked = {"headers": {"Origin": "https://elsewhere.example"}}
    assert "access-control-allow-origin" in client.get("/info/", **asked).headers
    keep_other_sites_out(server)
    answer = client.get("/info/", **asked)
    assert answer.json() == {"name": "a server"}
    assert "access-control-allow-origin" not in answer.headers
