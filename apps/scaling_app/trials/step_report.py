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


OnStep = Callable[[StepReport], None]
