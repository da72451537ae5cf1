"""A replay's progress in the terminal: one bar for the runs, one for the steps of the run at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from scaling_app.experiments.replay import ReplayProgress


class ReplayBars:
    """The bars; each appears when there is something to show."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._checks = bars.add_task("checking files", total=None, note="", visible=False)
        self._runs = bars.add_task("runs", total=None, note="", visible=False)
        self._steps = bars.add_task("steps", total=None, note="", visible=False)

    def _update(self, task: TaskID, **what: object) -> None:
        self._bars.start()  # only now: a replay that is refused shows no bars
        self._bars.update(task, **what)

    def checked(self, done: int, total: int) -> None:
        """Shows how many cases have been looked at before the first run."""
        self._update(self._checks, completed=done, total=total, visible=done < total)

    def show(self, progress: ReplayProgress) -> None:
        """Shows a step or the end of a run."""
        left = "" if progress.eta_s is None else _left(progress.eta_s)
        self._update(self._runs, completed=progress.done, total=progress.total, note=left, visible=True)
        run, step = progress.run, progress.step
        what = f"{run.strategy} {run.network} n={run.n} draw {run.draw} seed {run.seed}"
        if step is not None:
            loss = "" if step.loss is None else f"loss {step.loss:.3f}"
            self._update(
                self._steps, completed=step.step, total=step.steps, description=what, note=loss, visible=True
            )
        elif progress.dice is not None:
            self._bars.console.print(f"{what}: mean Dice {progress.dice:.3f}")


@contextmanager
def replay_bars() -> Iterator[ReplayBars]:
    """Shows the bars on stderr while open."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bars = Progress(*columns, console=Console(stderr=True))
    try:
        yield ReplayBars(bars)
    finally:
        if bars.live.is_started:
            bars.stop()


def _left(seconds: float) -> str:
    if seconds < 1:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"
