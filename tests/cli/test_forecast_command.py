"""`scaling-app forecast` answers for anyone's curve, without a server."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from scaling_app.cli import main


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["n,dice,case,structure"]
    for n in (4, 8, 16):
        for case in range(12):
            error = 0.1 + 0.5 * n**-0.6
            dice = 1 / (1 + math.exp(-(math.log((1 - error) / error) + rng.normal(0, 0.3))))
            lines.append(f"{n},{dice:.4f},case{case},organ")
    path = tmp_path / "curve.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict:
    monkeypatch.setattr("sys.argv", ["scaling-app", "forecast", *arguments, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


@pytest.mark.parametrize("method", ["bayes", "last_value", "power_law", "power_law_floor", "exponential"])
def test_each_method_gives_ordered_intervals_at_the_sizes_asked_for(
    capsys, monkeypatch, curve, method
) -> None:
    result = answer(capsys, monkeypatch, str(curve), "--at", "24,32", "--method", method)
    assert (result["method"], result["n_now"]) == (method, 16)
    points = [p for p in result["points"] if p["structure"] == "organ"]
    assert [p["n"] for p in points] == [24, 32]
    for p in points:
        assert 0 <= p["lo95"] <= p["lo80"] <= p["mean"] <= p["hi80"] <= p["hi95"] <= 1
        assert p["gain_lo80"] <= p["gain_hi80"]


def test_the_target_is_answered_in_cases(capsys, monkeypatch, curve) -> None:
    result = answer(capsys, monkeypatch, str(curve), "--at", "32", "--target", "0.82")
    assert result["target"]["dice"] == 0.82
    assert result["advice"]["sentence"]


def test_the_same_curve_gets_the_same_answer(capsys, monkeypatch, curve) -> None:
    first = answer(capsys, monkeypatch, str(curve), "--at", "32")
    assert first == answer(capsys, monkeypatch, str(curve), "--at", "32")
