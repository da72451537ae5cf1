"""Whether generated pairs help: the alignment of their gradients, followed over the outer steps.

The alignment `a_i` of a pair is the slope of its loss along the validation gradient: positive when
training on it lowers the loss of a case that was left out. What is used is its sign-consistency

    r = EMA(mean_i a_i) / EMA(mean_i |a_i|)   in [-1, 1],

because a ratio to the real pairs' alignment explodes once the segmenter has learned its few cases. The
weight of synthesis is `omega = clip(r, 0, 1)`; within it a pair counts by its own alignment, or by what
pairs made from the same case have shown. Synthesis is turned off for good when `r` stays low, when the
generator collapses, or when its steps keep failing.

Real pairs are aligned, too, so that alignment alone says no more than that a pair looks like one. Before
the segmenter trains on any, generated pairs must be shown to do more than the same pairs unpainted, that is
with the warped real images that they were painted on: each outer step but the first is a bet on

    z = clip(d / 2 m, -1, 1),   d = mean_i a_i - mean_i b_i,

`b_i` the alignment of pair `i` unpainted and `m` the usual `|d|` of the steps *before*. Differences are small
beside the alignments themselves, since a painted pair is much like the unpainted one: in units of these the
proof could hardly be reached. Where painting makes no difference, painted and unpainted pairs can change places, so that `d` is
as likely as `-d` and `E z = 0`; the wealth `mean_l prod_t (1 + l z_t)` over several stakes `l` then stays
below `1 / alpha` with a probability of at least `1 - alpha`, whenever one looks, and so it does wherever
`E z <= 0` (Ville's inequality; Waudby-Smith and Ramdas, JRSS-B 86, 2024, https://arxiv.org/abs/2010.09686).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_MEMORY = 0.8
_LONG_MEMORY = 0.9
_LARGEST_PAIR_WEIGHT = 2.0
_ASKS = {"asked", "low", "patience", "least_diversity"}
_STAKES = (0.1, 0.3, 0.5, 0.7, 0.9)
_LEAST_PATIENCE = 10
_PATIENCE = 0.4
_MOST_OVERFLOWS = 10
_PROOF = 20.0
"""The wealth that counts as shown: pairs that do no more than unpainted reach it once in 20 trainings at most."""


@dataclass
class Proof:
    """The state of trust in the generated pairs.

    Attributes:
        asked: whether pairs must be shown to do more than unpainted before they count.
        low: `r` below this counts as no help.
        patience: so many outer steps without help in a row turn synthesis off.
        least_diversity: generated images must differ at least this share of what warped real ones do.
        reason: why synthesis is off, empty while it is on.
        overflows: of each kind of step, how many in a row were not finite and were skipped.
        wealths: of each stake, when every outer step but the first was a bet that painted pairs do more.
        usual: of the difference between painted and unpainted, its size in the steps so far.
        shown: whether the wealth was ever enough.
    """

    asked: bool = True
    low: float = 0.2
    patience: int = _LEAST_PATIENCE
    least_diversity: float = 0.25
    reason: str = ""
    mean: float = 0.0
    magnitude: float = 0.0
    unhelpful: int = 0
    observed: int = 0
    diversity: float | None = None
    overflows: dict[str, int] = field(default_factory=dict)
    of_source: dict[str, float] = field(default_factory=dict)
    wealths: list[float] = field(default_factory=lambda: [1.0] * len(_STAKES))
    usual: float = 0.0
    shown: bool = False

    @property
    def on(self) -> bool:
        """Whether pairs may be generated."""
        return not self.reason

    @property
    def trusted(self) -> bool:
        """Whether the segmenter may train on them."""
        return self.on and (self.shown or not self.asked)

    @property
    def evidence(self) -> float:
        """The wealth of the bets that pairs do more than unpainted; 1 before the first."""
        return sum(self.wealths) / len(self.wealths)

    @property
    def state(self) -> str:
        """In words: "on", why it is off, or what is still to be shown."""
        if self.reason or self.trusted:
            return self.reason or "on"
        return f"waits: generated pairs are not shown to do more than unpainted ({self.evidence:.1f} of {_PROOF:.0f})"

    @property
    def consistency(self) -> float:
        """`r` in [-1, 1]; 0 before the first outer step."""
        return self.mean / self.magnitude if self.magnitude > 0 else 0.0

    @property
    def omega(self) -> float:
        """The weight of synthesis in [0, 1]."""
        return min(1.0, max(0.0, self.consistency)) if self.trusted else 0.0

    def observe(self, alignment: Tensor, sources: Sequence[str], unpainted: Tensor) -> None:
        """Takes in an outer step.

        Args:
            alignment: `(B,)`, of the generated pairs.
            sources: the cases they were made from.
            unpainted: `(B,)`, of the same pairs unpainted.
        """
        self.observed += 1
        self.mean = _MEMORY * self.mean + (1 - _MEMORY) * float(alignment.mean())
        self.magnitude = _MEMORY * self.magnitude + (1 - _MEMORY) * float(alignment.abs().mean())
        for source, a in zip(sources, alignment.tolist(), strict=True):
            self.of_source[source] = _MEMORY * self.of_source.get(source, a) + (1 - _MEMORY) * a
        self._bet(alignment, unpainted)
        self.unhelpful = self.unhelpful + 1 if self.consistency < self.low else 0
        if self.unhelpful >= self.patience:
            self._turn_off(f"generated pairs did not help in {self.patience} outer steps in a row")

    def _bet(self, alignment: Tensor, unpainted: Tensor) -> None:
        difference = float(alignment.mean() - unpainted.mean())
        if self.usual > 0 and not self.shown:
            z = min(1.0, max(-1.0, difference / (2 * self.usual)))
            self.wealths = [w * (1 + stake * z) for w, stake in zip(self.wealths, _STAKES, strict=True)]
            self.shown = self.evidence >= _PROOF
        size = abs(difference)
        self.usual = _LONG_MEMORY * self.usual + (1 - _LONG_MEMORY) * size if self.usual > 0 else size

    def observe_diversity(self, generated: float, real: float) -> None:
        """Takes in how much generated and warped real images differ among themselves."""
        if real <= 0:
            return
        self.diversity = generated / real
        if self.diversity < self.least_diversity:
            self._turn_off(
                f"the generator's images differ only {self.diversity:.2f} times as much as real ones"
            )

    def observe_step(self, kind: str, finite: bool) -> None:
        """Takes in whether a step of that kind was made, or overflowed and was skipped."""
        self.overflows[kind] = 0 if finite else self.overflows.get(kind, 0) + 1
        if sum(self.overflows.values()) >= _MOST_OVERFLOWS:
            kinds = ", ".join(kind for kind, count in self.overflows.items() if count)
            self._turn_off(
                f"losses were not finite in {_MOST_OVERFLOWS} steps without a good one between ({kinds})"
            )

    def pair_weights(self, sources: Sequence[str], alignment: Tensor | None = None) -> Tensor:
        """`(B,)`, mean at most about `omega`: from the pairs' own alignment, else from their source's."""
        if alignment is None:
            known = [self.of_source.get(source) for source in sources]
            average = sum(self.of_source.values()) / len(self.of_source) if self.of_source else 1.0
            alignment = torch.tensor([average if a is None else a for a in known])
        useful = alignment.clamp(min=0)
        mean = float(useful.mean()) if not self.of_source else self._usual(useful)
        share = useful / mean if mean > 0 else torch.zeros_like(useful)
        return self.omega * share.clamp(max=_LARGEST_PAIR_WEIGHT)

    def _usual(self, useful: Tensor) -> float:
        values = [max(0.0, a) for a in self.of_source.values()]
        return max(sum(values) / len(values), float(useful.mean()))

    def _turn_off(self, reason: str) -> None:
        self.reason = self.reason or reason

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {**vars(self), "of_source": dict(self.of_source), "overflows": dict(self.overflows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what a guard has seen; what it asks for stays this one's."""
        for name in vars(self).keys() & state.keys() - _ASKS:
            setattr(self, name, state[name])


def patience_for(outer_steps: int) -> int:
    """Outer steps without help in a row that a search of so many may have: a fixed number would end long ones by chance."""
    return max(_LEAST_PATIENCE, round(_PATIENCE * outer_steps))


def diversity(images: Tensor, mask: Tensor) -> float:
    """Mean root-mean-square difference between any two of `images (B, C, *P)` where both `mask`s are on."""
    total, pairs = 0.0, 0
    for i in range(len(images)):
        for j in range(i):
            weight = (mask[i] * mask[j]).expand_as(images[i])
            area = float(weight.sum())
            if area > 0:
                total += float(((images[i] - images[j]) ** 2 * weight).sum() / area) ** 0.5
                pairs += 1
    return total / pairs if pairs else 0.0
