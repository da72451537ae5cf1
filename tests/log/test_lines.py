"""What is said before the log begins has its form, too."""

from __future__ import annotations

import json

import pytest

from scaling_app.log.lines import JSON, TEXT, VARIABLE, warn_before_start


def test_a_warning_before_the_start_is_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, JSON)
    warn_before_start("launch", "the certificate expires soon")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == (
        "WARNING",
        "launch",
        "the certificate expires soon",
    )
    assert line.keys() >= {"at", "process", "thread"}
    monkeypatch.setenv(VARIABLE, TEXT)
    warn_before_start("launch", "the certificate expires soon")
    assert capsys.readouterr().err == "WARNING launch: the certificate expires soon\n"
