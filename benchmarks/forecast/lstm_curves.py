"""Sequences that the LSTM surrogate learns from, and the record of which data sets its weights have not seen.

Two kinds. Simulated: power laws with floor about the prior's weak component, the templates of LCDB 1.1's tuning part at 1 to
8 samples per case, and templates of the bank's curves, with noise of 0.5 to 4 Dice points. Observed: the bank's own
mean scores at their own sizes. A bank curve brings its own network, capacity and strategy; the others get random ones,
so that a code never tells a simulated curve from a real one. Any code is hidden now and then: at run time
not every table tells all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from benchmarks.forecast.bank import Curve
from scaling_app.forecast.evidence import logit_error
from scaling_app.forecast.families import fit_templates, power_law_error
from scaling_app.forecast.prior import shipped_templates, weak_component
from scaling_app.forecast.rivals.lstm import (
    CAPACITY_CODES,
    FAMILIES,
    NETWORKS,
    STEPS,
    step_features,
    training_codes,
)

HELD_OUT = Path(__file__).parent / "data" / "lstm_held_out.npz"
"""Weights per data set of the bank, trained without it; `simulated` is the number of simulated sequences of each."""
QUERIES = 4
FEWEST_SIZES = 2
"""Of a bank curve: one to read, one to ask about."""
TEMPLATE_SIZES = 4
"""Of a bank curve that a template is fitted to, as for the prior."""
FEWEST_CASES = 4
"""Tested cases behind an observed sequence."""
HIDDEN_CODES = 0.25
"""Probability that the network is not told; the same, independently, for capacity and strategy."""


@dataclass(frozen=True)
class Batch:
    """Sequences of one length.

    Attributes:
        features: `(B, K, INPUTS)`.
        log_ratio: `(B, Q)` ln(n / n_last) asked about.
        change: `(B, Q)` true logit error there minus the last observed one.
    """

    features: np.ndarray
    log_ratio: np.ndarray
    change: np.ndarray


def codes_of(curve: Curve) -> np.ndarray:
    """`(CODES,)` of a bank curve."""
    return training_codes(curve.network, curve.capacity, curve.strategy)


def hide(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(B, CODES)` with network, capacity and strategy each set to "not told" in a quarter of the rows."""
    told = rng.random((len(codes), 3)) >= HIDDEN_CODES
    return codes * np.repeat(told, [len(NETWORKS), 1, len(FAMILIES)], axis=1)


class SimulatedCurves:
    """Curves drawn from templates; groups of templates are drawn from with equal probability."""

    def __init__(self, bank: Sequence[Curve]) -> None:
        self._groups = [weak_component(4096).templates]
        for scale in (1.0, 2.0, 4.0, 8.0):
            component = shipped_templates().component("lcdb", scale=scale)
            if component is not None:
                self._groups.append(component.templates)
        fitted = [curve for curve in bank if len(curve.sizes) >= TEMPLATE_SIZES]
        self._own = np.array([codes_of(curve) for curve in fitted])
        if fitted:
            rows = [fit_templates(c.sizes, c.typical_error()[None])[0] for c in fitted]
            self._groups.append(np.array(rows))
        self._known = np.array([codes_of(curve) for curve in bank])

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Sequences of 3 to `STEPS` increasing sizes; queries lie between 1/2 and 16 times the last one."""
        steps = int(rng.integers(3, STEPS + 1))
        group = rng.integers(len(self._groups), size=size)
        row = np.array([rng.integers(len(self._groups[g])) for g in group])
        theta = np.array([self._groups[g][r] for g, r in zip(group, row, strict=True)])
        codes = self._random_codes(size, rng)
        if len(self._own):
            own = group == len(self._groups) - 1
            codes[own] = self._own[row[own]]
        first = np.exp(rng.uniform(np.log(2), np.log(16), size))
        ratio = np.exp(rng.uniform(np.log(1.25), np.log(2.2), (size, steps - 1)))
        n = np.round(first[:, None] * np.cumprod(np.column_stack([np.ones(size), ratio]), axis=1))
        log_ratio = rng.uniform(np.log(0.5), np.log(16), (size, QUERIES))
        sizes = np.column_stack([n, n[:, -1:] * np.exp(log_ratio)])
        error = power_law_error(theta, sizes)
        shift = rng.normal(0, 0.35, (size, 1))
        wiggle = np.cumsum(rng.normal(0, 0.04, sizes.shape), axis=1)
        error = expit(logit(error) + shift + wiggle)
        noise = rng.normal(size=(size, steps)) * np.exp(rng.uniform(np.log(0.005), np.log(0.04), (size, 1)))
        observed = np.clip(error[:, :steps] + noise, 0.004, 0.99)
        count = np.exp(rng.uniform(0, np.log(60), (size, steps)))
        features = step_features(n, 1 - observed, count, hide(codes, rng))
        return Batch(features, log_ratio, logit(error[:, steps:]) - logit(observed[:, -1:]))

    def _random_codes(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Half of them a bank curve's, half anything, so that no code is left without meaning."""
        anything = np.column_stack(
            [
                np.eye(len(NETWORKS))[rng.integers(len(NETWORKS), size=size)],
                rng.choice([*CAPACITY_CODES.values()], size),
                np.eye(len(FAMILIES))[rng.integers(len(FAMILIES), size=size)],
            ]
        )
        if not len(self._known):
            return anything
        known = self._known[rng.integers(len(self._known), size=size)]
        return np.where(rng.random((size, 1)) < 0.5, known, anything)


class ObservedCurves:
    """The bank's mean scores; data sets, then their curves, are drawn from with equal probability.

    A sequence is the mean score of one training per size on some of the test cases; what is asked about are larger sizes:
    the mean over all trainings there on the *other* test cases. So the surrogate learns how far the mean of a few
    cases and one training is off, too.
    """

    def __init__(self, bank: Sequence[Curve]) -> None:
        self._tasks: dict[str, list[_Table]] = {}
        for curve in bank:
            table = _Table(curve)
            if len(table.sizes) >= FEWEST_SIZES and table.n_cases >= 2 * FEWEST_CASES:
                self._tasks.setdefault(curve.dataset, []).append(table)
        self._longest = max((len(t.sizes) for tables in self._tasks.values() for t in tables), default=0)

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Sequences of one length of up to all sizes but one, short ones more often; queries as the bank allows."""
        steps = min(int(rng.choice([1, 2, 2, 3, 4, 5, 6])), self._longest - 1, STEPS)
        tasks = {name: [t for t in tables if len(t.sizes) > steps] for name, tables in self._tasks.items()}
        choices = [tables for tables in tasks.values() if tables]
        rows: list[tuple[np.ndarray, ...]] = []
        while len(rows) < size:
            tables = choices[rng.integers(len(choices))]
            row = tables[rng.integers(len(tables))].sequence(steps, rng)
            if all(np.isfinite(part).all() for part in row):
                rows.append(row)
        n, observed, count, codes, log_ratio, error = (np.array(part) for part in zip(*rows, strict=True))
        features = step_features(n, 1 - observed, count, hide(codes, rng))
        return Batch(features, log_ratio, logit_error(1 - error) - logit_error(1 - observed[:, -1:]))


class _Table:
    """A bank curve as arrays: for each size the errors `(R, C)` of its runs on all test cases, NaN where undefined."""

    def __init__(self, curve: Curve) -> None:
        self.sizes, self.codes = curve.sizes, codes_of(curve)
        cases = sorted({case for run in curve.runs for case, dice in run.dice.items() if dice is not None})
        self.n_cases = len(cases)
        self._errors = [
            1.0
            - np.array(
                [[run.dice.get(case) for case in cases] for run in curve.runs if run.n == n], dtype=float
            )
            for n in self.sizes
        ]

    def sequence(self, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Sizes, errors and counts `(K,)`, codes, ln ratios and true errors `(Q,)`; NaN where nothing was tested."""
        start = int(rng.integers(len(self.sizes) - steps))
        seen = range(start, start + steps)
        asked = rng.integers(start + steps, len(self.sizes), QUERIES)
        order = rng.permutation(self.n_cases)
        split = int(rng.integers(FEWEST_CASES, self.n_cases // 2 + 1))
        own, rest = order[:split], order[split:]
        scores = [self._errors[k][rng.integers(len(self._errors[k])), own] for k in seen]
        truth = np.array([_mean(self._errors[k][:, rest]) for k in asked])
        return (
            self.sizes[list(seen)],
            np.array([_mean(s) for s in scores]),
            np.array([float(np.isfinite(s).sum()) for s in scores]),
            self.codes,
            np.log(self.sizes[asked] / self.sizes[seen[-1]]),
            truth,
        )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def write_held_out(weights: Mapping[str, Mapping[str, np.ndarray]], simulated: int, path: Path) -> None:
    """Writes weights per data set, and how many simulated sequences each saw."""
    arrays = {f"{task}/{name}": array for task, own in weights.items() for name, array in own.items()}
    np.savez_compressed(path, simulated=simulated, **arrays)


def read_held_out(path: Path = HELD_OUT) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """The weights per data set that was left out of their training, and their number of simulated sequences.

    Raises:
        FileNotFoundError: they have not been trained; the message says how.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} not found; python -m benchmarks.forecast.train_lstm makes it")
    weights: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as archive:
        simulated = int(archive["simulated"])
        for key in archive.files:
            if "/" in key:
                task, name = key.split("/")
                weights.setdefault(task, {})[name] = archive[key].astype(float)
    return weights, simulated
