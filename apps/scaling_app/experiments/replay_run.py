"""One run of a replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scaling_app.forecast.score_table import RUN as KEY
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.length import AUTO_STEPS


@dataclass(frozen=True)
class Arm:
    """A strategy with options, under the name that the table's column `strategy` shows."""

    name: str
    strategy: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplayRun:
    """One run of a replay: what to train on what, and the cases to test on.

    Attributes:
        checkpoint: where an earlier attempt stopped, on whatever machine; removed by whoever writes the rows down.
    """

    dataset: str
    network: str
    arm: Arm
    n: int
    draw: int
    seed: int
    steps: int | None
    structures: dict[str, int]
    training: tuple[CaseFiles, ...]
    testing: tuple[CaseFiles, ...]
    pool: tuple[CaseFiles, ...]
    cache_dir: Path
    memory_bytes: int
    threads: int | None = None
    capacity: str | int = "small"
    step_bytes: int | None = None
    learning_rate: float | None = None
    shared_cache: bool = False
    max_minutes: float | None = None
    checkpoint: Path | None = None

    @property
    def strategy(self) -> str:
        """What the table calls the arm."""
        return self.arm.name

    @property
    def key(self) -> tuple[str, ...]:
        """Identifies the run in the table: what its rows hold in these columns."""
        told = {"steps": self.steps or AUTO_STEPS}
        return tuple(str(told.get(name) or getattr(self, name)) for name in KEY)
