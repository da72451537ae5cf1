"""Which trainings are of one curve: of the same settings, and as the minutes of today would leave them.

`max_minutes` is part of no settings' hash, since it decides next to nothing for a training that finishes with time to
spare. It decides all for one that does not finish. So a training that its minutes ended counts while those of today are
as many, and one that finished while they would have let it finish. What nobody knows, of ledgers that kept no minutes,
counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from scaling_app.curve.curve_points import RunDue
from scaling_app.forecast.arms import LONGER_TIMES, trained_longer
from scaling_app.ledger import Ledger, Run, utc_now
from scaling_app.ledger.notes import CURVE_RECIPE

_MINUTES = re.compile(r"-[0-9.]+min$")


@dataclass(frozen=True)
class Recipe:
    """What the trainings of a curve share.

    Attributes:
        settings: `Run.recipe` of each.
        max_minutes: those of today; None where nobody knows.
    """

    settings: str
    max_minutes: float | None = None

    def of_curve(self, runs: Iterable[Run]) -> dict[str, Run]:
        """Those that count, by their names; of one that was made with several numbers of minutes, the newest."""
        counting = sorted(filter(self._counts, runs), key=lambda run: run.started_at)
        newest = {whatever_minutes(run.run_id): run for run in counting}
        return {run.run_id: run for run in newest.values()}

    def as_named(self, planned: Iterable[RunDue], done: Iterable[Run]) -> list[RunDue]:
        """The planned runs under the names that they have in the ledger, or will have.

        What was done with other minutes keeps its name, and stays: today's may be theirs again.
        """
        done = list(done)
        taken = {run.run_id for run in done}
        counting = {whatever_minutes(run_id): run_id for run_id in self.of_curve(done)}

        def name(run_id: str) -> str:
            return counting.get(run_id) or (f"{run_id}-{self.max_minutes}min" if run_id in taken else run_id)

        return [replace(run, run_id=name(run.run_id)) for run in planned]

    def told(self, runs: Collection[Run]) -> str:
        """What tells its curve from others': the minutes too, where they ended one of these runs of the session's own."""
        cut = any(run.ended == "time" and run.purpose != "arm" for run in runs)
        return f"{self.settings} {self.max_minutes:g} min" if cut and self.max_minutes else self.settings

    def _counts(self, run: Run) -> bool:
        if run.recipe != self.settings:
            return False
        if None in (run.max_minutes, self.max_minutes) or run.max_minutes == self.max_minutes:
            return True
        return run.ended != "time" and (run.minutes or 0.0) <= self._minutes_of(run)

    def _minutes_of(self, run: Run) -> float:
        times = 1 if trained_longer(run.strategy) is None else LONGER_TIMES
        return times * (self.max_minutes or 0.0)


def recipe_in_use(ledger: Ledger, tested: Collection[Run]) -> Recipe | None:
    """That of the newest run of the curve, or with which a job has found the curve whole since.

    Before there is one, of the newest run that was tested.
    """
    curve = [run for run in tested if run.purpose in ("fold", "nested")]
    newest = max(curve or tested, key=lambda run: (run.started_at, run.run_id), default=None)
    if newest is None:
        return None
    noted = ledger.setting(CURVE_RECIPE)
    if curve and noted is not None and newest.started_at < datetime.fromisoformat(noted["at"]):
        return Recipe(noted["settings"], noted["max_minutes"])
    return Recipe(newest.recipe, newest.max_minutes)


def note_whole(ledger: Ledger, recipe: Recipe) -> None:
    """Notes that the curve has all runs of this recipe, where the newest run does not tell: another one was tried since."""
    if recipe_in_use(ledger, [run for run in ledger.runs() if run.state == "done"]) != recipe:
        ledger.set_setting(CURVE_RECIPE, {**asdict(recipe), "at": utc_now().isoformat()})


def whatever_minutes(run_id: str) -> str:
    """The name that a run has as long as it was made with no other number of minutes."""
    return _MINUTES.sub("", run_id)
