"""Nobody gets past the door without the role that the route asks for, or more often than is good for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings

from scaling_app.monai_app import door, roles
from scaling_app.monai_app.roles import Admin, Annotator, AnyUser
from scaling_app.web import addresses, rates
from tests.login_server import LoginServer, new_key, running_login_server

KEY = new_key()
ELSEWHERE = "192.0.2.7"


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoginServer]:
    with running_login_server(KEY) as running:
        monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
        monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_REALM_URI", running.uri)
        yield running


@pytest.fixture
def served() -> Callable[..., TestClient]:
    """A server with a route for each role, and one that names none, asked from an address."""

    def make(address: str = ELSEWHERE) -> TestClient:
        server = FastAPI(redoc_url=None, swagger_ui_oauth2_redirect_url=None)
        server.get("/info/")(lambda: "how to ask")

        @server.get("/user")
        def of_a_user(user: AnyUser) -> str:
            return user.username

        @server.put("/label")
        async def of_an_annotator(user: Annotator) -> str:
            return user.username

        @server.post("/train/{model}")
        def of_an_admin(model: str, user: Admin) -> str:
            return model

        server.post("/auth/token")(lambda: "a token")
        door.stand_before(server)
        return TestClient(server, client=(address, 1))

    return make


def bearer(token: str) -> dict:
    return {"headers": {"Authorization": f"Bearer {token}"}}


ASKED = (("GET", "/user"), ("PUT", "/label"), ("POST", "/train/x"))


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        (None, [403, 403, 403]),
        ("monailabel-user", [200, 403, 403]),
        ("monailabel-annotator", [200, 200, 403]),
        ("monailabel-reviewer", [200, 200, 403]),
        ("monailabel-admin", [200, 200, 200]),
    ],
)
def test_each_role_gets_as_far_as_it_goes(login: LoginServer, served, role, statuses) -> None:
    client, token = served(), bearer(login.token(realm_access={"roles": [role]} if role else None))
    assert [client.request(*asked, **token).status_code for asked in ASKED] == statuses
    assert {client.request(*asked).status_code for asked in ASKED} == {401}
    refused = client.put("/label", **bearer("x"))
    assert refused.status_code == 401 and "invalid_token" in refused.headers["www-authenticate"]


def test_a_route_that_names_no_role_is_open_to_nobody(
    login: LoginServer, served, monkeypatch, caplog
) -> None:
    admin = bearer(login.token(realm_access={"roles": ["monailabel-admin"]}))
    assert served().get("/info/", **admin).status_code == 403
    assert "GET /info/ names no role" in caplog.text
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", False)
    client = served()
    assert client.get("/info/").status_code == 403 and client.put("/label").json() == "admin"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "//user", "/user/", "/USER", "/%75ser/../train/x", "/user%2f..", "/label/%00", "/static"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "TRACE", "BREW"])
def test_what_is_not_there_is_told_to_nobody_who_has_not_logged_in(
    login: LoginServer, served, method, path
) -> None:
    assert served().request(method, path, follow_redirects=False).status_code == 401


def test_a_token_anywhere_but_in_its_header_is_none(login: LoginServer, served) -> None:
    client, token = served(), login.token()
    assert client.get("/user", params={"access_token": token, "token": token}).status_code == 401
    assert client.get("/user", cookies={"token": token}).status_code == 401
    for words in (f"Basic {token}", f"Bearer{token}", "Bearer", f"Token {token}", token):
        assert client.get("/user", headers={"Authorization": words}).status_code == 401
    assert client.get("/user", headers={"Authorization": f"bearer  {token}"}).json() == "reader"


def test_a_body_is_not_looked_at_before_its_sender_is(login: LoginServer, served) -> None:
    """A label on its way when the token runs out: the answer is read all the same."""
    client = served()
    for content in (b"no json {", b"x" * (3 << 20)):
        assert client.post("/train/x", content=content).status_code == 401


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow test is not forgiven for being slow."""
    for name in ("READS", "CHANGES", "WRONG_TOKENS", "PASSWORDS"):
        monkeypatch.setattr(door, name, (5, 0.01))


def test_wrong_tokens_are_limited_and_good_ones_from_the_same_house_are_not(
    login: LoginServer, served, strict
) -> None:
    client = served()
    answers = [client.get("/user", **bearer("wrong")) for _ in range(10)]
    assert [answer.status_code for answer in answers[-6:]] == [401] + [429] * 5
    assert 90 <= int(answers[-1].headers["retry-after"]) <= 100
    assert client.get("/user", **bearer(login.token())).status_code == 200


def test_passwords_cannot_be_tried_through(login: LoginServer, served, strict) -> None:
    client = served()
    assert [client.post("/auth/token").status_code for _ in range(7)] == [200] * 5 + [429] * 2


def test_one_client_is_limited_and_the_others_are_not(login: LoginServer, served, strict) -> None:
    client, token, others = served(), bearer(login.token()), bearer(login.token(preferred_username="other"))
    assert [client.put("/label", **token).status_code for _ in range(7)] == [200] * 5 + [429] * 2
    assert client.put("/label", **others).status_code == 200, (
        "a person, and not the address that a house shares"
    )
    assert client.get("/user", **token).status_code == 200, "reading goes on"


def test_without_a_login_other_computers_are_limited_and_programs_of_this_one_are_not(served, strict) -> None:
    here, there = served("127.0.0.1"), served()
    for client, last in ((here, 200), (there, 429)):
        assert [client.put("/label").status_code for _ in range(6)][-1] == last


def test_what_is_kept_of_clients_is_bounded_and_forgotten() -> None:
    moment = [0.0]
    rate = rates.Rate(2, 1.0, clock=lambda: moment[0])
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 1.0]
    for number in range(3 * rates.MOST_CLIENTS):
        rate.wait(number)
    assert len(rate._full_until) == rates.MOST_CLIENTS
    moment[0] += 10
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 1.0] and len(rate._full_until) == 1


def test_a_client_of_the_new_internet_is_its_network() -> None:
    assert (
        addresses.client_at("2001:db8::1")
        == addresses.client_at("2001:db8::ffff:2")
        != addresses.client_at("2001:db9::1")
    )
    assert addresses.client_at("::ffff:192.0.2.7") == addresses.client_at("192.0.2.7")
    assert addresses.client_at("a; b") == addresses.client_at("") == "unknown"


def test_the_panel_s_questions_of_a_day_are_within_what_one_client_may_ask() -> None:
    moment = [0.0]
    rate = rates.Rate(*door.READS, clock=lambda: moment[0])
    for _ in range(3000):
        moment[0] += 1.0
        assert [rate.wait("panel") for _ in range(10)] == [0] * 10


def test_no_route_of_the_table_stands_twice() -> None:
    server = FastAPI()
    for _ in range(2):
        server.get("/docs")(lambda: "twice")
    rules = roles.table_of(server).rules
    assert len({(rule.method, rule.path) for rule in rules}) == len(rules)


def test_a_web_server_that_is_not_believed_is_named_once(served, caplog) -> None:
    behind = {"X-Forwarded-For": "10.20.0.1"}
    client = served()
    caplog.clear()
    caplog.set_level("WARNING")
    assert client.get("/user").status_code == 200
    assert client.get("/user", headers={"X-Forwarded-For": f"{ELSEWHERE}, 10.0.0.2"}).status_code == 200
    assert not caplog.records
    for _ in range(3):
        client.get("/user", headers=behind)
    (warning,) = caplog.records
    assert f"FORWARDED_ALLOW_IPS={ELSEWHERE}" in warning.getMessage()
