"""The quick ways through tens of thousands of scores give what the plain ones give."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from scipy.special import expit

from scaling_app.curve.ledger_curve import overall_scores
from scaling_app.forecast import forecaster
from scaling_app.forecast.answer import observed_points
from scaling_app.forecast.evidence import Elimination, StructureData, structure_data
from scaling_app.forecast.forecaster import answer_question
from scaling_app.forecast.score_table import CurveError
from scaling_app.forecast.scores import Score, check_scores, evidence_of

PATIENTS, RUNS = 25, 9


def random_table(seed: int, *, images: int = 1, averaged: bool = False) -> list[Score]:
    """Scores of two structures with gaps, weights, kinds, assisted labels; some cases tested twice by runs alike."""
    rng = np.random.default_rng(seed)
    found = []
    for run in range(RUNS):
        n = int(rng.choice([3, 5, 8, 13]))
        kind = str(rng.choice(["fold", "nested", "prequential"]))
        for case in range(PATIENTS * images):
            for structure in ("liver", "lesion"):
                if rng.random() < 0.3:
                    continue
                found.append(
                    Score(
                        n=n,
                        dice=None if rng.random() < 0.05 else float(expit(rng.normal(1.5, 1.0))),
                        structure=structure,
                        case="" if averaged else f"case_{case}",
                        run=f"run_{run}",
                        kind=kind,
                        assisted=case % 3 == 0,
                        weight=1.0 + case % 4,
                        patient="" if images == 1 else f"patient_{case // images}",
                    )
                )
    return found


def plain_sums(data: StructureData, weight: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted products of all columns, written out dense: levels, runs, offsets and y; and their sums by case."""
    levels, runs = np.eye(len(data.sizes))[data.level], np.eye(len(data.run_sizes))[data.run]
    design = np.column_stack([levels, runs, data.offsets, y])
    by_case = np.zeros((len(data.case_weight), design.shape[1]))
    np.add.at(by_case, data.case, weight[:, None] * design)
    return design.T @ (weight[:, None] * design), by_case


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_sums_by_run_hold_all_that_the_dense_ones_hold(seed: int, images: int) -> None:
    scores = [o for o in random_table(seed, images=images) if o.structure == "liver"]
    data = structure_data(scores)
    rows = np.random.default_rng(seed).uniform(0.5, 1.5, len(data.y))
    elimination = Elimination(data, rows)
    gram, by_case = plain_sums(data, elimination.weight, elimination.y)
    k = len(data.sizes)
    np.testing.assert_allclose(elimination._base, gram[k:, k:], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        elimination._of_level.T @ elimination._base, gram[:k, k:], rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(elimination.case_sum, by_case[:, k:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("images", [1, 3])
def test_patients_are_those_of_the_cases_whatever_the_order(images: int) -> None:
    scores = [o for o in random_table(7, images=images) if o.dice is not None and not o.missed]
    data = structure_data(scores)
    names = sorted({o.case for o in scores})
    units = sorted({o.unit for o in scores})
    unit_of = {o.case: o.unit for o in scores}
    assert [units[p] for p in data.patient] == [unit_of[name] for name in names]


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("averaged", [False, True])
def test_observed_points_are_the_means_over_cases_written_out(images: int, averaged: bool) -> None:
    scores = random_table(1, images=images, averaged=averaged)
    cells: dict[tuple[str, str, int], dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for row, o in enumerate(scores):
        if o.dice is not None:
            cells[o.structure, o.kind, o.n][o.case or str(row)].append(o)
    points = observed_points(scores)
    assert len(points) == len(cells)
    for point in points:
        cases = cells[point["structure"], point["kind"], point["n"]].values()
        means = [fmean(o.dice for o in tests) for tests in cases]
        weights = [tests[0].weight for tests in cases]
        assert point["n_cases"] == len(means)
        assert point["dice"] == pytest.approx(np.average(means, weights=weights), abs=1e-12)


def test_the_mean_over_structures_is_exact_to_the_last_bit() -> None:
    scores = random_table(2)
    plain = defaultdict(list)
    for o in scores:
        if o.dice is not None:
            plain[o.run, o.kind, o.case].append(o.dice)
    assert [o.dice for o in overall_scores(scores)] == [fmean(group) for group in plain.values()]
    assert all(math.isfinite(o.dice) for o in overall_scores(scores))


def test_twins_are_found_among_cases_that_only_look_alike() -> None:
    scores = random_table(3)
    of_first = [o for o in scores if o.case == "case_0"]
    check_scores(scores)
    runs = [o.run for o in of_first]
    shifted = [
        replace(o, case="same scores, other runs", run=f"other_{r}")
        for o, r in zip(of_first, runs, strict=True)
    ]
    check_scores([*scores, *shifted])
    twin = [replace(o, case="twin") for o in of_first]
    with pytest.raises(CurveError, match="'case_0' and 'twin' have exactly the same scores"):
        check_scores([*scores, *shifted, *twin])
    check_scores([*scores, *(replace(o, patient="case_0") for o in twin)])


def test_the_scores_are_identified_once_where_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = random_table(4)
    known = evidence_of(scores)

    def again(_: object) -> str:
        raise AssertionError("identified again")

    monkeypatch.setattr(forecaster, "evidence_of", again)
    assert answer_question(scores[:1], n_now=1, evidence=known).status == "too_few"
