"""`scaling-app forecast` answers for anyone's curve, without a server."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from scaling_app.commands.cli import main
from scaling_app.service.forecast_text import target_sentence


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


def words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[str, str]:
    """What the command prints for people, on stdout and on stderr."""
    monkeypatch.setattr("sys.argv", ["scaling-app", "forecast", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr()


@pytest.mark.parametrize(
    ("target", "says"), [("0.85", "Target Dice 85.0"), ("0.6", "reached now with a chance")]
)
def test_the_target_is_answered_in_words_too(capsys, monkeypatch, curve, target, says) -> None:
    out, _ = words(capsys, monkeypatch, str(curve), "--at", "32", "--target", target)
    assert says in " ".join(out.split())


@pytest.mark.parametrize(("chance", "says"), [(0.0, "under 1 %"), (1.0, "over 99 %"), (0.4, "40 %")])
def test_no_chance_is_nil_or_certain(chance, says) -> None:
    target = {"dice": 0.8, "p_reached": chance, "p_unreachable": chance, "cases": {}}
    assert target_sentence(target).count(f"with a chance of {says}") == 2


def test_a_target_beyond_the_sizes_looked_at_is_not_merely_left_without_a_number() -> None:
    """That no number of cases reaches it may be unlikely all the same."""
    target = {"dice": 0.5, "p_reached": 0.001, "p_unreachable": 0.31, "cases": {"median": None, "lo80": 90.0}}
    said = target_sentence(target)
    assert "beyond 32 times the cases at hand" in said and "never, as far as can be seen" in said


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["words", "json"])
def test_a_table_in_which_nothing_was_found_is_said_to_be_one(capsys, monkeypatch, tmp_path, form) -> None:
    table = tmp_path / "nothing.csv"
    table.write_text("n,dice\n4,0\n8,0\n16,0\n32,0\n")
    out, _ = words(capsys, monkeypatch, str(table), "--at", "64", *form)
    assert "Nothing was found of the structure at any size" in " ".join(out.split())


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_no_number_is_cut_in_a_terminal_of_any_width(capsys, monkeypatch, curve, columns) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out, _ = words(capsys, monkeypatch, str(curve), "--at", "24,32")
    assert max(map(len, out.splitlines())) <= columns
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    (point, *_) = answer(capsys, monkeypatch, str(curve), "--at", "24,32")["points"]
    for value in ("mean", "lo80", "hi80", "gain_mean", "gain_lo80", "gain_hi80"):
        assert f"{100 * point[value]:.1f}" in out


def test_one_structure_is_told_once(capsys, monkeypatch, curve) -> None:
    out, _ = words(capsys, monkeypatch, str(curve), "--at", "24")
    assert "organ" in out
    assert "overall" not in out


def test_too_little_is_said_once(capsys, monkeypatch, tmp_path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("n,dice\n8,0.7\n")
    out, _ = words(capsys, monkeypatch, str(short), "--at", "16")
    assert out.count("Not enough to say yet") == 1


def test_a_forecast_far_ahead_is_given_with_a_warning(capsys, monkeypatch, curve) -> None:
    assert words(capsys, monkeypatch, str(curve), "--at", "64")[1] == ""
    assert "more than 4 times the 16 at hand" in words(capsys, monkeypatch, str(curve), "--at", "65")[1]


def test_a_target_that_takes_cases_far_ahead_is_given_with_the_same_warning(
    capsys, monkeypatch, tmp_path
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("n,dice\n2,0.51\n4,0.60\n8,0.68\n16,0.73\n")
    out, err = words(capsys, monkeypatch, str(few), "--at", "24", "--target", "0.85")
    more = int(re.search(r"(\d+) more cases", out)[1])
    assert more > 3 * 16 and f"{16 + more} cases are more than 4 times the 16 at hand" in err
    assert words(capsys, monkeypatch, str(few), "--at", "24", "--target", "0.74")[1] == ""


def runs_of(curve: Path, **columns: list[str]) -> str:
    """The curve's rows once for each value of the columns, as a replay writes them."""
    head, *rows = curve.read_text().splitlines()
    (name, values), *_ = columns.items()
    out = curve.with_name("runs.csv")
    out.write_text(
        "\n".join([f"{head},{name}", *(f"{row},{value}" for value in values for row in rows)]) + "\n"
    )
    return str(out)


def test_the_draws_of_a_replay_are_trainings_of_their_own(capsys, monkeypatch, curve) -> None:
    result = answer(capsys, monkeypatch, runs_of(curve, draw=["0", "1"]), "--at", "32")
    assert result["status"] == "ready"


@pytest.mark.parametrize(("column", "values"), [("steps", ["400", "1600"]), ("dataset", ["liver", "spleen"])])
def test_a_table_of_several_curves_is_refused_with_what_they_are(
    capsys, monkeypatch, curve, column, values
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["scaling-app", "forecast", runs_of(curve, **{column: values}), "--at", "32"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert f"in the column {column}" in err and all(value in err for value in values)


def in_percent(text: str, sign: str = "%") -> str:
    return re.sub(r"\b0?\.(\d+)", lambda found: f"{Decimal('.' + found[1]) * 100:f}{sign}", text)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: text.replace(",", "\t"),
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("n,dice", "N, Dice"),
        lambda text: "sep=;\n" + text.replace(",", ";").replace(".", ","),
        lambda text: "\ufeffsep=\t\r\n" + text.replace(",", "\t").replace("\n", "\r\n"),
        in_percent,
        lambda text: in_percent(text.replace(",", ";"), sign=" %").replace(".", ","),
    ],
    ids=[
        *("semicolons", "decimal commas", "tabs", "byte order mark", "capitals", "sep=;", "sep=tab"),
        *("percent", "percent and decimal commas"),
    ],
)
def test_tables_as_spreadsheets_save_them_are_read_alike(capsys, monkeypatch, curve, change) -> None:
    plain = answer(capsys, monkeypatch, str(curve), "--at", "32")
    saved = curve.with_name("saved.csv")
    saved.write_text(change(curve.read_text()), encoding="utf-8", newline="")
    assert answer(capsys, monkeypatch, str(saved), "--at", "32") == plain


def with_steps(curve: Path, asked: str = "800") -> Path:
    """The curve with columns of steps, as a replay writes them."""
    header, *rows = curve.read_text().splitlines()
    table = [f"{header},steps,trained_steps"]
    table += [f"{row},{asked},{200 * int(row.split(',')[0])}" for row in rows]
    path = curve.with_name("steps.csv")
    path.write_text("\n".join(table) + "\n")
    return path


def test_the_steps_of_the_trainings_are_named(capsys, monkeypatch, curve) -> None:
    result = answer(capsys, monkeypatch, str(with_steps(curve)), "--at", "32")
    assert result["trainings"] == "Trainings of 800 to 3,200 steps."
    assert answer(capsys, monkeypatch, str(curve), "--at", "32")["trainings"] == ""


def flattened(curve: Path) -> Path:
    """The curve with the levels of its first size at all."""
    header, *rows = curve.read_text().splitlines()
    flat = curve.with_name("flat.csv")
    levels = {row.split(",")[2]: row.split(",")[1] for row in rows}
    table = [
        ",".join([n, f"{float(levels[case]) + 1e-4 * int(n):.5f}", case, *rest])
        for n, _, case, *rest in (row.split(",") for row in rows)
    ]
    flat.write_text("\n".join([header, *table]) + "\n")
    return flat


def test_a_flat_end_may_be_that_of_short_trainings(capsys, monkeypatch, curve) -> None:
    said = answer(capsys, monkeypatch, str(flattened(with_steps(curve))), "--at", "32")["trainings"]
    assert "800 to 3,200 steps" in said
    assert "4 times the steps" in said


@pytest.mark.parametrize(
    ("asked", "cut"),
    [("auto", "1 of 3"), ("20000", "3 of 3"), ("3000.0", "2 of 3"), ("50", ""), ("", "")],
)
def test_trainings_that_made_fewer_steps_than_asked_were_cut_by_their_minutes(
    capsys, monkeypatch, curve, asked: str, cut: str
) -> None:
    said = answer(capsys, monkeypatch, str(with_steps(curve, asked)), "--at", "32")["trainings"]
    ended = f", and {cut} ended when their minutes were over: more minutes may raise the curve" if cut else ""
    assert said == f"Trainings of 800 to 3,200 steps{ended}."


def test_a_flat_end_that_minutes_cut_wants_minutes(capsys, monkeypatch, curve) -> None:
    said = answer(capsys, monkeypatch, str(flattened(with_steps(curve, "auto"))), "--at", "32")["trainings"]
    assert "1 of 3 ended when their minutes were over" in said
    assert "minutes enough for all steps" in said


def test_only_the_steps_of_the_curve_itself_are_named_however_they_are_written(
    capsys, monkeypatch, curve
) -> None:
    header, *rows = with_steps(curve).read_text().splitlines()
    own = [f"{row}.0,baseline" for row in rows]
    other = [f"{row.rpartition(',')[0]},90000.0,genda" for row in rows[:24]]
    both = curve.with_name("both.csv")
    both.write_text("\n".join([f"{header},strategy", *own, *other]) + "\n")
    assert (
        answer(capsys, monkeypatch, str(both), "--at", "32")["trainings"]
        == "Trainings of 800 to 3,200 steps."
    )


def test_steps_written_in_two_ways_are_one_curve(capsys, monkeypatch, curve) -> None:
    header, *rows = curve.read_text().splitlines()
    table = [f"{row},{'400' if row.startswith('4,') else '400.0'}" for row in rows]
    path = curve.with_name("joined.csv")
    path.write_text("\n".join([f"{header},steps", *table]) + "\n")
    assert answer(capsys, monkeypatch, str(path), "--at", "32")["trainings"] == "Trainings of 400 steps."


def test_a_table_of_one_training_a_size_says_what_luck_does_to_its_ranges(capsys, monkeypatch, curve) -> None:
    said = answer(capsys, monkeypatch, str(curve), "--at", "32")["message"]
    assert "Each size was trained once. By luck alone, trainings on 16 cases differ by about" in said
    out, _ = words(capsys, monkeypatch, str(curve), "--at", "32")
    assert said in " ".join(out.split())
    for table, method in (
        (runs_of(curve, draw=["0", "1"]), "bayes"),  # there the luck shows
        (str(curve), "power_law"),  # and such ranges know of none
    ):
        assert "luck" not in answer(capsys, monkeypatch, table, "--at", "32", "--method", method)["message"]


def test_gains_count_from_the_largest_training_set_of_the_curve_itself(capsys, monkeypatch, curve) -> None:
    header, *rows = curve.read_text().splitlines()
    both = curve.with_name("arms.csv")
    other = [f"{64},{row.partition(',')[2]},genda" for row in rows[:12]]
    both.write_text("\n".join([f"{header},strategy", *(f"{row},baseline" for row in rows), *other]) + "\n")
    assert answer(capsys, monkeypatch, str(both), "--at", "32")["n_now"] == 16
