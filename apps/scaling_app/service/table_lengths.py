"""Which trainings of a table made fewer steps than were asked for: their minutes were over first."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_app.forecast.score_table import whole_of
from scaling_app.forecast.scores import Score
from scaling_app.trials.length import AUTO_STEPS, steps_for


def cut_short(n: int, asked: str, made: int | None) -> bool:
    """Whether a training on `n` cases ended before its steps; False where the table does not tell.

    Args:
        asked: a number of steps, or `auto`.
        made: the steps that it took.
    """
    wanted = steps_for(n) if asked == AUTO_STEPS else whole_of(asked)
    return made is not None and wanted is not None and made < wanted


def counts_cut(scores: Iterable[Score]) -> tuple[int, int]:
    """How many of the trainings that were tested ended when their minutes were over, and how many there are."""
    ended = {o.run_key: o.ended == "time" or cut_short(o.n, o.asked, o.steps) for o in scores}
    return sum(ended.values()), len(ended)
