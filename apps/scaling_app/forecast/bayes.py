"""The app's own method: one posterior per structure, misses apart, structures tied together by their cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm, qmc

from scaling_app.forecast.arms import StrategyEffect, compare_arms
from scaling_app.forecast.calibration import REGIMES, Calibration, Factor, shipped_calibration
from scaling_app.forecast.evidence import Spread, one_set_a_size
from scaling_app.forecast.families import Array
from scaling_app.forecast.misses import MissRate
from scaling_app.forecast.posterior import SPREAD_MEAN, CurvePosterior, prior_dice_draws
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.prior import CurvePrior, shipped_prior
from scaling_app.forecast.scores import OVERALL, Score, by_structure
from scaling_app.forecast.shift_alarm import find_shift, first_scores
from scaling_app.words import count, in_words, tenths

DRAWS = 4000
_LEVELS = 50
P_MISS_ALARM = 0.05
BAD_DICE = 0.5


class BayesForecaster(Forecaster):
    """Hierarchical model of `evidence`, prior of `prior`, hurdle of `misses`.

    Args:
        prior: over curves; the shipped one when None.
        calibration: of the intervals; the shipped one when None.
    """

    method: ClassVar[str] = "bayes"

    def __init__(self, prior: CurvePrior | None = None, calibration: Calibration | None = None) -> None:
        self.prior = prior or shipped_prior()
        self.calibration = calibration or shipped_calibration()

    def _fit(self, groups: dict[str, list[Score]]) -> None:
        self.misses = {name: MissRate(group) for name, group in groups.items()}
        self.posteriors = {
            name: CurvePosterior(group, self.prior)
            for name, group in groups.items()
            if any(not o.missed for o in group)
        }
        self._averages = {name for name, group in groups.items() if not any(o.case for o in group)}
        self._coupling = _case_correlation([groups[name] for name in self.structures])
        unnamed = {(o.n, o.kind, o.seed) for group in groups.values() for o in group if not o.run}
        self._seeds_alone = len(unnamed) > len({(n, kind) for n, kind, _ in unnamed})

    def _draws(self, n: Array, structure: str) -> Array:
        index = self.structures.index(structure)
        posterior = self.posteriors.get(structure)
        if posterior is None:
            found = prior_dice_draws(self.prior, n, DRAWS, seed=index)
        else:
            found = posterior.dice_draws(n, DRAWS, seed=index)
        misses = self.misses[structure]
        missed = misses.draws(n, DRAWS, seed=index)
        return found * (1.0 - missed) + misses.dice * missed

    def prior_share(self, structure: str = OVERALL) -> float | None:
        """What the session has left of the prior's uncertainty about `eta(N)` and `eta(2N)`.

        The square root of the ratio of the determinants of their covariances, posterior over prior, which is
        the geometric mean of the shares of variance left of the level and, given it, of the slope: 1 when nothing
        has been learned. Of the slope alone, and so of the gain, far more is left. The mean over structures for
        `OVERALL`.
        """
        names = self.structures if structure == OVERALL else [structure]
        return float(np.mean([self._prior_share(self.posteriors.get(name)) for name in names]))

    def factor(self, quantity: str, n: float) -> Factor:
        """The calibration's factor for this kind of evidence, number of cases and horizon."""
        averaged = bool(self.posteriors) and all(p.data.averaged for p in self.posteriors.values())
        return self.calibration(quantity, REGIMES[averaged], self.n_now, n / self.n_now)

    def alarms(self, observations: Sequence[Score]) -> tuple[str, ...]:
        """A lasting change of the scores, frequent misses, and a bad case among the last five new ones."""
        own = [o for o in observations if (o.strategy, o.network) == self.arm]
        sentences: list[str] = []
        for name, group in by_structure(own).items():
            if name not in self.posteriors:
                sentences.append(f"{name} was never found")
                continue
            sentences += self._alarms_of(name, group)
        return tuple(sentences)

    def _alarms_of(self, name: str, group: Sequence[Score]) -> list[str]:
        posterior = self.posteriors[name]
        sentences = []
        spread = Spread(*np.exp(SPREAD_MEAN)) if posterior.data.averaged else posterior.mode
        shift = find_shift(group, self.prior, spread, len(self.structures))
        if shift is not None:
            way = "below" if shift.lower else "above"
            sentences.append(
                f"scores of {name} have been {way} expectation since case {shift.case}: "
                "another scanner, annotator or kind of case?"
            )
        p_miss = float(self.misses[name].mean(np.array([float(self.n_now)]))[0])
        if p_miss > P_MISS_ALARM:
            sentences.append(f"{name} is missed in about {100 * p_miss:.0f} % of cases")
        last = first_scores(group)[-5:]
        usual = float(np.median([o.dice for o in last])) if last else 0.0
        for o in last:
            if o.dice is not None and o.dice < BAD_DICE and usual >= BAD_DICE + 0.2:
                sentences.append(f"{name} scored only {o.dice:.2f} in the recent case {o.case}")
        return sentences

    def notes(self) -> tuple[str, ...]:
        """What was never found or corrected for labels drawn with a prediction on screen, what luck does, and what the
        prior rests on."""
        notes = [*self._unfound_notes(), *self._assistance_notes(), *self._luck_notes()]
        return (*notes, self._basis())

    def not_found(self) -> tuple[str, ...]:
        """The structures without a score that is no miss."""
        return tuple(name for name in self.structures if name not in self.posteriors)

    def _unfound_notes(self) -> list[str]:
        """That a forecast is not of the scores. An average of 0 counts as one miss: of how many cases it is not told."""
        unfound = self.not_found()
        if not unfound:
            return []
        names = in_words(unfound) if len(self.structures) > 1 else "the structure"
        sentence = (
            f"Nothing was found of {names} at any size: every Dice is 0 or next to it. The forecast there is the prior's, "
            "of other tasks' learning curves, less the misses to expect; no curve can be read off these scores."
        )
        if any(name in self._averages for name in unfound):
            sentence += " Averages do not tell misses from poor segmentations."
        return [sentence]

    def luck(self) -> float:
        """Standard deviation of the mean Dice over trainings on `n_now` cases, of the structure where it is largest."""
        return max(self._luck_by_structure().values(), default=0.0)

    def _luck_by_structure(self) -> dict[str, float]:
        return {name: posterior.luck(self.n_now) for name, posterior in self.posteriors.items()}

    def _luck_notes(self) -> list[str]:
        """Of curves whose trainings of each size are all on the same cases; and what seeds are taken for."""
        notes = []
        told = [posterior.data for posterior in self.posteriors.values()]
        if told and all(one_set_a_size(data) for data in told):
            once = all(len(data.run_sizes) == len(data.sizes) for data in told)
            trained = "trained once" if once else "trained on one choice of cases"
            luck = self._luck_by_structure()
            largest = max(luck, key=lambda name: luck[name])
            where = f", of {largest}, where it is largest" if len(luck) > 1 else ""
            taken = (
                "are taken to differ, as on other tasks," if any(data.averaged for data in told) else "differ"
            )
            notes.append(
                f"Each size was {trained}. By luck alone, trainings on {count(self.n_now, 'case')} {taken} by about "
                f"{tenths(100 * luck[largest])} points (standard deviation{where}). The ranges hold that; trainings of the "
                "sizes on other cases would make them narrower."
            )
        if self._seeds_alone:
            notes.append(
                "Trainings of one size that differ in their seed alone are taken to be on other cases each; a column "
                "`draw` tells which are on the same."
            )
        return notes

    def _basis(self) -> str:
        tasks = self.factor("level", 2 * self.n_now).n_tasks
        calibrated = (
            f"its intervals are calibrated on {tasks} tasks" if tasks else "its intervals are not calibrated"
        )
        kinds = {"bank": "of segmentation", "lcdb": "of tabular classification"}
        behind = [f"{c.n_tasks} {kinds[c.name]}" for c in self.prior.components if c.n_tasks]
        of_what = f" ({', '.join(behind)})" if behind else ""
        return (
            f"The prior rests on learning curves of {self.prior.n_tasks} other tasks{of_what}; {calibrated}."
        )

    def _assistance_notes(self) -> list[str]:
        notes = []
        for name, posterior in self.posteriors.items():
            assisted = posterior.data.offsets[:, -1] > 0
            if posterior.data.averaged or not assisted.any():
                continue
            mean, sd = (values[-1] for values in posterior.offsets())
            eta = posterior.level_mean()[-1]
            edges = eta + mean + np.array([0.0, -1.2816, 1.2816]) * sd
            points = 100 * (expit(np.array(eta)) - expit(edges))
            labels = len(np.unique(posterior.data.case[assisted]))
            drawn = f"{labels} labels of {name} were" if labels > 1 else f"1 label of {name} was"
            change = "raise" if points[0] >= 0 else "lower"
            low, high = sorted(np.sign(points[0]) * points[1:])
            notes.append(
                f"{drawn} drawn with a prediction on screen; this is taken to {change} the Dice by "
                f"{tenths(abs(points[0]))} points (80 % range {tenths(low)} to {tenths(high)}), which is corrected."
            )
        return notes

    def strategies(self, observations: Sequence[Score]) -> tuple[StrategyEffect, ...]:
        """Paired differences and kappa of every other strategy."""
        return tuple(compare_arms(observations, self.arm, self.posteriors))

    def _prior_share(self, posterior: CurvePosterior | None) -> float:
        if posterior is None:
            return 1.0
        sizes = np.array([self.n_now, 2.0 * self.n_now])
        eta, _ = posterior.draws(sizes, DRAWS)
        _, before = self.prior.moments(sizes)
        return float(min(1.0, np.sqrt(np.linalg.det(np.cov(eta.T)) / np.linalg.det(before))))

    def _joint_draws(self, n: Array) -> list[Array]:
        """Puts each structure's draws in an order in which levels correlate as case effects do, and gains agree.

        How steep a task's curve is, is what the session knows least of, and common to its structures: at about the same
        level their draws are paired by the gain of twice the cases, so that what is open about it does not average out.

        Reference: R. Iman, W. Conover, Commun. Stat. Simul. Comput. 11(3), 1982.
        """
        size = len(self.structures)
        points = qmc.Sobol(size + 1, scramble=True, seed=5).random(4096)[:DRAWS]
        z = norm.ppf(np.clip(points, 1e-6, 1 - 1e-6))
        gain, z = z[:, -1], z[:, :-1] @ np.linalg.cholesky(self._coupling).T
        coupled = []
        for index, name in enumerate(self.structures):
            draws = self._draws(np.concatenate([[self.n_now, 2.0 * self.n_now], n]), name)
            now, ahead = draws[:, 0], draws[:, 2:]
            placed = np.empty_like(ahead)
            placed[_by_level(z[:, index], gain)] = ahead[_by_level(now, draws[:, 1] - now)]
            coupled.append(placed)
        return coupled


def _by_level(level: Array, gain: Array) -> NDArray[Any]:
    """Indices in the order of levels, and of gains within each of `_LEVELS` groups of like level."""
    order = np.argsort(level, kind="stable")
    group = np.empty(len(order), dtype=int)
    group[order] = np.arange(len(order)) * _LEVELS // len(order)
    return np.lexsort((gain, group))


def _case_correlation(groups: list[list[Score]]) -> Array:
    """`(S, S)` correlation of hard and easy cases between structures.

    The correlation of case means over shared cases, drawn towards 0.3 with the weight of 6 cases, then made
    positive definite.
    """
    tables = [_case_means(group) for group in groups]
    size = len(groups)
    correlation = np.eye(size)
    for s in range(size):
        for t in range(s):
            shared = sorted(tables[s].keys() & tables[t].keys())
            estimate = 0.0
            if len(shared) > 2:
                a, b = (np.array([tables[k][case] for case in shared]) for k in (s, t))
                if a.std() > 0 and b.std() > 0:
                    estimate = float(np.corrcoef(a, b)[0, 1])
            value = (len(shared) * estimate + 6 * 0.3) / (len(shared) + 6)
            correlation[s, t] = correlation[t, s] = value
    values, vectors = np.linalg.eigh(correlation)
    positive = (vectors * np.maximum(values, 0.02)) @ vectors.T
    scale = np.sqrt(np.diag(positive))
    return positive / np.outer(scale, scale)


def _case_means(group: list[Score]) -> dict[str, float]:
    """Mean deviation of each case from its runs' means."""
    runs: dict[tuple[object, ...], list[float]] = {}
    keys = [o.run_key for o in group]
    for o, key in zip(group, keys, strict=True):
        runs.setdefault(key, []).append(o.dice or 0.0)
    means = {key: sum(scores) / len(scores) for key, scores in runs.items()}
    deviations: dict[str, list[float]] = {}
    for o, key in zip(group, keys, strict=True):
        if o.case:
            deviations.setdefault(o.case, []).append((o.dice or 0.0) - means[key])
    return {case: sum(values) / len(values) for case, values in deviations.items()}
