"""Whether generated pairs help: the alignment of their gradients, followed over the outer steps.

The alignment `a_i` of a pair is the slope of its loss along the validation gradient: positive when
training on it lowers the loss of a case that was left out. What is used is its sign-consistency

    r = EMA(mean_i a_i) / EMA(mean_i |a_i|)   in [-1, 1],

because a ratio to the real pairs' alignment explodes once the segmenter has learned its few cases. The
weight of synthesis is `omega = clip(r, 0, 1)`; within it a pair counts by its own alignment, or by what
pairs made from the same case have shown. Synthesis is turned off for good when `r` stays low, when the
generator collapses, or when its steps keep failing. Alignment is necessary for a benefit, not
sufficient: the last word is a paired trial against training without synthesis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_MEMORY = 0.8
_LARGEST_PAIR_WEIGHT = 2.0


@dataclass
class Guard:
    """The state of trust in the generated pairs.

    Attributes:
        low: `r` below this counts as no help.
        patience: so many outer steps without help in a row turn synthesis off.
        least_diversity: generated images must differ at least this share of what warped real ones do.
        reason: why synthesis is off, empty while it is on.
    """

    low: float = 0.2
    patience: int = 10
    least_diversity: float = 0.25
    reason: str = ""
    mean: float = 0.0
    magnitude: float = 0.0
    unhelpful: int = 0
    failures: int = 0
    observed: int = 0
    diversity: float | None = None
    of_source: dict[str, float] = field(default_factory=dict)

    @property
    def on(self) -> bool:
        """Whether pairs may be generated."""
        return not self.reason

    @property
    def consistency(self) -> float:
        """`r` in [-1, 1]; 0 before the first outer step."""
        return self.mean / self.magnitude if self.magnitude > 0 else 0.0

    @property
    def omega(self) -> float:
        """The weight of synthesis in [0, 1]."""
        return min(1.0, max(0.0, self.consistency)) if self.on else 0.0

    def observe(self, alignment: Tensor, sources: Sequence[str]) -> None:
        """Takes in the alignments `(B,)` of an outer step's pairs and the cases they were made from."""
        self.observed += 1
        self.failures = 0
        self.mean = _MEMORY * self.mean + (1 - _MEMORY) * float(alignment.mean())
        self.magnitude = _MEMORY * self.magnitude + (1 - _MEMORY) * float(alignment.abs().mean())
        for source, a in zip(sources, alignment.tolist(), strict=True):
            self.of_source[source] = _MEMORY * self.of_source.get(source, a) + (1 - _MEMORY) * a
        self.unhelpful = self.unhelpful + 1 if self.consistency < self.low else 0
        if self.unhelpful >= self.patience:
            self._turn_off(f"generated pairs did not help in {self.patience} outer steps in a row")

    def observe_diversity(self, generated: float, real: float) -> None:
        """Takes in how much generated and warped real images differ among themselves."""
        if real <= 0:
            return
        self.diversity = generated / real
        if self.diversity < self.least_diversity:
            self._turn_off(
                f"the generator's images differ only {self.diversity:.2f} times as much as real ones"
            )

    def observe_failure(self) -> None:
        """Counts a step that overflowed and was skipped."""
        self.failures += 1
        if self.failures >= self.patience:
            self._turn_off(f"the generator's loss was not finite {self.patience} times in a row")

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

    def state_dict(self) -> dict[str, object]:
        """Everything, as plain values."""
        return {**vars(self), "of_source": dict(self.of_source)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes up `state_dict`'s content."""
        for name, value in state.items():
            setattr(self, name, value)


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
