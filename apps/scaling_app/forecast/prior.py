"""What learning curves look like before this session has said anything.

The prior over the curve `eta(n) = logit e(n)` is a mixture of Gaussian processes, one per template:

    eta(n) = logit e_j(n) + delta(ln n),     j ~ component weights x template weights,
    delta ~ GP(0, shift^2 + tilt^2 (x - x0)(x' - x0) + wiggle^2 exp(-(x - x')^2 / (2 length^2))).

Templates are power laws with floor and offset: fits to curves of other tasks (a learned component) or
points that fill a broad box (the weak component). The shift makes a template's level its
neighbourhood's level, the wiggle is the discrepancy of ill-behaved curves. Given j everything is linear
and Gaussian, so the posterior needs no sampling (`posterior`).

References:
    C. Rasmussen, C. Williams: Gaussian Processes for Machine Learning, 2006, section 2.7.
    LCDB 1.1: one curve in seven is not monotone or not convex, hence the discrepancy term.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import norm, qmc

from scaling_app.forecast.families import Array, power_law_error

DATA = Path(__file__).parent / "data"
PLATEAU_SHARE = 0.1
"""Share of curves that rise no more, where nothing is known of segmentation."""
_FAR = 40.0
"""ln n that stands for infinitely many cases in the kernel: uncorrelated with anything observed."""


@dataclass(frozen=True)
class Deviation:
    """How far a real curve may stray from its template, logit units; `length` in units of ln n."""

    shift: float = 0.35
    tilt: float = 0.0
    wiggle: float = 0.08
    length: float = 1.5

    def covariance(self, n: Array, m: Array) -> Array:
        """`(K, L)` covariance between the deviations at sizes n `(K,)` and m `(L,)`."""
        x, y = _log_size(n)[:, None], _log_size(m)[None, :]
        smooth = self.wiggle**2 * np.exp(-0.5 * ((x - y) / self.length) ** 2)
        slope = self.tilt**2 * np.clip(x - 2.0, -2.0, 4.0) * np.clip(y - 2.0, -2.0, 4.0)
        return self.shift**2 + slope + smooth


@dataclass(frozen=True)
class Component:
    """A family of templates.

    Attributes:
        name: where they come from.
        templates: `(J, 4)`: logit e_inf, ln A, ln c, ln d.
        log_weights: `(J,)`, normalised within the component.
        deviation: of a real curve from its template.
        n_tasks: number of independent tasks behind it.
    """

    name: str
    templates: Array
    log_weights: Array
    deviation: Deviation
    n_tasks: int = 0

    def eta(self, n: Array) -> Array:
        """`(J, K)` logit errors of the templates at sizes n `(K,)`."""
        return logit(power_law_error(self.templates, n))


@dataclass(frozen=True)
class CurvePrior:
    """A weighted mixture of components."""

    components: tuple[Component, ...]
    weights: tuple[float, ...]

    @property
    def n_tasks(self) -> int:
        """Number of independent tasks that fed the prior."""
        return sum(component.n_tasks for component in self.components)

    def moments(self, n: Array) -> tuple[Array, Array]:
        """Prior mean `(T,)` and covariance `(T, T)` of eta at sizes n `(T,)`."""
        mean, second = np.zeros(len(n)), np.zeros((len(n), len(n)))
        for component, weight in zip(self.components, self.weights, strict=True):
            eta = component.eta(n)
            share = weight * np.exp(component.log_weights)
            mean += share @ eta
            second += (share[:, None] * eta).T @ eta + weight * component.deviation.covariance(n, n)
        return mean, second - np.outer(mean, mean)

    def thinned(self, per_component: int) -> CurvePrior:
        """A prior with at most that many templates per component, evenly picked; for quick searches."""

        def thin(component: Component) -> Component:
            step = max(1, len(component.templates) // per_component)
            log_weights = component.log_weights[::step]
            return replace(
                component,
                templates=component.templates[::step],
                log_weights=log_weights - np.logaddexp.reduce(log_weights),
            )

        return CurvePrior(tuple(thin(c) for c in self.components), self.weights)


@lru_cache(maxsize=1)
def weak_component(size: int = 512) -> Component:
    """Broad and centred on segmentation at small n: the safety net of the mixture.

    e_inf ~ expit N(-2.3, 1); ln A ~ N(ln 0.45, 0.5); ln c ~ N(ln 0.5, 0.6); ln d ~ N(0, 1); a
    scrambled Sobol set with a fixed seed.
    """
    points = qmc.Sobol(4, scramble=True, seed=20).random(size)
    z = norm.ppf(np.clip(points, 1e-6, 1 - 1e-6))
    means = np.array([-2.3, np.log(0.45), np.log(0.5), 0.0])
    templates = means + z * np.array([1.0, 0.5, 0.6, 1.0])
    return Component("weak", templates, np.full(size, -np.log(size)), Deviation(shift=0.25))


@lru_cache(maxsize=1)
def plateau_component(size: int = 64) -> Component:
    """Curves that rise no more: logit e ~ N(-2, 1.2), no decay, little deviation.

    Every other template rises; without this one no evidence could say that a curve has stopped.
    """
    floor = -2.0 + 1.2 * norm.ppf((np.arange(size) + 0.5) / size)
    templates = np.stack([floor, np.full(size, -6.0), np.full(size, np.log(0.5)), np.zeros(size)], axis=1)
    return Component("plateau", templates, np.full(size, -np.log(size)), Deviation(shift=0.25, wiggle=0.04))


def with_plateau(prior: CurvePrior, share: float = PLATEAU_SHARE) -> CurvePrior:
    """A prior in which that share of the curves has reached its plateau."""
    weights = (*((1.0 - share) * w for w in prior.weights), share)
    return CurvePrior((*prior.components, plateau_component()), weights)


@dataclass(frozen=True)
class TemplateTable:
    """Curves fitted on other tasks.

    Attributes:
        source: `(J,)` `bank` (segmentation replays) or `lcdb` (tabular classification).
        task: `(J,)` the data set; the unit of independence.
        templates: `(J, 4)` as in `power_law_error`.
    """

    source: NDArray[Any]
    task: NDArray[Any]
    templates: Array

    def component(
        self, source: str, *, scale: float = 1.0, without: Collection[str] = ()
    ) -> Component | None:
        """The templates of one source; every task has the same weight.

        Args:
            source: which.
            scale: how many of the source's samples one labelled case is taken to be.
            without: tasks to leave out.

        Returns:
            None when nothing is left.
        """
        rows = (self.source == source) & ~np.isin(self.task, list(without))
        if not rows.any():
            return None
        templates = self.templates[rows].copy()
        templates[:, 1] -= np.exp(templates[:, 2]) * np.log(scale)
        templates[:, 3] -= np.log(scale)
        tasks, index, counts = np.unique(self.task[rows], return_inverse=True, return_counts=True)
        log_weights = -np.log(counts[index] * len(tasks))
        return Component(source, templates, log_weights, DEVIATIONS[source], len(tasks))


DEVIATIONS = {
    "bank": Deviation(shift=0.35, wiggle=0.08, length=1.5),
    "lcdb": Deviation(shift=0.5, wiggle=0.15, length=0.8),
}
"""Chosen on the tuning part of LCDB 1.1 (see `benchmarks/forecast`)."""
_LCDB_SAMPLES_PER_CASE = 8.0


def read_templates(path: Path) -> TemplateTable:
    """Reads a table with columns source, task, logit_floor, ln_scale, ln_power, ln_offset."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = ("logit_floor", "ln_scale", "ln_power", "ln_offset")
    return TemplateTable(
        source=np.array([row["source"] for row in rows]),
        task=np.array([row["task"] for row in rows]),
        templates=np.array([[float(row[name]) for name in names] for row in rows]),
    )


@lru_cache(maxsize=1)
def shipped_templates() -> TemplateTable:
    """The table that comes with the package."""
    return read_templates(DATA / "curve_templates.csv")


def learned_prior(table: TemplateTable, without: Collection[str] = ()) -> CurvePrior:
    """The mixture of the bank (50 %), the curve library (20 %), the weak component (20 %) and the plateau (10 %).

    The library is of tabular classification and counts one labelled case as eight samples. Where there is
    no bank, it shares the mixture with the weak component evenly, beside 10 % of plateaus.
    """
    bank = table.component("bank", without=without)
    lcdb = table.component("lcdb", scale=_LCDB_SAMPLES_PER_CASE, without=without)
    weak = weak_component()
    if bank is not None:
        rest = (lcdb, weak) if lcdb is not None else (weak,)
        weights = (5 / 9, *(4 / 9 / len(rest) for _ in rest))
        return with_plateau(CurvePrior((bank, *rest), weights))
    if lcdb is not None:
        return with_plateau(CurvePrior((lcdb, weak), (0.5, 0.5)))
    return with_plateau(weak_prior())


@lru_cache(maxsize=1)
def shipped_prior() -> CurvePrior:
    """The prior of the app."""
    return learned_prior(shipped_templates())


def weak_prior() -> CurvePrior:
    """The weak component alone."""
    return CurvePrior((weak_component(),), (1.0,))


def _log_size(n: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.where(np.isinf(n), _FAR, np.log(np.maximum(n, 1e-9)))
