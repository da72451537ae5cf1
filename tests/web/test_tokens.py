"""The login takes good tokens of its own login server, and no others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from scaling_app.web import tokens
from scaling_app.web.tokens import ClaimNames, LoginUnavailableError, Realm
from tests.login_server import AUDIENCE, LoginServer, new_key, running_login_server

RANKED = ("monailabel-admin", "monailabel-reviewer", "monailabel-annotator", "monailabel-user")
NAMES = ClaimNames("preferred_username", "email", "name", "realm_access#roles", RANKED)
KEY, OTHER_KEY, SHORT_KEY = new_key(), new_key(), new_key(1024)


@pytest.fixture
def login() -> Iterator[LoginServer]:
    with running_login_server(KEY) as running:
        yield running


@pytest.fixture
def realm(login: LoginServer) -> Realm:
    return Realm(f"{login.uri}/", AUDIENCE, NAMES, timeout=5)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed_with_the_public_key(login: LoginServer) -> str:
    """HS256 with what everybody may read as its secret (CVE-2016-10555)."""
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = login.token().split(".")[1]
    text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{body}"
    seal = hmac.new(public, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


BAD = {
    "of another key": lambda login: login.token(key=OTHER_KEY),
    "of an unknown key": lambda login: login.token(key=OTHER_KEY, kid="two"),
    "of a key without a name": lambda login: login.token(header={"kid": None}),
    "with its own key inside": lambda login: login.token(
        key=OTHER_KEY, header={"kid": None, "jwk": {"kty": "oct", "k": "AAAA"}}
    ),
    "without an end": lambda login: login.token(exp=None),
    "run out": lambda login: login.token(exp=int(time.time()) - tokens.SKEW_SECONDS - 1),
    "whose end is no number": lambda login: login.token(exp=float("nan")),
    "not valid yet": lambda login: login.token(nbf=int(time.time()) + tokens.SKEW_SECONDS + 5),
    "made in the future": lambda login: login.token(iat=int(time.time()) + 3600),
    "of nobody": lambda login: login.token(iss=None),
    "of another login server": lambda login: login.token(iss="https://elsewhere.example/realms/monailabel"),
    "of another realm": lambda login: login.token(iss=f"{login.uri}/other"),
    "for nobody": lambda login: login.token(aud=None),
    "for another server": lambda login: login.token(aud="billing"),
    "for others": lambda login: login.token(aud=["billing", "account"], azp=AUDIENCE),
    "for the account page, by another client": lambda login: login.token(aud="account", azp="billing"),
    "whose audience is no text": lambda login: login.token(aud=[{"a": 1}]),
    "an ID token": lambda login: login.token(typ="ID"),
    "an ID token by its hash": lambda login: login.token(at_hash="x"),
    "a logout token": lambda login: login.token(header={"typ": "logout+jwt"}),
    "that names nobody": lambda login: login.token(sub=None, preferred_username=None),
    "unsigned": lambda login: f"{part({'alg': 'none', 'kid': 'one'})}.{login.token().split('.')[1]}.",
    "signed with the public key": signed_with_the_public_key,
    "with another body": lambda login: (
        f"{login.token().split('.')[0]}.{part({'sub': 'x'})}.{login.token().split('.')[2]}"
    ),
    "no token": lambda login: "abc",
    "three empty parts": lambda login: "..",
    "too long": lambda login: login.token(padding="x" * tokens.MOST_BYTES),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_token_is_refused(login: LoginServer, realm: Realm, kind: str) -> None:
    assert realm.person(login.token()).username == "reader", "a good one is taken"
    with pytest.raises(jwt.InvalidTokenError):
        realm.person(BAD[kind](login))


@pytest.mark.parametrize("field", ["alg", "kid", "typ", "crit", "b64", "zip"])
@pytest.mark.parametrize("value", [[], {}, [[]], {"a": 1}, None, True, 7, 1e300, "", "\x00"])
def test_a_header_of_any_form_is_refused_and_breaks_nothing(
    login: LoginServer, realm: Realm, field: str, value: object
) -> None:
    realm.person(login.token())  # the keys are at hand
    header = {"alg": "RS256", "kid": "one", "typ": "JWT", field: value}
    body = login.token().split(".")[1]
    token = f"{part(header)}.{body}.{part('no seal')}"
    realm.is_at_hand(token)
    with pytest.raises(jwt.InvalidTokenError):
        realm.person(token)


def test_keys_that_are_too_short_shared_or_for_other_things_sign_nothing(
    login: LoginServer, realm: Realm
) -> None:
    secret = base64.urlsafe_b64encode(b"a secret of at least thirty-two bytes").rstrip(b"=").decode()
    login.keys["short"] = SHORT_KEY
    login.others.append({"kty": "oct", "kid": "shared", "k": secret, "alg": "HS256", "use": "sig"})
    for token in (login.token(kid="short"), login.token(kid="one", header={"kid": "shared"})):
        with pytest.raises(jwt.InvalidTokenError):
            realm.person(token)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [AUDIENCE, "account"]},
        {"aud": "account", "azp": AUDIENCE},  # Keycloak as it comes
        {"exp": int(time.time()) - tokens.SKEW_SECONDS // 2 + 86_400},
        {"typ": "Bearer"},
        {"preferred_username": None},
    ],
)
def test_a_token_is_taken(login: LoginServer, realm: Realm, claims: dict) -> None:
    assert realm.person(login.token(**claims)).username == (
        "7" if "preferred_username" in claims else "reader"
    )


def test_clocks_may_be_a_little_apart(login: LoginServer, realm: Realm) -> None:
    now = int(time.time())
    assert realm.person(login.token(exp=now - tokens.SKEW_SECONDS // 2, iat=now + tokens.SKEW_SECONDS // 2))


@pytest.mark.parametrize(
    ("given", "has"),
    [
        ({"roles": ["monailabel-admin"]}, 4),
        ({"roles": ["offline_access", "monailabel-reviewer"]}, 3),
        ({"roles": ["monailabel-annotator", "monailabel-user"]}, 2),
        ({"roles": "monailabel-user"}, 1),
        ({"roles": ["admin"]}, 0),
        ({"roles": [{"monailabel-admin": 1}, None, 7]}, 0),
        ({"roles": None}, 0),
        ({}, 0),
        ("monailabel-admin", 0),
        (["monailabel-admin"], 0),
        (None, 0),
    ],
)
def test_a_role_contains_those_below_it_and_what_is_none_is_none(
    login: LoginServer, realm: Realm, given: object, has: int
) -> None:
    assert realm.person(login.token(realm_access=given)).roles == list(RANKED[4 - has :])


def test_roles_are_found_where_the_operator_says(login: LoginServer) -> None:
    realm = Realm(login.uri, AUDIENCE, replace(NAMES, roles="groups"), timeout=5)
    assert realm.person(login.token(groups=["monailabel-user"])).roles == ["monailabel-user"]


def test_a_new_key_is_taken_up_and_unknown_ones_are_seldom_asked_for(
    login: LoginServer, realm: Realm, monkeypatch
) -> None:
    moment = [1000.0]
    monkeypatch.setattr(tokens.time, "monotonic", lambda: moment[0])
    realm.person(login.token())
    for name in range(50):
        with pytest.raises(jwt.InvalidTokenError):
            realm.person(login.token(key=OTHER_KEY, kid=str(name)))
    assert login.asked == 1
    login.keys = {"two": OTHER_KEY}
    moment[0] += tokens.AGAIN_SECONDS + 1
    assert realm.person(login.token(kid="two")).username == "reader"
    assert login.asked == 2
    with pytest.raises(jwt.InvalidTokenError):  # taken back
        realm.person(login.token(key=KEY, kid="one"))


def test_a_login_server_that_is_gone_says_so_and_is_left_in_peace(login: LoginServer, monkeypatch) -> None:
    moment = [1000.0]
    monkeypatch.setattr(tokens.time, "monotonic", lambda: moment[0])
    login.silent = True
    realm = Realm(login.uri, AUDIENCE, NAMES, timeout=5)
    for _ in range(3):
        with pytest.raises(LoginUnavailableError, match="try again later"):
            realm.person(login.token())
    login.silent = False
    with pytest.raises(LoginUnavailableError):
        realm.person(login.token())
    moment[0] += tokens.RETRY_SECONDS + 1
    assert realm.person(login.token()).username == "reader"
    login.silent, moment[0] = True, moment[0] + tokens.KEYS_SECONDS + 1
    with pytest.raises(LoginUnavailableError):  # keys do not hold for ever
        realm.person(login.token())


def test_a_login_server_of_another_name_is_not_believed(login: LoginServer, caplog) -> None:
    login.issuer = "https://elsewhere.example"
    with pytest.raises(LoginUnavailableError, match="another"):
        Realm(login.uri, AUDIENCE, NAMES, timeout=5).person(login.token(iss=login.issuer))
    assert "set MONAI_LABEL_AUTH_REALM_URI" in caplog.text
