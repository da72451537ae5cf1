"""Works off the curve's runs within the budget, as many at once as there are places, and writes down what came out.

Only the process of the job touches the ledger. A run begins there before it is handed out, and it ends in one
transaction with its observations, once: whatever was done twice on machines that were lost leaves no trace.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from scaling_app.curve.curve_points import RunDue, fits_budget, seconds_left
from scaling_app.ledger import LedgerError
from scaling_app.log.trouble import Trouble
from scaling_app.studies.curve_run import CurveResult, CurveRun, carry_out
from scaling_app.studies.train_runs import Material, names_since, note_failure, observations_of
from scaling_app.trials import wire, workplace
from scaling_app.trials.crew import Crew
from scaling_app.trials.failures import TrainingError, would_fail_again
from scaling_app.trials.memory import NoRoomError
from scaling_app.words import count

if TYPE_CHECKING:
    from scaling_app.studies.studies import Studies

logger = logging.getLogger(__name__)

FAILURES_ALLOWED = 2
"""So many failed runs in a row end the job, or the comparison with that strategy."""

_FOR_PEOPLE = (TrainingError, NoRoomError)
_SEE_LOG = "; see the server's log"
"""In place of a reason that was not written for those at the viewer."""

EVERY_SECONDS = 2.0
"""Between two notes in the ledger of how far the runs are."""


class CurveWork:
    """The work of one job.

    Args:
        own: the session's own strategy; without it nothing goes on.
        make: the run as it is handed out, in the ledger from then on; told where it will be carried out.
        times: how many times as long as others the runs of a strategy take, where nothing is known.
    """

    def __init__(
        self,
        studies: Studies,
        material: Material,
        own: str,
        budget_s: float,
        make: Callable[[RunDue, workplace.Workplace], CurveRun],
        times: Callable[[str], float],
    ) -> None:
        self.studies, self.material, self.own = studies, material, own
        self.budget_s, self.make, self.times = budget_s, make, times
        self.started = time.monotonic()
        self.durations: list[tuple[str, float]] = []
        self.trouble: str | None = None
        self.crew: Crew | None = None
        self.failures: Counter[str] = Counter()
        self.waiting: deque[RunDue] = deque()
        self.under_way: dict[str, tuple[RunDue, CurveRun, float]] = {}
        self.done = self.total = 0
        self._told = 0.0
        self._unnoted = Trouble(logger)
        self._why = _SEE_LOG

    def all_of(self, due: Sequence[RunDue], total: int) -> tuple[str, int, int]:
        """Carries these out, of so many planned; returns a sentence, the runs done and the runs planned."""
        self.waiting, self.done, self.total = deque(due), total - len(due), total
        self.failures.clear()
        self._why = _SEE_LOG
        if not due:
            return self._whole(), self.done, total
        folder = self.studies.folder / wire.UNDER_WAY
        with Crew(carry_out, folder, *self._places(), on_look=self._look) as self.crew:
            message = self._work(self.crew) or self._whole()
            self.trouble = self.crew.trouble
        self.crew = None
        return f"{message} {self.trouble}" if self.trouble else message, self.done, total

    def tell(self, message: str, eta: float | None = None) -> None:
        """How far the job is; where that cannot be noted, the trainings go on all the same."""
        if self.trouble:
            message = f"{message}. {self.trouble}"
        note = {"done": self.done, "total": self.total, "eta_seconds": eta, "message": message}
        try:
            self.studies.ledger.set_job({"state": "running", **note})
        except LedgerError as error:
            self._unnoted.tell("How far the curve is cannot be noted, and its trainings go on: %s", error)
        else:
            self._unnoted.over()

    def _places(self) -> list[Callable[[], workplace.AnyPlace]]:
        """The cluster first, if there is one; then every GPU here; then this process."""
        address = self.studies.conf.scheduler
        far = [partial(workplace.cluster, address)] if address else []
        return [*far, workplace.here, partial(workplace.here, 1)]

    def _whole(self) -> str:
        if self.done < self.total:
            return f"{self.total - self.done} of {self.total} trainings failed{self._why}."
        return f"All {self.total} trainings for {len(self.material.cases)} cases are done."

    def _work(self, crew: Crew) -> str | None:
        """Until nothing is left that may begin; returns why some were left."""
        reason = None
        while True:
            while reason is None and self.waiting and crew.has_room():
                reason = self._begin_next(crew)
            if not self.under_way:
                return reason
            for name, future in crew.ended():
                due, run, begun = self.under_way.pop(name)
                if future is None:
                    self.waiting.appendleft(due)
                    self.studies.ledger.finish_run(name, state="stopped", message="its place was lost")
                    continue
                if self._written_down(due, run, future):
                    self.done += 1
                    self.failures[due.strategy] = 0
                else:
                    self.failures[due.strategy] += 1
                self.durations.append((due.strategy, time.monotonic() - begun))

    def _begin_next(self, crew: Crew) -> str | None:
        due = self.waiting[0]
        if self.failures[due.strategy] >= FAILURES_ALLOWED:
            if due.strategy == self.own:
                return f"Two trainings in a row failed{self._why}."
            self.waiting.popleft()
            return None
        if not fits_budget(time.monotonic() - self.started, self.budget_s, self._seconds_of(due)):
            left = len(self.waiting)
            return f"The budget is used up: {left} of {self.total} trainings wait for the next job."
        self.waiting.popleft()
        try:
            run = self.make(due, crew.place)
        except Exception as error:
            self._failed(due, error)
            self.failures[due.strategy] += 1
            return None
        self.under_way[due.run_id] = due, run, time.monotonic()
        self._tell_of_runs()
        crew.begin(due.run_id, run)
        return None

    def _written_down(self, due: RunDue, run: CurveRun, future: Future[CurveResult]) -> bool:
        """Whether the run succeeded."""
        try:
            made = future.result()
        except Exception as error:
            self._failed(due, error)
            if would_fail_again(error):
                run.checkpoint.unlink(missing_ok=True)
            return False
        names = names_since(self.studies, run.plan)
        self.studies.ledger.finish_run(
            due.run_id,
            observations_of(due.run_id, due.purpose, made.scores, self.material.cases, names),
            steps=made.steps,
            ended=made.ended,
            minutes=made.minutes,
        )
        run.checkpoint.unlink(missing_ok=True)
        return True

    def _failed(self, due: RunDue, error: Exception) -> None:
        logger.error("Curve run %s failed", due.run_id, exc_info=error)
        self._why = f": {error}" if isinstance(error, _FOR_PEOPLE) else _SEE_LOG
        note_failure(self.studies, due.run_id, error)
        _let_go(error)

    def _seconds_of(self, run: RunDue) -> list[float]:
        """How long runs of its strategy took, else those of any, as many times as it has more steps."""
        same = [seconds for strategy, seconds in self.durations if strategy == run.strategy]
        return same or [self.times(run.strategy) * seconds for _, seconds in self.durations]

    def _look(self) -> None:
        if time.monotonic() - self._told > EVERY_SECONDS:
            self._tell_of_runs()

    def _tell_of_runs(self) -> None:
        crew, self._told = self.crew, time.monotonic()
        if crew is None or not self.under_way:
            return
        self.trouble = crew.trouble
        steps = {name: crew.step_of(name) for name in self.under_way}
        shares = {name: step.share if step else 0.0 for name, step in steps.items()}
        (first, _, _), *others = self.under_way.values()
        message = _describe(first)
        if (step := steps[first.run_id]) is not None:
            message += f", step {step.step} of {step.steps}"
        if others or crew.place.is_cluster:
            message = f"{len(self.under_way)} at once {crew.place.name}; {message}"
        eta = None
        if self.durations:
            eta = seconds_left(
                time.monotonic() - self.started,
                self.budget_s,
                [
                    (1 - shares[name]) * fmean(self._seconds_of(run))
                    for name, (run, _, _) in self.under_way.items()
                ],
                (fmean(self._seconds_of(run)) for run in self.waiting),
            )
        self.tell(message, eta)


def _let_go(error: BaseException | None) -> None:
    """Of what a run held when it failed, on a GPU too: the next one is made while somebody may still know the error."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _describe(run: RunDue) -> str:
    how = f" with {run.strategy}" if run.purpose == "arm" else ""
    how += " once more" if run.again else ""
    return f"Training on {count(run.n, 'case')}{how} (fold {run.fold + 1}), testing on {len(run.test_ids)}"
