"""Reading a table of scores, and refusing what cannot be used, with a sentence that helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scaling_app.forecast import score_table, scores
from scaling_app.forecast.score_table import CurveError
from scaling_app.forecast.scores import Score, by_structure, check_scores, own_arm, read_curve


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "curve.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_two_columns_are_enough(tmp_path: Path) -> None:
    curve = read_curve(write(tmp_path, "n,dice\n4,0.6\n8,0.7\n"))
    assert [(o.n, o.dice) for o in curve] == [(4, 0.6), (8, 0.7)]


def test_every_column_is_read(tmp_path: Path) -> None:
    text = (
        "N;Dice;Case;Structure;Run;Seed;Kind;Assisted;Strategy;Network;Weight;Nsd;Capacity\n"
        "4;0.6;a;liver;r1;3;prequential;true;red;unet;2;0.8;medium\n"
        "4;0.6;b;liver;r1;3;prequential;true;red;unet;2;;\n"
    )
    with_nsd, without = read_curve(write(tmp_path, text))
    assert with_nsd == Score(
        4,
        0.6,
        "liver",
        "a",
        "r1",
        3,
        "prequential",
        True,
        strategy="red",
        network="unet",
        weight=2.0,
        nsd=0.8,
        capacity="medium",
    )
    assert without == replace(with_nsd, case="b", nsd=None, capacity="")


def test_blank_dice_means_absent_from_the_reference(tmp_path: Path) -> None:
    curve = read_curve(write(tmp_path, "n,dice,case\n4,,a\n4,nan,b\n4,0.5,c\n"))
    assert [o.dice for o in curve] == [None, None, 0.5]


def misses(dice: Sequence[float | None], case: str = "c") -> list[float | None]:
    scores = [Score(4, d, case=case and f"{case}{i}") for i, d in enumerate(dice)]
    return [o.dice for o in by_structure(scores)["structure"] if o.missed]


def test_a_case_that_was_hardly_found_beside_others_is_a_miss() -> None:
    assert misses([0.0, 0.04, 0.1, 0.11, 0.6, 0.7, 0.8, 0.9, None]) == [0.0, 0.04, 0.1]
    assert misses([0.0, 0.03, 0.06, 0.15, 0.2, 0.2]) == [0.0, 0.03]


def test_what_no_model_finds_any_better_is_no_miss() -> None:
    assert misses([0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.06, 0.06]) == [0.0]
    assert misses([0.0, 0.0, 0.0]) == [0.0, 0.0, 0.0]


def test_a_low_average_is_no_miss() -> None:
    assert misses([0.0, 0.04, 0.7, 0.8], case="") == [0.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("n,dice\n", "no rows"),
        ("cases,score\n4,0.5\n", "has no column n, dice; found: cases, score"),
        ("n,dice\n4,81.2\n", "line 2: dice must be in [0, 1], got 81.2; percentages? give 0.812"),
        ("n,dice\n4,0.5\n8,-0.1\n", "line 3: dice must be in [0, 1]"),
        ("n,dice\n0,0.5\n", "line 2: n must be at least 1"),
        ("n,dice\n4.5,0.5\n", "n must be a whole number, got '4.5'"),
        ("n,dice\nfour,0.5\n", "n must be a number, got 'four'"),
        ("n;dice\n1,000;0,5\n", "n must be a whole number, got '1,000'"),
        ("n;dice\n1.000;0,5\n", "n must be a whole number without a thousands sign, got '1.000'"),
        ("n,dice\n1_6,0.5\n", "line 2: n must be a number, got '1_6'"),
        ('n,dice\n4,0.5\n8,"0.6\n16,0.7\n', "line 3: dice must be a number"),
        ("n|dice\n4|0.5\n", "found: n|dice. Its first line names the columns, separated by commas"),
        ("n,dice\n4\n", "line 2 has 1 values but the header has 2 columns"),
        ("n,dice,case\n4,0.5,a\n8,0.6,a\n4,0.5,a\n", "line 4 repeats line 2 (case 'a')"),
        ("n,dice\n4,0.5\n4,0.5\n", "line 3 repeats line 2"),
        ("n,dice,assisted\n4,0.5,perhaps\n", "assisted must be 0/1 or true/false"),
        ("n,dice,weight\n4,0.5,0\n", "weight must be a positive number"),
        ("n,dice,nsd\n4,0.5,80\n", "nsd must be in [0, 1], got 80.0; percentages? give 0.8"),
        ("n,dice\n4,\n8,\n", "no row has a dice value"),
        ("n,dice\n4,inf\n", "dice must be in [0, 1]"),
        ("n,dice\n1e300,0.5\n", "line 2: n must be at most 1,000,000 training cases, got 1e+300"),
        ("n,dice\n4,0.5\n\n8,60 per cent\n", "line 4: dice must be a number"),
        ("n,dice,weight\n4,0.5,1e300\n", "line 2: weight must be a positive number"),
        ("n,dice\n4,0.5\n8,0.", "line 3 is unfinished"),
        ("n,dice\n4,0.5\n8,", "line 3 is unfinished"),
        ("n,dice\n4,0.5\n8", "line 3 is unfinished"),
        ("n,dice,case\n4,0.5," + 140_000 * "x" + "\n", "line 2 is no row of a table"),
        ("sep=;\nn;dice\n4;0,5\n8;1,5\n", "line 4: dice must be in [0, 1]"),
    ],
)
def test_bad_tables_are_refused_with_a_reason(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CurveError) as error:
        read_curve(write(tmp_path, text))
    assert says in str(error.value)


REPLAY = "dataset,network,strategy,n,draw,seed,case,structure,dice,steps\n"


def test_a_run_that_two_replays_wrote_counts_once(tmp_path: Path, caplog) -> None:
    rows = [f"d,resunet,none,{n},0,0,{case},s,0.{n}{k}1,400\n" for n in (2, 4) for k, case in enumerate("ab")]
    once = read_curve(write(tmp_path, REPLAY + "".join(rows)))
    assert read_curve(write(tmp_path, REPLAY + "".join(rows + rows[2:]))) == once
    assert "2 rows, the first in line 6, repeat scores" in caplog.text


def test_the_line_of_a_replay_that_a_kill_cut_is_left_out_and_said(tmp_path: Path, caplog) -> None:
    rows = [f"d,resunet,none,{n},0,0,a,s,0.5{n},400\n" for n in (2, 4, 8)]
    whole = read_curve(write(tmp_path, REPLAY + "".join(rows[:2])))
    assert read_curve(write(tmp_path, (REPLAY + "".join(rows))[:-3])) == whole
    assert "the last line, 4, is unfinished" in caplog.text


def test_seeds_of_64_bits_are_told_apart(tmp_path: Path) -> None:
    seeds = [2**64 - 1, 2**64 - 2, -(2**63), 0]
    table = "n,dice,case,seed\n" + "".join(f"4,0.5{k},a,{seed}\n" for k, seed in enumerate(seeds))
    assert [o.seed for o in read_curve(write(tmp_path, table))] == seeds


def test_draws_within_a_run_are_told_apart(tmp_path: Path) -> None:
    table = "n,dice,case,run,draw,seed\n" + "".join(f"4,0.5{k},a,mine,{k},0\n" for k in range(3))
    assert len({o.set_key for o in read_curve(write(tmp_path, table))}) == 3


def test_a_whole_last_line_needs_no_line_end(tmp_path: Path) -> None:
    assert read_curve(write(tmp_path, "n,dice\n4,0.5\n8,0.6")) == read_curve(
        write(tmp_path, "n,dice\n4,0.5\n8,0.6\n")
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n,dice,case\n" + "".join(f"4,0.5,c{k}\n" for k in range(41)), "more than 40 rows"),
        ("n,dice,case,run\n" + "".join(f"4,0.5,c,r{k}\n" for k in range(11)), "11 different trainings"),
        ("n,dice\n" + "".join(f"{k},0.5\n" for k in range(1, 7)), "6 different numbers of cases"),
    ],
)
def test_a_table_that_would_fill_the_memory_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.setattr(score_table, "MOST_ROWS", 40)
    monkeypatch.setattr(scores, "MOST_MODELS", 10)
    monkeypatch.setattr(scores, "MOST_SIZES", 5)
    with pytest.raises(CurveError, match=f"{says}.*picked at random"):
        read_curve(write(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CurveError, match="no such file"):
        read_curve(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00n,dice")
    with pytest.raises(CurveError, match="cannot be read as a text table"):
        read_curve(tmp_path / "binary.csv")


def scored_alike(*scores: float) -> list[Score]:
    return [Score(8, dice, case=case, run=f"r{k}") for case in "ab" for k, dice in enumerate(scores)]


def test_one_patient_under_two_names_is_refused() -> None:
    twins = scored_alike(0.61234, 0.70123, 0.72345, 0.74321)
    with pytest.raises(CurveError, match="'a' and 'b' have exactly the same scores"):
        check_scores(twins)
    with pytest.raises(CurveError, match="one patient under two names"):
        check_scores([replace(o, patient=o.case) for o in twins])


def test_two_images_of_one_patient_may_score_alike() -> None:
    twins = scored_alike(0.61234, 0.70123, 0.72345, 0.74321)
    check_scores([replace(o, patient="p") for o in twins])


def test_tiny_structures_that_score_alike_are_no_twins() -> None:
    check_scores(scored_alike(2 / 3, 6 / 7))
    check_scores(scored_alike(2 / 3, 2 / 3, 6 / 7, 2 / 3, 6 / 7, 2 / 3))


def test_equal_rounded_scores_are_no_twins() -> None:
    check_scores([Score(n, d, case=c, run=f"r{n}") for c in ("a", "b") for n, d in ((4, 0.6), (8, 0.7))])


def test_comparison_arms_are_not_the_sessions_own_curve() -> None:
    own = [Score(4, 0.5, case="a"), Score(4, 0.6, case="b")]
    arms = [Score(4, 0.5, case=f"c{i}", kind="arm", strategy="red") for i in range(5)]
    assert own_arm(arms + own) == ("baseline", "resunet")
