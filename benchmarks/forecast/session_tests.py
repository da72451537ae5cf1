"""Whole sessions: level, gain, coverage, the stop rule as it runs in the app, and negative controls.

`simulated`: curves and scatter of the model itself (the best case). `real shapes`: curves of LCDB 1.1's report part, eight
samples counting as one case, with the scatter of a random task; the shipped prior and calibration have never
seen these data sets. Every method is given the same sessions, score by score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.common.tables import Row, errors, held, share, with_interval
from benchmarks.forecast.calibrate import pick_curves, real_truth
from benchmarks.forecast.lcdb import Library
from scaling_app.forecast.answer import Answer
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.forecaster import answer_question, make_forecaster
from scaling_app.forecast.prior import shipped_prior
from scaling_app.forecast.score_table import CurveError
from scaling_app.forecast.shift_alarm import find_shift
from scaling_app.forecast.simulation import SPREAD, Truth, random_truth, simulate_session
from scaling_app.forecast.stopping import check_size

RATIOS = (1.0, 1.25, 1.5, 2.0, 4.0)
SIMULATED = 60

Case = tuple[object, Truth]


def truths(kind: str, library: Library) -> Iterator[Case]:
    """(task, truth) of every session of a kind."""
    rng = np.random.default_rng(12)
    if kind == "simulated":
        yield from ((i, random_truth(rng)) for i in range(SIMULATED))
    else:
        for row in pick_curves(library, 1, rng):
            yield int(library.dataset[row]), real_truth(library.error[row], rng)


def accuracy(
    kind: str, library: Library, methods: Sequence[str], progress: Callable[[str], None]
) -> list[Row]:
    """Error of level and gain, and coverage, per method, number of cases and horizon."""
    table: list[Row] = []
    for n_now in (8, 16, 32):
        for method in methods:
            progress(f"{kind} sessions: N={n_now} {method}")
            table += _accuracy(kind, library, n_now, method)
    return table


def _accuracy(kind: str, library: Library, n_now: int, method: str) -> list[Row]:
    rng = np.random.default_rng(n_now)
    sizes = [round(n_now * ratio) for ratio in RATIOS]
    tasks, level, gain, inside, width = [], [], [], [], []
    for task, truth in truths(kind, library):
        observations = simulate_session(truth, n_now, rng)
        predictions = make_forecaster(method).fit(observations, n_now).predict(sizes)
        actual = truth.dice(sizes)
        tasks.append(task)
        level.append([p.mean - a for p, a in zip(predictions, actual, strict=True)])
        gain.append([p.gain_mean - (a - actual[0]) for p, a in zip(predictions, actual, strict=True)])
        inside.append(
            [
                (p.lo80 <= a <= p.hi80, p.lo95 <= a <= p.hi95, p.gain_lo80 <= a - actual[0] <= p.gain_hi80)
                for p, a in zip(predictions, actual, strict=True)
            ]
        )
        width.append([p.hi80 - p.lo80 for p in predictions])
    groups = np.array(tasks)
    missed, gained, covered, widths = (np.array(a, dtype=float) for a in (level, gain, inside, width))
    return [
        {
            "N": n_now,
            "horizon": f"x{ratio:g}",
            "method": method,
            "sessions": len(groups),
            "tasks": len(np.unique(groups)),
            "level MAE points": errors(missed[:, t], groups),
            "gain MAE points": errors(gained[:, t], groups),
            "coverage 80%": held(covered[:, t, 0], groups),
            "coverage 95%": held(covered[:, t, 1], groups),
            "gain coverage 80%": held(covered[:, t, 2], groups),
            "width 80% points": float(100 * widths[:, t].mean()),
        }
        for t, ratio in enumerate(RATIOS)
    ]


def stopping(library: Library, progress: Callable[[str], None]) -> list[Row]:
    """The app's rule, guards and memory included, over sessions that update at 8, 12, 16, 24, 32, 48 and 64 cases."""
    updates = (8, 12, 16, 24, 32, 48, 64)
    rng = np.random.default_rng(14)
    verdicts, flat_sessions, stopped_flat = [], 0, 0
    for count, (_, truth) in enumerate(truths("real shapes", library)):
        if count % 30 == 0:
            progress(f"stop rule in sessions: {count}")
        history: list[Answer] = []
        difficulty = rng.normal(0, truth.spread.case, updates[-1])
        stopped = False
        seen_flat = False
        for n_now in updates:
            observations = simulate_session(truth, n_now, rng, case_effects=difficulty[:n_now])
            forecast = answer_question(observations, n_now=n_now, history=history)
            history.append(forecast)
            now, later = truth.dice([n_now, n_now + check_size(n_now)])
            seen_flat |= later - now < 0.01
            if forecast.advice.action == "stop":
                verdicts.append((later - now, n_now))
                stopped = True
                break
        flat_sessions += seen_flat
        stopped_flat += seen_flat and stopped
    gains = np.array([v[0] for v in verdicts])
    return [
        {
            "rule": "P(gain of max(5, N/4) cases < 1 point) >= 0.8 at two updates running, guards on",
            "sessions": count + 1,
            "stops": len(gains),
            "precision": share(int((gains < 0.01).sum()), len(gains)),
            "flat sessions stopped by 64 cases": share(int(stopped_flat), int(flat_sessions)),
            "lost gain points": float(100 * np.clip(gains, 0, None).mean()) if len(gains) else float("nan"),
            "median N at the stop": float(np.median([v[1] for v in verdicts]))
            if len(gains)
            else float("nan"),
        }
    ]


def controls(progress: Callable[[str], None]) -> list[Row]:
    """Shuffled sizes, duplicated patients, a level shift."""
    progress("negative controls")
    shuffled, straight = _gains(True), _gains(False)
    alarms = {shift: sum(_alarm(seed, shift) for seed in range(60)) for shift in (0.0, 1.0, 2.0)}
    same, other = (sum(_duplicate_refused(seed, renamed) for seed in range(20)) for renamed in (False, True))
    each = np.arange(len(shuffled))
    return [
        {
            "control": "gain N=24 -> 48 promised, sizes shuffled (points)",
            "result": with_interval(shuffled, each),
        },
        {"control": "the same, sizes as they are", "result": with_interval(straight, each)},
        {"control": "a patient counted twice under the same name is refused", "result": share(same, 20)},
        {"control": "a patient counted twice under another name is refused", "result": share(other, 20)},
        {"control": "alarm, no shift (40 cases)", "result": share(alarms[0.0], 60)},
        {"control": "alarm, later half harder by 1 logit", "result": share(alarms[1.0], 60)},
        {"control": "alarm, later half harder by 2 logits", "result": share(alarms[2.0], 60)},
    ]


def _gains(shuffle: bool) -> np.ndarray:
    gains = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        observations = simulate_session(random_truth(rng), 24, rng)
        if shuffle:
            sizes = rng.permutation([o.n for o in observations])
            observations = [
                replace(o, n=int(n), run=f"{o.run}/{i}")
                for i, (o, n) in enumerate(zip(observations, sizes, strict=True))
            ]
        gains.append(BayesForecaster().fit(observations, 24).predict([48])[0].gain_mean)
    return np.array(gains)


def _alarm(seed: int, shift: float) -> bool:
    rng = np.random.default_rng(1000 + seed)
    difficulty = rng.normal(0, SPREAD.case, 40)
    difficulty[20:] += shift
    observations = simulate_session(
        random_truth(rng), 40, rng, kinds=["prequential"], case_effects=difficulty
    )
    return find_shift(observations, shipped_prior(), SPREAD) is not None


def _duplicate_refused(seed: int, renamed: bool) -> bool:
    rng = np.random.default_rng(seed)
    observations = simulate_session(random_truth(rng), 12, rng)
    copies = [o for o in observations if o.case == "case_010"]
    if renamed:
        copies = [replace(o, case="case_010_again") for o in copies]
    try:
        answer_question([*observations, *copies], n_now=12)
    except CurveError:
        return True
    return False
