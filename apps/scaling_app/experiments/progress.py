"""How far a long command is: bars in a terminal, and in a log a plain line every so often."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:  # without PyTorch, which a backup need not wait for
    from scaling_app.experiments.replay import ReplayProgress

LINE_SECONDS = 60.0
"""Between two lines of a log."""


class LogLines:
    """Writes where things stand every `LINE_SECONDS`, also while nothing is told, as in a long registration."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._state = ""
        self._since = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True, name="progress")
        self._thread.start()

    def close(self) -> None:
        """Writes no more."""
        self._over.set()
        self._thread.join()

    def stands(self, state: str) -> None:
        """Keeps this for the next line."""
        self._state = state

    def say(self, line: str) -> None:
        """Writes a line at once; one that finds no room, or nobody to read it, is left out."""
        with suppress(OSError):
            print(line, file=self._out, flush=True)

    def checked(self, done: int, total: int) -> None:
        """How many cases have been looked at before the first run."""
        self.phase("checking files", done, total)

    def phase(self, name: str, done: int, total: int) -> None:
        """A phase of other work; its time left is what the part done took, for the rest."""
        if not self._state.startswith(f"{name}: "):
            self._since = time.monotonic()
        left = (time.monotonic() - self._since) / done * (total - done) if done else None
        self.stands(f"{name}: {done} of {total}{_and_left(left)}")

    def show(self, progress: ReplayProgress) -> None:
        """A step or the end of a run."""
        state = f"runs: {progress.done} of {progress.total}"
        if progress.step is not None:
            state += f"; {_named(progress)}: step {progress.step.step} of {progress.step.steps}"
        elif progress.dice is not None:
            self.say(f"{_named(progress)}: mean Dice {progress.dice:.3f}")
        self.stands(state + _and_left(progress.eta_s))

    def _write(self) -> None:
        began = time.monotonic()
        while not self._over.wait(LINE_SECONDS):
            if self._state:
                self.say(f"{self._state} ({_lasting(time.monotonic() - began)} so far)")


class Bars:
    """Bars in a terminal; each appears when there is something to show."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def _update(self, name: str, **what: Any) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, note="")
        self._bars.start()  # only now: a command that is refused shows no bars
        self._bars.update(self._tasks[name], **what)

    def checked(self, done: int, total: int) -> None:
        """Shows how many cases have been looked at before the first run."""
        self._update("checking files", completed=done, total=total, visible=done < total)

    def phase(self, name: str, done: int, total: int) -> None:
        """Shows a phase of other work."""
        self._update(name, completed=done, total=total)

    def show(self, progress: ReplayProgress) -> None:
        """Shows a step or the end of a run."""
        left = _left(progress.eta_s)
        self._update("runs", completed=progress.done, total=progress.total, note=left)
        step = progress.step
        if step is not None:
            loss = "" if step.loss is None else f"loss {step.loss:.3f}"
            what = {"completed": step.step, "total": step.steps, "note": loss}
            self._update("steps", description=_named(progress), **what)
        elif progress.dice is not None:
            self._bars.console.print(f"{_named(progress)}: mean Dice {progress.dice:.3f}")


@contextmanager
def shown() -> Iterator[Bars | LogLines]:
    """Shows progress on stderr while open."""
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = LogLines(sys.stderr)
        try:
            yield lines
        finally:
            lines.close()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bars = Progress(*columns, console=console)
    try:
        yield Bars(bars)
    finally:
        if bars.live.is_started:
            bars.stop()


def _named(progress: ReplayProgress) -> str:
    run = progress.run
    return f"{run.strategy} {run.network} n={run.n} draw {run.draw} seed {run.seed}"


def _left(seconds: float | None) -> str:
    return "" if seconds is None or seconds < 1 else f"about {_lasting(seconds)} left"


def _and_left(seconds: float | None) -> str:
    return (left := _left(seconds)) and f", {left}"


def _lasting(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
