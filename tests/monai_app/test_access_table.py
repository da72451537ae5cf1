"""Every route has a role, and the page says which."""

from __future__ import annotations

import pytest
from monailabel.config import settings

from docs.contract import access
from scaling_app.monai_app.roles import table_of

OPEN = {"/", "/docs", "/favicon.ico", "/openapi.json", "/static", "/auth/", "/auth/token"}


@pytest.fixture(scope="module")
def table():
    return table_of(access.served())


def test_no_route_is_without_a_role_and_few_ask_for_none(table) -> None:
    assert len(table.rules) > 60
    assert [rule for rule in table.rules if rule.role is None] == []
    assert {rule.path for rule in table.rules if not rule.role} == OPEN


def test_a_route_that_comes_without_a_role_is_seen() -> None:
    server = access.served()
    server.get("/forgotten")(lambda: "")
    added = table_of(server).rule("GET", "/forgotten")
    assert added is not None and added.role is None
    assert "| `/forgotten` | GET | refused |" in access.page(table_of(server))


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", "/reload", settings.MONAI_LABEL_AUTH_ROLE_ADMIN),
        ("POST", "/train/", settings.MONAI_LABEL_AUTH_ROLE_ADMIN),
        ("POST", "/scoring/nosuch", settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR),
        ("PUT", "/model/segmentation", settings.MONAI_LABEL_AUTH_ROLE_ADMIN),
        ("POST", "/proxy/dicom/stow/studies", settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR),
        ("GET", "/sufficiency/report", settings.MONAI_LABEL_AUTH_ROLE_USER),
        ("GET", "/static/ohif/index.html", ""),
    ],
)
def test_what_a_request_asks_for_is_the_first_route_s_that_fits(table, method, path, role) -> None:
    assert table.rule(method, path).role == role


def test_the_page_says_what_the_server_asks_for(table) -> None:
    assert access.PAGE.read_text("utf-8") == access.page(table), "run `make docs`"
