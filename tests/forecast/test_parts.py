"""Misses, strategies, labels drawn on a prediction, and changes in mid-session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scaling_app.forecast import shift_alarm
from scaling_app.forecast.arms import choose_strategy, compare_arms
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.evidence import SET_SHARE
from scaling_app.forecast.forecaster import answer_question
from scaling_app.forecast.misses import MissRate
from scaling_app.forecast.posterior import CurvePosterior
from scaling_app.forecast.prior import shipped_prior
from scaling_app.forecast.scores import Score
from scaling_app.forecast.shift_alarm import find_shift, prequential_deviates, standing_alarm
from scaling_app.forecast.simulation import SPREAD, random_truth, simulate_session


def draw_of_trainings(luck: float, trainings: int, rng: np.random.Generator) -> list[Score]:
    """Trainings on 4, 8 and 16 cases, all tested on the same 20."""
    case = rng.normal(0, 0.5, 20)
    found = []
    for n in (4, 8, 16):
        for turn in range(trainings):
            lucky = rng.normal(0, luck / np.sqrt(n))
            error = expit(-1.5 - 0.4 * np.log(n / 8) + case + lucky + rng.normal(0, 0.25, 20))
            found += [
                Score(n, float(1 - e), case=f"c{i}", run=f"{n}-{turn}", kind="replay")
                for i, e in enumerate(error)
            ]
    return found


def test_trainings_made_again_tell_how_large_luck_is() -> None:
    rng = np.random.default_rng(0)

    def luck(of_each: float, trainings: int) -> np.ndarray:
        made = [draw_of_trainings(of_each, trainings, rng) for _ in range(8)]
        return np.array([CurvePosterior(scores, shipped_prior()).luck(8.0) for scores in made])

    steady, lucky = luck(0.1, 3), luck(1.5, 3)
    assert lucky.mean() > 3 * steady.mean()
    slope = 0.15  # of the Dice over the logit of the error, about
    assert lucky.mean() == pytest.approx(slope * 1.5 / np.sqrt(8), rel=0.5)


def test_a_curve_of_one_training_a_size_says_what_luck_does_and_is_wider() -> None:
    rng = np.random.default_rng(1)
    one, three = (BayesForecaster().fit(draw_of_trainings(0.5, k, rng), 16) for k in (1, 3))
    (note,) = [text for text in one.notes() if "luck" in text]
    assert note.startswith(
        "Each size was trained once. By luck alone, trainings on 16 cases differ by about "
    )
    assert f"{100 * one.luck():.1f} points" in note and "on other cases" in note
    assert not [text for text in three.notes() if "luck" in text]
    (narrow,), (wide,) = three.predict([16]), one.predict([16])
    assert wide.hi80 - wide.lo80 > narrow.hi80 - narrow.lo80


def luck_notes(scores: list[Score], n_now: int = 16) -> list[str]:
    notes = BayesForecaster().fit(scores, n_now).notes()
    return [text for text in notes if "luck" in text or "seed" in text]


def test_seeds_on_one_choice_of_cases_show_nothing_of_others_and_it_is_said() -> None:
    scores = draw_of_trainings(0.5, 3, np.random.default_rng(4))
    named = [replace(o, run="0", seed=int(o.run[-1])) for o in scores]
    (note,) = luck_notes(named)
    assert note.startswith(
        "Each size was trained on one choice of cases. By luck alone, trainings on 16 cases differ"
    )
    (asked,) = luck_notes([replace(o, run="") for o in named])
    assert asked.startswith(
        "Trainings of one size that differ in their seed alone are taken to be on other cases"
    )
    structures = [replace(o, structure=name) for o in named if o.seed == 0 for name in ("liver", "spleen")]
    (several,) = luck_notes(structures)
    assert "trained once" in several and "where it is largest)" in several


def averages(scores: list[Score]) -> list[Score]:
    """One row for each training."""
    cells: dict[tuple[int, str, int], list[float]] = {}
    for o in scores:
        cells.setdefault((o.n, o.run, o.seed), []).append(o.dice or 0.0)
    return [Score(n, float(np.mean(dice)), run=run, seed=seed) for (n, run, seed), dice in cells.items()]


def test_averages_of_one_training_a_size_hold_its_luck_and_say_so() -> None:
    scores = averages(draw_of_trainings(0.5, 1, np.random.default_rng(5)))
    (note,) = luck_notes(scores)
    assert note.startswith(
        "Each size was trained once. By luck alone, trainings on 16 cases are taken to differ"
    )


def test_ranges_of_averages_hold_the_luck_of_one_draw_however_many_seeds_it_has() -> None:
    rng = np.random.default_rng(6)
    inside = {1: 0, 6: 0}
    for _ in range(40):
        for seeds, held in inside.items():
            scores = []
            for n in (2, 4, 8):
                of_cases = rng.normal(0, np.sqrt(SET_SHARE))
                for seed in range(seeds):
                    w = 0.5 / np.sqrt(n) * (of_cases + rng.normal(0, np.sqrt(1 - SET_SHARE)))
                    error = expit(-1.5 - 0.4 * np.log(n / 8) + w)
                    scores.append(Score(n, float(1 - error), run="0", seed=seed))
            (p,) = BayesForecaster().fit(scores, 8).predict([8])
            inside[seeds] = held + (p.lo80 <= 1 - expit(-1.5) <= p.hi80)
    assert all(30 <= held <= 39 for held in inside.values()), inside


def test_trainings_on_the_same_cases_count_for_less_than_those_on_others() -> None:
    rng = np.random.default_rng(2)
    others = draw_of_trainings(0.5, 3, rng)
    same = [replace(o, run=o.run.partition("-")[0], seed=int(o.run[-1])) for o in others]
    (far,), (near,) = (BayesForecaster().fit(scores, 16).predict([16]) for scores in (others, same))
    assert near.hi80 - near.lo80 > 1.1 * (far.hi80 - far.lo80)


def test_no_miss_seen_leaves_hardly_any_expected() -> None:
    seen = [Score(8, 0.8, case=f"c{i}", run="r") for i in range(16)]
    rate = MissRate(seen)
    assert rate.mean(np.array([8.0]))[0] < 0.02
    assert rate.p_never > 0.8


def test_misses_pull_the_mean_down_and_fall_with_n() -> None:
    rng = np.random.default_rng(0)
    observations = [
        Score(n, 0.0 if rng.random() < p else 0.8 + 0.001 * i, case=f"{n}-{i}", run=f"r{n}")
        for n, p in ((4, 0.5), (16, 0.25))
        for i in range(40)
    ]
    rate = MissRate(observations)
    early, late = rate.mean(np.array([4.0, 16.0]))
    assert early == pytest.approx(0.5, abs=0.12)
    assert late == pytest.approx(0.25, abs=0.1)
    assert rate.draws(np.array([4.0, 64.0, np.inf]), 2000).mean(0)[2] < 0.05
    (p,) = BayesForecaster().fit(observations).predict([16])
    assert p.mean == pytest.approx(0.8 * 0.75, abs=0.1)


def test_draws_of_the_miss_rate_have_its_mean() -> None:
    observations = [Score(4, 0.0 if i % 3 == 0 else 0.7, case=f"c{i}", run="r") for i in range(12)]
    rate = MissRate(observations)
    n = np.array([4.0, 8.0])
    np.testing.assert_allclose(rate.draws(n, 20_000).mean(0), rate.mean(n), atol=0.01)


@pytest.mark.slow_statistics
@pytest.mark.parametrize("shift", [0.0, -0.6])
def test_labels_drawn_on_a_prediction_are_corrected(shift: float) -> None:
    errors, plain_errors = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = random_truth(rng)
        observations = simulate_session(truth, 24, rng, assisted_share=0.7, assisted_shift=shift)
        actual = truth.dice([24])[0]
        errors.append(BayesForecaster().fit(observations, 24).predict([24])[0].mean - actual)
        blinded = [replace(o, assisted=False) for o in observations]
        plain_errors.append(BayesForecaster().fit(blinded, 24).predict([24])[0].mean - actual)
    if shift:
        assert np.mean(plain_errors) > 0.02
        assert abs(np.mean(errors)) < 0.6 * np.mean(plain_errors)
    else:
        assert abs(np.mean(errors)) < 0.015


def test_the_correction_is_reported() -> None:
    rng = np.random.default_rng(1)
    observations = simulate_session(random_truth(rng), 24, rng, assisted_share=0.7, assisted_shift=-0.8)
    message = str(answer_question(observations, n_now=24).payload()["message"])
    assert "labels of structure were drawn with a prediction on screen" in message
    assert "which is corrected" in message


def test_what_is_open_about_gains_does_not_average_out_over_structures() -> None:
    """How steep the curve of a task is, is common to its structures."""
    rng = np.random.default_rng(3)
    truth = random_truth(rng)
    one = [replace(o, structure="s0") for o in simulate_session(truth, 16, rng)]
    several = [replace(o, structure=f"s{i}") for i in range(1, 5) for o in simulate_session(truth, 16, rng)]
    width = {}
    for name, observations in (("one", one), ("five", [*one, *several])):
        (found,) = BayesForecaster().fit(observations, 16).predict([32])[:1]
        width[name] = found.gain_hi80 - found.gain_lo80
    assert 0.7 * width["one"] < width["five"] < 1.4 * width["one"]


def arms_session(kappa: float, seed: int, n_cases: int = 24) -> list[Score]:
    """A session and, on its folds' cases, a second strategy that is worth `kappa` times as many labels."""
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    own = simulate_session(truth, n_cases, rng)
    folds = [o for o in own if o.kind == "fold"]
    sizes = np.array([float(o.n) for o in folds])
    step = truth.eta(kappa * sizes) - truth.eta(sizes)
    noise = rng.normal(0, 0.2, len(folds))
    arms = [
        replace(
            o,
            kind="arm",
            strategy="red",
            run=f"red-{o.run}",
            dice=float(1 - expit(np.log((1 - o.dice) / o.dice) + d + e)),
        )
        for o, d, e in zip(folds, step, noise, strict=True)
        if o.dice is not None
    ]
    return own + arms


@pytest.mark.slow_statistics
@pytest.mark.parametrize("kappa", [1.0, 2.0])
def test_kappa_is_recovered(kappa: float) -> None:
    found, covered = [], 0
    for seed in range(10):
        observations = arms_session(kappa, seed)
        (result,) = answer_question(observations, n_now=24).strategies
        found.append(result["kappa"]["mean"])
        covered += result["kappa"]["lo80"] <= kappa <= result["kappa"]["hi80"]
    assert np.mean(found) == pytest.approx(kappa, rel=0.25)
    assert covered >= 5


def test_the_difference_has_an_interval_over_cases_and_says_how_many() -> None:
    observations = arms_session(2.0, 0)
    own = [o for o in observations if o.strategy == "baseline"]
    posterior = CurvePosterior(own, shipped_prior())
    (result,) = compare_arms(observations, ("baseline", "resunet"), {"structure": posterior})
    assert result.n_cases == 24
    d = result.dice_difference
    assert d["lo95"] <= d["lo80"] <= d["mean"] <= d["hi80"] <= d["hi95"]
    assert result.kappa is not None
    assert result.kappa["lo80"] < result.kappa["hi80"]


def test_a_strategy_that_made_the_very_same_models_is_no_better_and_no_worse() -> None:
    own = [o for o in arms_session(2.0, 0) if o.strategy == "baseline"]
    twins = [replace(o, strategy="genseg", kind="arm") for o in own if o.kind == "fold"]
    (result,) = answer_question([*own, *twins], n_now=24).strategies
    assert all(result["dice_difference"][key] == 0 for key in ("mean", "lo80", "hi80", "lo95", "hi95"))
    assert result["kappa"]["lo80"] < 1 < result["kappa"]["hi80"]
    assert choose_strategy([*own, *twins], ("baseline", "resunet")).strategy == "baseline"


def with_nsd(observations: list[Score]) -> list[Score]:
    return [replace(o, nsd=None if o.dice is None else 0.5 * o.dice) for o in observations]


def test_the_difference_in_surface_dice_is_told_where_it_is_known() -> None:
    observations = arms_session(2.0, 0)
    (without,) = answer_question(observations, n_now=24).strategies
    assert without["nsd_difference"] is None
    (known,) = answer_question(with_nsd(observations), n_now=24).strategies
    assert known["nsd_difference"]["mean"] == pytest.approx(0.5 * known["dice_difference"]["mean"])
    assert known["dice_difference"] == without["dice_difference"]


def test_test_then_train_scores_are_no_part_of_the_comparison() -> None:
    observations = arms_session(2.0, 0)
    (fair,) = compare_arms(observations, ("baseline", "resunet"), {})
    lucky = [
        replace(o, kind="prequential", run=f"published-{o.n}", dice=0.999)
        for o in observations
        if o.strategy == "red" and o.case
    ]
    assert compare_arms([*observations, *lucky], ("baseline", "resunet"), {}) == [fair]


def test_differences_all_alike_are_no_proof_where_patients_are_few() -> None:
    def scores(strategy: str, kind: str, dice: float, patients: str) -> list[Score]:
        return [Score(8, dice, case=c, run=f"{kind}{c}", kind=kind, strategy=strategy) for c in patients]

    for patients, chosen in (("abc", "baseline"), ("abcd", "red")):
        tested = [*scores("baseline", "fold", 0.0, patients), *scores("red", "arm", 0.3, patients)]
        assert choose_strategy(tested, ("baseline", "resunet")).strategy == chosen


def arm_ahead_by(points: float, strategy: str = "red", noise: float = 1.0) -> list[Score]:
    """A strategy that scores so many points of Dice more than the session's own on every fold's case."""
    rng = np.random.default_rng(0)
    folds = [o for o in simulate_session(random_truth(rng), 24, rng) if o.kind == "fold" and o.dice]
    steps = rng.normal(points / 100, noise / 100, len(folds))
    folds = [replace(o, dice=0.2 + 0.5 * o.dice) for o in folds]
    arms = [
        replace(o, kind="arm", strategy=strategy, run=f"{strategy}-{o.run}", dice=o.dice + step)
        for o, step in zip(folds, steps, strict=True)
    ]
    return folds + arms


def no_better_arms(n_cases: int, arms: int, run_luck: float, rng: np.random.Generator) -> list[Score]:
    """Strategies that are all alike: each training has its luck, each test its noise (3 points)."""
    case = rng.normal(0, 0.05, n_cases)
    observations = []
    for strategy in ["baseline", *(f"arm{i}" for i in range(arms))]:
        kind = "fold" if strategy == "baseline" else "arm"
        for fold in range(5):
            luck = rng.normal(0, run_luck)
            tested = range(fold, n_cases, 5)
            scores = 0.75 + case[tested] + luck + rng.normal(0, 0.03, len(tested))
            observations += [
                Score(
                    n_cases - 2,
                    float(dice),
                    case=f"c{c}",
                    run=f"{strategy}{fold}",
                    kind=kind,
                    strategy=strategy,
                )
                for c, dice in zip(tested, np.clip(scores, 0.01, 0.99), strict=True)
            ]
    return observations


@pytest.mark.slow_statistics
@pytest.mark.parametrize("run_luck", [0.0, 0.02])
@pytest.mark.parametrize("n_cases", [5, 16])
def test_the_range_of_a_difference_holds_the_truth_as_often_as_it_says_also_where_trainings_are_lucky(
    n_cases: int, run_luck: float
) -> None:
    rng = np.random.default_rng(n_cases)
    held = 0
    for _ in range(150):
        (result,) = compare_arms(no_better_arms(n_cases, 1, run_luck, rng), ("baseline", "resunet"), {})
        held += result.dice_difference["lo80"] <= 0 <= result.dice_difference["hi80"]
    assert held >= 108  # 120 expected, and 2.4 standard deviations


@pytest.mark.slow_statistics
def test_auto_seldom_leaves_the_baseline_for_one_of_several_that_are_no_better() -> None:
    rng = np.random.default_rng(0)
    left = [
        choose_strategy(no_better_arms(8, 4, 0.02, rng), ("baseline", "resunet")).strategy != "baseline"
        for _ in range(100)
    ]
    assert sum(left) <= 18  # 10 expected at most, and 2.7 standard deviations


@pytest.mark.parametrize(
    ("points", "noise", "chosen"), [(2.0, 1.0, "red"), (0.3, 9.0, "baseline"), (-2.0, 1.0, "baseline")]
)
def test_auto_takes_a_clear_winner_and_nothing_else(points: float, noise: float, chosen: str) -> None:
    observations = arm_ahead_by(points, noise=noise)
    choice = choose_strategy(observations, ("baseline", "resunet"))
    assert choice.strategy == chosen
    assert "24 cases" in choice.reason and "\n" not in choice.reason


def test_auto_takes_the_better_one_of_two_winners() -> None:
    red, genda = arm_ahead_by(2.0), arm_ahead_by(4.0, "genda")
    both = [*red, *(o for o in genda if o.strategy == "genda")]
    assert choose_strategy(both, ("baseline", "resunet")).strategy == "genda"


def test_auto_without_a_comparison_stays_with_the_baseline_and_says_so() -> None:
    own = [o for o in arms_session(2.0, 0) if o.kind != "arm"]
    choice = choose_strategy(own, ("baseline", "resunet"))
    assert choice.strategy == "baseline" and "no other strategy has been compared" in choice.reason


def test_arms_do_not_feed_the_sessions_own_curve() -> None:
    observations = arms_session(2.0, 0)
    own = [o for o in observations if o.strategy == "baseline"]
    assert (
        answer_question(observations, n_now=24).payload()["overall"]
        == answer_question(own, n_now=24).payload()["overall"]
    )


def test_two_cases_are_no_comparison() -> None:
    observations = arms_session(2.0, 0)
    few = [o for o in observations if o.kind != "arm"] + [o for o in observations if o.kind == "arm"][:2]
    assert answer_question(few, n_now=24).strategies == ()


def stream(seed: int, shift: float, n_cases: int = 40, at: int = 22) -> list[Score]:
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, SPREAD.case, n_cases)
    difficulty[at:] += shift
    return simulate_session(random_truth(rng), n_cases, rng, kinds=["prequential"], case_effects=difficulty)


@pytest.mark.slow_statistics
def test_deviates_of_an_undisturbed_session_are_standard_normal() -> None:
    z = np.concatenate([prequential_deviates(stream(s, 0.0), shipped_prior(), SPREAD) for s in range(30)])
    assert (
        abs(z.mean()) < 0.2
    )  # the prior's curves level off sooner than the simulated ones; the alarm allows 0.5
    assert z.std() == pytest.approx(1.0, abs=0.12)


@pytest.mark.slow_statistics
def test_a_level_shift_raises_the_alarm_and_an_undisturbed_session_rarely_does() -> None:
    alarms = [find_shift(stream(s, 2.0), shipped_prior(), SPREAD) for s in range(30)]
    caught = [a for a in alarms if a is not None]
    assert len(caught) >= 26
    assert all(a.lower for a in caught)
    starts = [int(a.case[-3:]) for a in caught]
    assert np.median(starts) == pytest.approx(22, abs=3)
    assert sum(find_shift(stream(s, 0.0), shipped_prior(), SPREAD) is not None for s in range(30)) <= 3


def test_an_alarm_stands_until_scores_are_as_expected_again() -> None:
    chance = np.array([0.0] * 10 + [2.5] * 3)
    assert standing_alarm(chance, 5.0) == 10
    assert standing_alarm(np.append(chance, np.zeros(5)), 5.0) == 10
    assert standing_alarm(np.append(chance, np.zeros(13)), 5.0) is None
    assert standing_alarm(np.append(chance, np.ones(40)), 5.0) == 10


def test_a_long_session_is_watched_by_its_newest_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [Score(8, 0.8, case=f"c{k}", run="r", kind="prequential") for k in range(60)]
    looked_at: list[str] = []

    def deviates(scores: list[Score], *_: object) -> np.ndarray:
        looked_at.extend(o.case for o in scores)
        return np.zeros(len(scores))

    monkeypatch.setattr(shift_alarm, "MOST_SCORES", 20)
    monkeypatch.setattr(shift_alarm, "prequential_deviates", deviates)
    find_shift(scores, shipped_prior(), SPREAD)
    assert looked_at == [f"c{k}" for k in range(40, 60)]


@pytest.mark.slow_statistics
def test_more_structures_do_not_make_more_false_alarms() -> None:
    def sessions_with_alarm(structures: int) -> int:
        return sum(
            any(
                find_shift(stream(100 * k + s, 0.0, n_cases=60), shipped_prior(), SPREAD, structures)
                for k in range(structures)
            )
            for s in range(20)
        )

    assert sessions_with_alarm(4) <= 4


def test_an_alarm_holds_a_stop_back() -> None:
    advice = answer_question(stream(0, 2.0), n_now=40, target=0.05).advice
    assert advice.action == "wait"
    assert "another scanner, annotator or kind of case" in advice.sentence


def test_sampling_weights_count_cases_by_their_inverse_probability() -> None:
    observations = [
        Score(8, d, case=f"{d}-{i}", run="r", weight=w)
        for d, w in ((0.6, 4.0), (0.9, 1.0))
        for i in range(12)
    ]
    weighted = BayesForecaster().fit(observations).predict([8])[0].mean
    plain = BayesForecaster().fit([replace(o, weight=1.0) for o in observations]).predict([8])[0].mean
    assert weighted < plain - 0.03
