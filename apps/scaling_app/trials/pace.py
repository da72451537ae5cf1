"""How far a training is: by its steps or by its minutes, whichever run out first."""

from __future__ import annotations

import math
from dataclasses import dataclass

_WARM_UP_STEPS = 20


@dataclass(frozen=True)
class Pace:
    """What a training may take; without `max_minutes` its steps alone count."""

    steps: int
    max_minutes: float | None

    def is_out_of_time(self, seconds: float) -> bool:
        """Whether its minutes are over."""
        return self.max_minutes is not None and seconds >= 60 * self.max_minutes

    def share_of_peak(self, step: int, seconds: float) -> float:
        """Of the peak learning rate: linear warm-up, then half a cosine."""
        done = step / self.steps
        if self.max_minutes is not None:
            done = max(done, min(1.0, seconds / (60 * self.max_minutes)))
        warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
        return warm * (0.5 + 0.5 * math.cos(math.pi * done))

    def seconds_left(self, step: int, seconds: float) -> float:
        """As many as the steps so far took, for those to come; never more than the minutes leave."""
        left = seconds / step * (self.steps - step)
        return left if self.max_minutes is None else min(left, max(0.0, 60 * self.max_minutes - seconds))
