"""How many trainings an answer rests on: those of the session itself, and those needed beforehand on other tasks.

Counted in the observations that each method was given and in what the priors and the LSTM were made of; only the
number of Lee et al. is quoted (PLOS One, 2025, 10.1371/journal.pone.0339064).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.common.tables import Row
from benchmarks.forecast.bank import Curve, own_curves
from benchmarks.forecast.bank_tests import BANDS, bank_sessions
from benchmarks.forecast.lstm_curves import FEWEST_SIZES, TEMPLATE_SIZES, read_held_out
from scaling_app.forecast.prior import shipped_templates
from scaling_app.forecast.scores import Score

LEE = "Lee et al. 2025, as published"
LEE_TRAININGS = 200
"""Finished configurations of the very task that their LSTM is trained on."""


def table(
    curves: Sequence[Curve],
    methods: Sequence[str],
    app: Mapping[tuple[int, int], Sequence[Score]],
    dataset: str,
) -> list[Row]:
    """A row per method.

    Args:
        curves: of the bank, with at least `FEWEST_SIZES` sizes.
        methods: their names.
        app: (order, N) -> what a session of the app had observed.
        dataset: the data set of these sessions.
    """
    own = own_curves([curve for curve in curves if len(curve.sizes) >= TEMPLATE_SIZES])
    sessions = {n: [s.observations for s in bank_sessions(own, n)] for n in BANDS}
    held_out = sorted({curve.dataset for curve in own} | {dataset})
    rows: list[Row] = []
    for method in methods:
        counted = {f"own trainings, bank, N = {n}": _middle(_used(method), s) for n, s in sessions.items()}
        for n in sorted({n_now for _, n_now in app}):
            seen = [observations for (_, n_now), observations in app.items() if n_now == n]
            counted[f"own trainings, app, N = {n}"] = _middle(_used(method), seen)
        rows.append({"forecast by": method, **counted, **_beforehand(method, curves, held_out)})
    lee = dict.fromkeys(counted, f"{LEE_TRAININGS} of the very task")
    nothing = dict.fromkeys(_beforehand("", curves, held_out), 0)
    return [*rows, {"forecast by": LEE, **lee, **nothing}]


def _used(method: str) -> Callable[[Sequence[Score]], int]:
    """Counts the distinct trainings that a method looks at: the last value looks at those of the largest size only."""

    def count(observations: Sequence[Score]) -> int:
        largest = max(o.n for o in observations)
        return len({(o.n, o.run, o.seed) for o in observations if method != "last_value" or o.n == largest})

    return count


def _middle(count: Callable[[Sequence[Score]], int], sessions: Sequence[Sequence[Score]]) -> str:
    """Median and range over sessions, and their number."""
    if not sessions:
        return "-"
    counts = [count(s) for s in sessions]
    return f"{_span(counts)}, {len(counts)} sessions"


def _beforehand(method: str, curves: Sequence[Curve], held_out: Sequence[str]) -> Row:
    """What was needed of other tasks: median and range over the data sets that are left out in turn."""
    sizes = {"bayes": TEMPLATE_SIZES, "lstm": FEWEST_SIZES}.get(method)
    used = [curve for curve in curves if sizes is not None and len(curve.sizes) >= sizes]
    used = own_curves(used) if method == "bayes" else used
    others = [[curve for curve in used if curve.dataset != name] for name in held_out]
    library = int((shipped_templates().source == "lcdb").sum()) if sizes is not None else 0
    return {
        "segmentation trainings beforehand": _span([_trainings(group) for group in others]),
        "of segmentation data sets": _span([len({c.dataset for c in group}) for group in others]),
        "tabular curves beforehand": library,
        "simulated curves beforehand": read_held_out()[1] if method == "lstm" else 0,
    }


def _trainings(curves: Sequence[Curve]) -> int:
    """Distinct trainings: the structures of a data set share theirs."""
    return len(
        {
            (c.dataset, c.network, c.capacity, c.strategy, c.steps, run.n, run.draw, run.seed)
            for c in curves
            for run in c.runs
        }
    )


def _span(counts: Sequence[int]) -> str:
    middle, low, high = float(np.median(counts)), min(counts), max(counts)
    return f"{middle:g} [{low}, {high}]" if low < high else f"{middle:g}"
