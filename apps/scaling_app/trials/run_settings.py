"""How one training run is made, in plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scaling_app.trials.length import steps_for


@dataclass(frozen=True)
class RunSettings:
    """How to train a plan's network.

    Attributes:
        steps: None: as many as the cases ask for (`steps_for`).
        times: so many times the steps are made.
        learning_rate: the peak; default what suits the network.
        average: decay per step of the mean of the weights that becomes the model, 0 where the last weights do; default
            what suits the network.
        max_minutes: bounds the training loop: the learning rate then falls with the time used, so that a run cut short
            ends as well annealed as a whole one.

    Raises:
        ValueError: a number out of its range.
    """

    strategy: str = "baseline"
    steps: int | None = None
    times: int = 1
    learning_rate: float | None = None
    average: float | None = None
    seed: int = 0
    max_minutes: float | None = None
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.steps is not None and self.steps < 1) or self.times < 1:
            raise ValueError(f"steps {self.steps} and times {self.times} must be positive")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ValueError(f"the learning rate {self.learning_rate} must be positive")
        if self.average is not None and not 0 <= self.average < 1:
            raise ValueError(f"the average's decay is at least 0 and below 1, got {self.average}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"the time limit must be positive, got {self.max_minutes} minutes")

    def steps_on(self, cases: int) -> int:
        """The steps of a training on so many cases."""
        return self.times * (self.steps or steps_for(cases))
