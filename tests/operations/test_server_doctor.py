"""What the doctor says of a server that it asks, and of one that it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaling_app.commands import server_doctor
from scaling_app.commands.certificates import require_pair
from scaling_app.commands.doctor import Finding
from scaling_app.commands.server_doctor import Seen, examine_server, findings_of
from scaling_app_client.blocking import Server
from scaling_app_client.messages import FAILURES, Failure
from tests.operations.conftest import certificate_in

LOCAL, FAR = "http://127.0.0.1:8000", "https://labels.hospital.example"
Check = Callable[[Seen], Iterator[Finding]]


def one(check: Check, address: str = LOCAL, **numbers: float) -> Finding:
    """The only finding of a check, of a server with these numbers."""
    found = {(f"scaling_app_{name}",): value for name, value in numbers.items()}
    [finding] = check(Seen(address, "0.1.0", found))
    return finding


def test_a_server_that_others_reach_has_to_ask_who_is_there() -> None:
    assert not one(server_doctor._login, login=0, loopback_only=0).good
    assert "MONAI_LABEL_AUTH_ENABLE" in one(server_doctor._login, login=0, loopback_only=0).detail
    assert one(server_doctor._login, login=1, loopback_only=0).good
    assert one(server_doctor._login, login=0, loopback_only=1).good
    behind = one(server_doctor._login, FAR, login=0, loopback_only=1)
    assert behind.optional and "in front" in behind.detail
    assert not one(server_doctor._login, FAR, login=0).good


def test_a_backup_that_is_old_or_missing_is_to_be_made() -> None:
    assert "scaling-app backup" in one(server_doctor._backup).detail
    assert one(server_doctor._backup, last_backup_timestamp_seconds=time.time() - 3600).good
    assert not one(server_doctor._backup, last_backup_timestamp_seconds=time.time() - 9 * 86400).good


def test_a_silent_dicom_server_is_named_and_of_a_folder_nothing_is_said() -> None:
    assert not one(server_doctor._pacs, pacs_up=0).good
    assert one(server_doctor._pacs, pacs_up=1).good
    assert list(server_doctor._pacs(Seen(LOCAL, "", {}))) == []


def test_a_disk_that_is_nearly_full_is_named() -> None:
    seen = Seen(
        LOCAL, "", {("scaling_app_free_bytes", "studies"): 1e6, ("scaling_app_free_bytes", "app"): 1e12}
    )
    assert [(f.what, f.good) for f in server_doctor._disks(seen)] == [
        ("Disk of studies", False),
        ("Disk of app", True),
    ]


@pytest.mark.parametrize(("days", "says"), [(-3, "has expired"), (5, "expires on"), (100, "good until")])
def test_a_certificate_is_judged_by_its_end(
    https_stub, monkeypatch, tmp_path: Path, days: float, says: str
) -> None:
    monkeypatch.setattr(server_doctor, "Server", refuse)
    found = list(findings_of(https_stub(days), "", ""))
    assert says in found[0].detail and found[0].good is (days > 21)


def refuse(*_: object, **__: object) -> None:
    raise Failure("unreachable", "not asked")


def test_a_client_says_that_a_certificate_has_expired(https_stub, monkeypatch, tmp_path: Path) -> None:
    url = https_stub(-3)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(Failure) as caught:
        Server(url, retries=0)
    assert caught.value.kind == "expired" and str(caught.value).startswith(FAILURES["expired"])
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Failure) as caught:
        Server(https_stub(100), retries=0)
    assert caught.value.kind == "tls"  # good, and nobody known vouches for it
    (*_, said) = findings_of(url, "", "")
    assert not said.good and "set REQUESTS_CA_BUNDLE" in said.detail


def test_a_server_that_is_not_there_is_a_finding_and_a_status(capsys) -> None:
    assert examine_server("http://127.0.0.1:9") == 1
    assert "Nothing answers" in " ".join(capsys.readouterr().out.split())


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="--server ftp://x"):
        examine_server("ftp://x")


def test_clocks_that_differ_are_named(monkeypatch) -> None:
    def head(*_: object, **__: object) -> object:
        return type("Answer", (), {"headers": {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}})

    monkeypatch.setattr(server_doctor.requests, "head", head)
    [finding] = server_doctor._clock(LOCAL)
    assert not finding.good and "NTP" in finding.detail


def test_https_takes_a_certificate_with_its_own_key(authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, key, _ = certificate_in(tmp_path, authority, 5)
    _, other, _ = certificate_in(tmp_path / "other", authority)
    assert "expires on" in (require_pair(cert, key) or "")
    assert require_pair(None, None) is None
    for wrong, says in (
        ((cert, other), "no certificate with its"),
        ((cert, None), "takes both"),
        ((cert, key / "x"), "no file"),
    ):
        with pytest.raises(ValueError, match=says):
            require_pair(*wrong)


def test_how_far_the_questions_are_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setattr(server_doctor, "Server", unreachable)
    assert examine_server(LOCAL) == 1
    assert "asking the server" in capsys.readouterr().err


def unreachable(*_: object, **__: object) -> Server:
    raise Failure("unreachable", "silent")
