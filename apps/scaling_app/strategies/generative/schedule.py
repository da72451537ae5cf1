"""When GenSeg does what, as shares of the run's budget.

    0 ........ warm-up ........ search ............ search_end . settle . fade ........ end ... 1
    real only, stage I         + synthetic, outer   discrete     synthetic fades        real only

The budget is steps or wall clock, whichever is further gone. The run ends on real pairs alone, so that
generated pairs shape the way and not the goal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from scaling_app.strategies.deformation.budget import Budget


class Phase(Enum):
    """What a step of the training is made of."""

    WARM_UP = "warm-up"
    SEARCH = "search"
    SETTLE = "settle"
    FADE = "fade"
    REAL = "real"


@dataclass
class Schedule:
    """Turns steps and seconds into phases.

    Attributes:
        steps: of the whole run.
        max_minutes: of the whole run, or None.
        warm_up: share of the budget before synthesis; short when a generator was taken over.
    """

    steps: int
    max_minutes: float | None = None
    warm_up: float = 0.2
    search_end: float = 0.7
    settle_end: float = 0.75
    fade_end: float = 0.9

    def __post_init__(self) -> None:
        self.budget = Budget(self.steps, self.max_minutes)

    def progress(self, step: int) -> float:
        """The share of the budget that is gone, in [0, 1]."""
        return self.budget.progress(step)

    def phase(self, progress: float) -> Phase:
        """The phase at that progress."""
        ends = (
            (self.warm_up, Phase.WARM_UP),
            (self.search_end, Phase.SEARCH),
            (self.settle_end, Phase.SETTLE),
            (self.fade_end, Phase.FADE),
        )
        return next((phase for end, phase in ends if progress < end), Phase.REAL)

    def synthesis(self, progress: float) -> float:
        """How much generated pairs may count at that progress, in [0, 1]."""
        phase = self.phase(progress)
        if phase is Phase.SEARCH:
            return 1.0
        if phase is Phase.FADE:
            return (self.fade_end - progress) / (self.fade_end - self.settle_end)
        return 0.0

    def searching(self, interval: int) -> int:
        """Outer steps of the search, where there is one every `interval` steps."""
        return int((self.search_end - self.warm_up) * self.steps / interval)
