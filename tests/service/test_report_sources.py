"""Reports from files: a ledger, a replay's table, and what is neither."""

from __future__ import annotations

import csv
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scaling_app.service.replay_report import replay_html
from scaling_app.service.replay_table import ReplayTableError, read_replay
from scaling_app.service.report_sources import report_from

COLUMNS = [
    "dataset",
    "network",
    "strategy",
    "n",
    "draw",
    "seed",
    "case",
    "structure",
    "dice",
    "nsd",
    "hd95_mm",
    "bce",
    "seconds",
    "steps",
    "trained_steps",
]


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(n: int, dice: object, **more: object) -> dict[str, object]:
    fixed = {
        "dataset": "d",
        "network": "resunet",
        "strategy": "none",
        "draw": 0,
        "case": "c",
        "structure": "s",
    }
    return {**fixed, "n": n, "dice": dice, **more}


def test_a_level_is_the_mean_over_draws_with_an_interval_over_draws(tmp_path: Path) -> None:
    rows = [
        row(4, d, draw=k, case=c)
        for k, (a, b) in enumerate([(0.5, 0.7), (0.8, 0.8)])
        for c, d in (("x", a), ("y", b))
    ]
    (curve,) = read_replay(write_table(tmp_path / "runs.csv", rows))
    (level,) = curve.levels
    assert level.dice == pytest.approx(0.7)
    half = 3.0776835 * math.sqrt(0.02) / math.sqrt(2)  # Student's t, 1 degree of freedom, 90 %
    assert level.lo80 == pytest.approx(0.7 - half, abs=1e-6)
    assert level.hi80 == 1.0
    assert level.draws == 2


def test_one_draw_has_no_interval_and_absent_structures_do_not_count(tmp_path: Path) -> None:
    rows = [row(2, 0.5), row(2, "", structure="absent"), row(2, "nan", structure="absent2")]
    (curve,) = read_replay(write_table(tmp_path / "runs.csv", rows))
    assert (curve.levels[0].dice, curve.levels[0].lo80, curve.levels[0].draws) == (0.5, None, 1)


def test_the_exponent_of_a_power_law_is_found(tmp_path: Path) -> None:
    rows = [row(n, 1 - 0.6 * n**-0.4) for n in (2, 4, 8, 16)]
    (curve,) = read_replay(write_table(tmp_path / "runs.csv", rows))
    assert curve.exponent == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"dice": "1.2"}, "line 3"),
        ({"n": "few"}, "line 3"),
        ({"n": "1_6"}, "line 3"),
        ({"dice": "x"}, "dice must be"),
    ],
)
def test_a_bad_value_is_named_with_its_line(tmp_path: Path, bad: dict[str, str], said: str) -> None:
    path = write_table(tmp_path / "runs.csv", [row(2, 0.5), {**row(4, 0.5), **bad}])
    with pytest.raises(ReplayTableError, match=said):
        report_from(path, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_other_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("n,dice\n4,0.5\n")
    with pytest.raises(ValueError, match="has no column"):
        report_from(tmp_path / "curve.csv", tmp_path / "out.html")
    with pytest.raises(ValueError, match="no row"):
        report_from(write_table(tmp_path / "empty.csv", []), tmp_path / "out.html")


def test_a_replay_becomes_a_page_with_a_section_per_dataset(tmp_path: Path) -> None:
    rows = [
        row(n, 0.5 + n / 100, dataset=dataset, strategy=strategy, draw=draw)
        for dataset in ("liver", "<b>heart</b>")
        for strategy in ("none", "baseline")
        for n in (2, 4, 8)
        for draw in (0, 1)
    ]
    out = report_from(write_table(tmp_path / "runs.csv", rows), tmp_path / "new" / "out.html")
    html = out.read_text(encoding="utf-8")
    assert html.count("<section>") == 2
    assert "&lt;b&gt;heart&lt;/b&gt;" in html
    assert "resunet, baseline" in html
    assert '"dice-1"' in html
    assert '"error-1"' in html


def test_a_ledger_becomes_the_page_of_its_session(session, tmp_path: Path) -> None:
    for n in range(1, 9):
        session.label(n)
    html = report_from(session.ledger.path, tmp_path / "out.html").read_text(encoding="utf-8")
    assert "The learning curve" in html
    assert "Text for a paper" in html


def test_a_database_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "x.sqlite") as other:
        other.execute("CREATE TABLE a (b)")
    with pytest.raises(ValueError, match="no ledger"):
        report_from(tmp_path / "x.sqlite", tmp_path / "out.html")


def test_runs_of_different_lengths_are_curves_of_their_own(tmp_path: Path) -> None:
    rows = [
        row(n, dice + more, steps=steps)
        for n, dice in ((2, 0.5), (4, 0.6))
        for steps, more in ((400, 0), (1600, 0.2))
    ]
    curves = read_replay(write_table(tmp_path / "runs.csv", rows))
    assert [(curve.name, [round(level.dice, 6) for level in curve.levels]) for curve in curves] == [
        ("resunet, none, 400 steps", [0.5, 0.6]),
        ("resunet, none, 1600 steps", [0.7, 0.8]),
    ]


def test_a_run_that_two_replays_wrote_counts_once_and_is_said(tmp_path: Path, caplog) -> None:
    rows = [row(2, 0.5), row(4, 0.6), row(2, 0.7, seconds=3)]
    (curve,) = read_replay(write_table(tmp_path / "runs.csv", rows))
    assert [(level.n, level.dice) for level in curve.levels] == [(2, 0.5), (4, 0.6)]
    assert "1 rows, the first in line 4, repeat scores" in caplog.text


def test_a_score_that_is_there_twice_is_refused_where_no_column_tells_runs_apart(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    line = "d,resunet,none,2,0,c,s,0.5\n"
    table.write_text("dataset,network,strategy,n,draw,case,structure,dice\n" + 2 * line)
    with pytest.raises(ReplayTableError, match="line 3 repeats line 2"):
        read_replay(table)


def test_a_replays_table_is_read_as_a_spreadsheet_saves_it(tmp_path: Path) -> None:
    table = write_table(tmp_path / "runs.csv", [row(2, 0.5), row(4, 0.625)])
    plain = read_replay(table)
    text = table.read_text().replace(",", ";").replace("0.625", "62,5%").replace("0.5", "0,5")
    table.write_text("sep=;\n" + text)
    assert read_replay(table) == plain


def test_the_page_says_on_how_many_cases_it_rests(tmp_path: Path) -> None:
    rows = [
        row(n, 0.5, case=case, structure=name)
        for n in (2, 4)
        for case in "abc"
        for name in ("organ", "nodule")
    ]
    page = replay_html(read_replay(write_table(tmp_path / "runs.csv", rows)))
    assert "Mean Dice over 3 test cases and 2 structures" in page
    assert "without ranges" in page


def test_a_ledger_is_not_replaced_by_its_report(session, tmp_path: Path) -> None:
    path = session.ledger.path
    before = path.read_bytes()
    with pytest.raises(ValueError, match="made from"):
        report_from(path, path.parent / "." / path.name)
    assert path.read_bytes() == before


def test_a_report_that_cannot_be_finished_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "runs.csv", [row(2, 0.5)])
    out = report_from(table, tmp_path / "out.html")
    before = out.read_bytes()

    def full(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text.encode()[:100])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        report_from(table, out)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "runs.csv"]


def test_a_report_goes_through_a_pipe_and_along_a_link(tmp_path: Path) -> None:
    table = write_table(tmp_path / "runs.csv", [row(2, 0.5)])
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    report_from(table, tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    expected = (tmp_path / "page.html").read_text(encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as other:
        read = other.submit((tmp_path / "pipe").read_text, encoding="utf-8")
        report_from(table, tmp_path / "pipe")
        assert read.result(timeout=60) == expected


@pytest.mark.parametrize(("last", "flat"), [(0.7, False), (0.605, True)])
def test_the_page_names_the_steps_and_what_a_flat_end_may_come_from(
    tmp_path: Path, last: float, flat: bool
) -> None:
    lengths = {2: "800", 4: "1120"}  # as many as `auto` asks for
    rows = [
        {**row(n, dice), "steps": "auto", "trained_steps": lengths[n]} for n, dice in ((2, 0.6), (4, last))
    ]
    page = replay_html(read_replay(write_table(tmp_path / "runs.csv", rows)))
    assert "800 to 1,120 steps" in page
    assert ("4 times the steps" in page) == flat


def test_a_curve_that_falls_at_its_end_is_not_called_flat(tmp_path: Path) -> None:
    rows = [
        {**row(n, dice, strategy=strategy), "trained_steps": "800"}
        for strategy, last in (("none", 0.4), ("red", 0.6))
        for n, dice in ((2, 0.6), (4, last))
    ]
    page = replay_html(read_replay(write_table(tmp_path / "runs.csv", rows)))
    for name, does in (("none", "falls"), ("red", "is flat")):
        assert (
            f"resunet, {name}: The trainings of this curve took 800 steps. The curve {does} at its end"
            in page
        )


def test_the_page_says_of_each_flat_curve_how_long_its_trainings_were(tmp_path: Path) -> None:
    rows = [
        {**row(n, dice, strategy=strategy), "trained_steps": made}
        for strategy, last, made in (("none", 0.7, "800.0"), ("red", 0.6, "1600.0"), ("genda", 0.6, ""))
        for n, dice in ((2, 0.6), ("4.0", last))
    ]
    page = replay_html(read_replay(write_table(tmp_path / "runs.csv", rows)))
    assert "Trainings of 800 to 1,600 steps." in page
    assert "resunet, red: The trainings of this curve took 1,600 steps." in page
    assert "resunet, genda: How long its trainings were the table does not tell." in page
    assert "resunet, none:" not in page


@pytest.mark.parametrize(("last", "flat"), [(0.7, False), (0.605, True)])
def test_the_page_says_how_many_trainings_their_minutes_cut(tmp_path: Path, last: float, flat: bool) -> None:
    rows = [
        {**row(n, dice, case=case, seed=seed), "steps": "auto", "trained_steps": made if seed else "1580"}
        for n, dice, made in ((2, 0.6, "49"), (4, last, "55"))
        for case in ("c", "d")
        for seed in (0, 1)
    ]
    page = replay_html(read_replay(write_table(tmp_path / "runs.csv", rows)))
    assert "49 to 1,580 steps, and 2 of 4 ended when their minutes were over: more minutes may" in page
    assert ("minutes enough for all steps at one of its sizes" in page) == flat
    assert "times the steps" not in page


@pytest.mark.parametrize("columns", [{}, {"steps": "auto"}, {"steps": "400"}, {"trained_steps": "3"}])
def test_tables_that_do_not_tell_both_lengths_tell_of_no_cut(tmp_path: Path, columns: dict[str, str]) -> None:
    rows = [{**row(n, 0.6), **columns} for n in (2, 4)]
    assert "when their minutes" not in replay_html(read_replay(write_table(tmp_path / "runs.csv", rows)))


def test_steps_of_more_digits_than_any_number_are_told_apart_all_the_same(tmp_path: Path) -> None:
    rows = [{**row(2, 0.6), "steps": steps} for steps in ("400", "9" * 5000)]
    assert len(read_replay(write_table(tmp_path / "runs.csv", rows))) == 2
