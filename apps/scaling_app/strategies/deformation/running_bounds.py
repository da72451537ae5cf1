"""What a run drew, for its record: how many flows, how strong, and whether all were certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from scaling_app.strategies.deformation.velocity import Flow


@dataclass(frozen=True)
class _Drawn:
    fields: int = 0
    factors: int = 0
    certified: bool = True

    def __add__(self, other: _Drawn) -> _Drawn:
        certified = self.certified and other.certified
        return _Drawn(self.fields + other.fields, self.factors + other.factors, certified)


class RunningBounds:
    """Counts the drawn flows and their certificates, before an interruption too.

    All that were drawn: those of batches that lay ahead when a run was interrupted are drawn once more, and count.
    """

    def __init__(self) -> None:
        self._now = self._before = _Drawn()
        self._lock = Lock()

    def add(self, flow: Flow) -> None:
        """Notes one drawn flow; several threads may draw."""
        with self._lock:
            self._now += _Drawn(1, flow.repeats, flow.certified)

    def begin(self, step: int) -> None:
        """At the step from which a run draws: before step 0, what was taken up is an earlier run's."""
        if step == 0:
            self._before = _Drawn()

    def report(self) -> dict[str, float | int | str | bool]:
        """`fields`, `certified`, `mean_factors`."""
        drawn = self._before + self._now
        mean = drawn.factors / drawn.fields if drawn.fields else 0.0
        return {"fields": drawn.fields, "certified": drawn.certified, "mean_factors": round(mean, 3)}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run counts on from."""
        return asdict(self._before + self._now)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up `state_dict`'s content, of this run or of an earlier one."""
        self._before = _Drawn(**state)
