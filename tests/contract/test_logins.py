"""A server whose users log in at an OpenID provider: who gets what over real HTTP, and what it leaves behind. In order."""

from __future__ import annotations

import json
import signal
import stat
import urllib.parse
from pathlib import Path

import pytest
import requests

from benchmarks.contract.routes import ask_everything
from docs.contract import access
from scaling_app.monai_app import door
from scaling_app.monai_app.roles import EVERYBODY, Rule, claim_names, table_of
from tests.login_server import LoginServer, new_key
from tests.openid_provider import PEOPLE, what_it_lacks

pytestmark = pytest.mark.slow_server

WAY = {"image": "nosuch", "label": "nosuch", "tag": "final", "id": "nosuch"}
IMAGE = "synthetic_000"
RANKED = list(claim_names().ranked)


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    """Of a server whose studies lie in a folder."""
    return [rule for rule in table_of(access.served()).rules if "{service}" not in rule.path]


def ask(server, method: str, path: str, token: str | None = None, **options: object) -> requests.Response:
    """One request, as a person with that token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    headers |= options.pop("headers", {})  # type: ignore[arg-type]
    return requests.request(method, f"{server.base}{path}", headers=headers, timeout=120, **options)  # type: ignore[arg-type]


def address(rule: Rule) -> str:
    """An address of a route, of something that is not there."""
    path = rule.path.replace(":path}", "}")
    for name in ("model", "method", "strategy", "image", "path", "session_id"):
        path = path.replace(f"{{{name}}}", "nosuch")
    return f"{path}/nosuch" if path == "/static" else path


def token_of(login: LoginServer, role: str | None, **claims: object) -> str:
    """A token of somebody with one role."""
    return login.token(
        preferred_username=f"holder of {role}", realm_access={"roles": [role] if role else []}, **claims
    )


def test_each_route_asks_for_its_role_and_no_more(guarded, login, rules):
    below = dict(zip(RANKED, [*RANKED[1:], None], strict=True))
    for rule in rules:
        path = address(rule)
        if rule.role == EVERYBODY:
            assert ask(guarded, rule.method, path).status_code not in (401, 403), rule
            continue
        assert ask(guarded, rule.method, path).status_code == 401, rule
        refused = ask(guarded, rule.method, path, token_of(login, below[rule.role]))
        assert refused.status_code == 403, rule
        if (rule.method, rule.path) != ("POST", "/sufficiency/update"):
            answer = ask(guarded, rule.method, path, token_of(login, rule.role), params=WAY)
            assert answer.status_code not in (401, 403) and answer.status_code < 500, (rule, answer.text)


def test_what_is_not_there_is_told_to_nobody(guarded, login):
    for method, path in (
        ("GET", "/nowhere"),
        ("DELETE", "/info/"),
        ("GET", "/info"),
        ("POST", "//reload"),
        ("PUT", "/"),
    ):
        assert ask(guarded, method, path, allow_redirects=False).status_code == 401
    assert ask(guarded, "GET", "/nowhere", token_of(login, "monailabel-user")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "least", "status"),
    [
        ("POST", "/reload", "monailabel-admin", 405),
        ("POST", "/scoring/nosuch", "monailabel-annotator", 404),
        ("POST", "/train/", "monailabel-admin", 422),
    ],
)
def test_what_once_went_past_all_checks_is_refused_with_a_sentence(
    guarded, login, method, path, least, status
):
    answer = ask(guarded, method, path, token_of(login, least))
    assert answer.status_code == status and len(answer.json()["detail"].split()) >= 5


def test_forged_tokens_open_nothing(guarded, login):
    forged = {
        "of another key": login.token(key=new_key()),
        "of another issuer": login.token(iss="https://elsewhere.example"),
        "for another server": login.token(aud="billing"),
        "without an end": login.token(exp=None),
        "unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0.",
    }
    for kind, token in forged.items():
        answer = ask(guarded, "GET", "/info/", token)
        assert answer.status_code == 401 and "log in again" in answer.json()["detail"], kind
    assert ask(guarded, "GET", "/info/", login.token(realm_access=None)).status_code == 403
    assert ask(guarded, "GET", "/info/", login.token(realm_access="admin")).status_code == 403


@pytest.mark.skipif(bool(what_it_lacks()), reason=what_it_lacks())
def test_people_of_an_openid_provider_log_in_with_name_and_password(guarded):
    for name, person in PEOPLE.items():
        form = {"username": name, "password": person["password"], "grant_type": "password"}
        token = ask(guarded, "POST", "/auth/token", data=form).json()["access_token"]
        told = ask(guarded, "GET", "/auth/token/valid", token).json()
        rank = RANKED.index(person["roles"][0])
        assert told["username"] == name and told["roles"] == RANKED[rank:]
        trains = ask(guarded, "POST", "/train/nosuch", token).status_code
        assert trains == (404 if name == "admin-person" else 403)
    wrong = {"username": "admin-person", "password": "Wr0ngP4ss", "grant_type": "password"}
    refused = ask(guarded, "POST", "/auth/token", data=wrong)
    assert refused.status_code == 401 and "wrong" in refused.json()["detail"]


def test_behind_a_web_server_the_address_that_it_names_counts(guarded):
    def wrong(client: str) -> requests.Response:
        return ask(guarded, "GET", "/info/", "wrong", headers={"X-Forwarded-For": f"10.9.9.9, {client}"})

    answers = [wrong("203.0.113.5") for _ in range(door.WRONG_TOKENS[0] + 10)]
    assert answers[0].status_code == 401 and answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1 and wrong("203.0.113.6").status_code == 401


def test_where_users_log_in_nothing_is_answered_before_they_do(guarded):
    answers = ask_everything(guarded.base, least=200).answers
    assert set(answers) <= {200, 401, 404, 405, 422, 429, 503}, answers
    assert answers[401] + answers[429] > answers.total() / 2


def test_a_day_of_work_leaves_no_names_no_secrets_and_no_files_for_others(guarded, login):
    annotator, admin = token_of(login, "monailabel-annotator"), token_of(login, "monailabel-admin")
    label = guarded.folder / "truth" / f"{IMAGE}.nrrd"
    picture = guarded.folder / "studies" / f"{IMAGE}.nrrd"
    done = [
        ask(guarded, "POST", "/activelearning/random", annotator, json={}),
        ask(guarded, "GET", "/datastore/image", annotator, params={"image": IMAGE, "access_token": annotator}),
        ask(guarded, "PUT", "/datastore/label", annotator, params={"image": IMAGE}, files={"label": (label.name, label.read_bytes())}),
        ask(guarded, "GET", "/datastore/label", annotator, params={"label": IMAGE, "tag": "final"}),
        ask(guarded, "POST", f"/sufficiency/case/{IMAGE}", annotator, json={"minutes": 3}),
        ask(guarded, "PUT", "/datastore/image", annotator, params={"image": "Doe Jane 1961"}, files={"file": (picture.name, picture.read_bytes())}),
        ask(guarded, "GET", "/datastore/image", annotator, params={"image": "Doe Jane 1961"}),
        ask(guarded, "PUT", "/session/", annotator, files={"files": (picture.name, picture.read_bytes())}),
        ask(guarded, "GET", "/datastore/dataset", annotator),
        ask(guarded, "GET", "/sufficiency/report", annotator),
        ask(guarded, "DELETE", "/datastore/image", admin, params={"id": "Doe Jane 1961"}),
    ]  # fmt: skip
    assert [answer.status_code for answer in done] == [200] * len(done), [
        answer.text[:200] for answer in done
    ]
    ask(guarded, "POST", "/infer/segmentation", annotator, params={"image": IMAGE})
    log = ask(guarded, "GET", "/logs/", admin, params={"lines": 20000, "text": True}).text
    names = ask(guarded, "GET", "/logs/names", admin).json()
    assert "Stored the label final of case-" in log and IMAGE in names.values()
    said = log + "".join(
        path.read_text(errors="replace") for path in (guarded.log, *guarded.folder.glob("app/logs/*"))
    )
    hidden = [
        IMAGE,
        "synthetic_001",
        "Doe Jane",
        *(urllib.parse.quote(n) for n in ("Doe Jane 1961",)),
        "Wr0ngP4ss",
    ]
    hidden += [
        annotator.split(".")[2],
        admin.split(".")[2],
        *(person["password"] for person in PEOPLE.values()),
    ]
    assert '"PUT /datastore/label?...' in said, "the test reads what was asked, too"
    for word in hidden:
        lines = [line for line in said.splitlines() if word in line]
        assert not lines, (word, lines[:3])


def open_to_others(places: list[Path]) -> list[Path]:
    """What others may read or enter."""
    return [
        path
        for place in places
        for path in (place, *place.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]


def test_files_are_this_user_s_and_temporary_ones_go(guarded):
    app, studies = guarded.folder / "app", guarded.folder / "studies"
    assert not open_to_others([app / "model", app / "logs", guarded.folder / "sessions", studies / "labels"])
    assert (studies / "labels" / "final" / f"{IMAGE}.nrrd").is_file()
    assert guarded.temporary() == []
    guarded.process.send_signal(signal.SIGTERM)
    guarded.process.wait(60)
    assert list(app.glob("model/*/tmp/*")) == [], json.dumps(guarded.tail()[-500:])
