"""Where a training stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["preparing", "training", "done"]


@dataclass(frozen=True)
class StepReport:
    """Where a training stands; `loss` and `eta_s` are None while there is nothing to say."""

    step: int
    steps: int
    loss: float | None
    seconds: float
    eta_s: float | None
    phase: Phase

    @property
    def share(self) -> float:
        """Of the training, what is done: by its minutes where they will end it before its steps."""
        if self.phase == "done":
            return 1.0
        whole = self.seconds + (self.eta_s or 0.0)
        return self.step / max(1, self.steps) if self.eta_s is None or not whole else self.seconds / whole


OnStep = Callable[[StepReport], None]
