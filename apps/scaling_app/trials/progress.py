"""A replay's progress in the terminal: one bar for the runs, one for the steps of the run at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scaling_app.trials.replay import ReplayProgress


@contextmanager
def replay_bars() -> Iterator[Callable[[ReplayProgress], None]]:
    """Shows the bars while open; yields the callback that `replay` tells its progress."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns) as bars:
        runs = bars.add_task("runs", total=None, note="")
        steps = bars.add_task("steps", total=None, note="")

        def show(progress: ReplayProgress) -> None:
            left = "" if progress.eta_s is None else f"about {progress.eta_s / 60:.0f} min left"
            bars.update(runs, completed=progress.done, total=progress.total, note=left)
            run, step = progress.run, progress.step
            what = f"{run.strategy} {run.network} n={run.n} draw {run.draw} seed {run.seed}"
            if step is not None:
                loss = "" if step.loss is None else f"loss {step.loss:.3f}"
                bars.update(steps, completed=step.step, total=step.steps, description=what, note=loss)
            elif progress.dice is not None:
                bars.console.print(f"{what}: mean Dice {progress.dice:.3f}")

        yield show
