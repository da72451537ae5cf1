"""The login takes good tokens and no others; pages of other sites get no permission to read."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def served() -> Callable[..., TestClient]:
    """A server that reads and trains, reached over loopback."""

    def make(**options: object) -> TestClient:
        server = FastAPI()
        server.get("/info/")(lambda: "read")
        server.post("/train/")(lambda: "trained")
        keep_other_sites_out(server, **options)
        return TestClient(server, base_url="http://127.0.0.1:8000")

    return make


OF_ANOTHER_SITE = [
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8000"},
]
OWN = [
    {},  # Slicer and scripts
    {"Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://labels.example"},
    {"Origin": "https://labels.example", "X-Forwarded-Host": "labels.example"},
]


def test_pages_of_other_sites_start_nothing_and_own_pages_do(served) -> None:
    client = served()
    assert {client.post("/train/", headers=sent).status_code for sent in OF_ANOTHER_SITE} == {403}
    assert {client.post("/train/", headers=sent).status_code for sent in OWN} == {200}


def test_a_picture_in_another_site_s_page_is_not_served_but_a_link_is_followed(served) -> None:
    client, elsewhere = served(), {"Sec-Fetch-Site": "cross-site"}
    assert client.get("/info/", headers={**elsewhere, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert client.get("/info/", headers={**elsewhere, "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_a_name_that_was_made_to_lead_here_is_refused_unless_it_is_known(served, monkeypatch) -> None:
    def status(client: TestClient, host: str) -> int:
        return client.get("/info/", headers={"Host": host}).status_code

    known = {"localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5"}
    assert {status(served(), host) for host in known} == {200}
    refused = served().get("/info/", headers={"Host": "evil.example:8000"})
    assert refused.status_code == 403 and "--conf hosts evil.example" in refused.json()["detail"]
    assert status(served(hosts=["labels.example"]), "labels.example") == 200
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)  # then the token decides
    assert status(served(), "labels.example") == 200
