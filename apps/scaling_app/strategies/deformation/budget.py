"""How much of a training run is used up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


class Budget:
    """Steps or, under a time limit, wall clock, whichever is further gone.

    Args:
        steps: of the whole run.
        max_minutes: of the whole run, or None.

    Attributes:
        seconds_before: those used before a resume.
    """

    def __init__(self, steps: int, max_minutes: float | None = None) -> None:
        self._steps, self._max_minutes = steps, max_minutes
        self.seconds_before = 0.0
        self._began: float | None = None

    def progress(self, step: int) -> float:
        """The share that is gone at a step, in [0, 1]; the clock starts at the first call."""
        by_steps = step / self._steps
        if self._max_minutes is None:
            return min(1.0, by_steps)
        if self._began is None:
            self._began = time.monotonic()
            if step == 0:  # what was taken up is the state of an earlier run
                self.seconds_before = 0.0
        return min(1.0, max(by_steps, self.seconds() / (60 * self._max_minutes)))

    def seconds(self) -> float:
        """Wall clock used so far, before a resume included; under a time limit."""
        return self.seconds_before + (0.0 if self._began is None else time.monotonic() - self._began)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from; nothing without a time limit."""
        return {} if self._max_minutes is None else {"seconds": self.seconds()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up `state_dict`'s content, of this run or of an earlier one."""
        self.seconds_before = float(state.get("seconds", 0.0))
