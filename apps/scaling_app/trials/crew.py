"""Runs under way, at most as many as there are places for, wherever that is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from scaling_app.trials.step_report import OnStep, StepReport
from scaling_app.trials.wire import JobEnd, RunEnd, WorkerError
from scaling_app.trials.workplace import FAULTS, AnyPlace, ClusterError, Workplace

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks at who has ended."""

_one_at_a_time = threading.Lock()


class Work(Protocol):
    """What a run does: a function of a module, whose arguments and result can be sent to another machine."""

    def __call__(self, run: Any, *, on_step: OnStep, should_stop: Callable[[], bool]) -> Any:
        """What came out; of a run that was asked to stop it is left aside."""
        ...


class Crew:
    """Begins runs and hands back what came out; a context, at whose end those under way are ended, too.

    Args:
        work: what each run does.
        folder: for the wire; where other machines work, they see it under the same path.
        places: where to work; each further one takes over when the machines of the one before fail.
        on_look: called now and then while runs are under way.

    Raises:
        ClusterError: no place can be used; so do the methods when the last one fails.
    """

    def __init__(
        self,
        work: Work,
        folder: Path,
        *places: Callable[[], AnyPlace],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self.trouble: str | None = None
        self._work, self._on_look = work, on_look
        self._wire = JobEnd(folder)
        self._places = list(places)
        self._stack = ExitStack()
        self._runs: dict[str, Any] = {}
        self._futures: dict[Future[Any], str] = {}
        self._steps: dict[str, StepReport] = {}
        self._given_back: list[str] = []
        self.place = self._moved_in()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    @property
    def names(self) -> list[str]:
        """The runs under way."""
        return list(self._runs)

    def has_room(self) -> bool:
        """Whether another run may begin."""
        if self._given_back:
            return False  # those go first
        try:
            return len(self._runs) < self.place.places()
        except FAULTS as error:
            self._move_on(error)
            return not self._given_back

    def step_of(self, name: str) -> StepReport | None:
        """How far that run is."""
        return self._wire.step_of(name) if self.place.shared else self._steps.get(name)

    def begin(self, name: str, run: Any) -> None:
        """Submits a run; at a place of this thread it ends before this returns."""
        self._runs[name] = run
        submit = self.place.executor.submit
        if not self.place.shared:
            self._futures[submit(self._work, run, on_step=self._noting(name), should_stop=_never)] = name
            return
        self._wire.want(self._runs, at_once=True)
        try:
            self._futures[submit(_carry_out, self._work, run, self._wire.end_of(name))] = name
        except (RuntimeError, OSError) as error:  # closed in the meantime
            self._move_on(error)

    def ended(self) -> list[tuple[str, Future[Any] | None]]:
        """Waits until there are runs that have ended; with each the future of its result or its own error.

        None stands for the future of a run that has to be begun again, as its place failed.
        """
        out: list[tuple[str, Future[Any] | None]] = []
        while self._futures and not out and not self._given_back:
            if self.place.shared:
                self._wire.want(self._runs)
            done = wait(self._futures, LOOK_SECONDS, FIRST_COMPLETED).done
            self._on_look()
            faults = {future: fault for future in done if (fault := self._fault_of(future)) is not None}
            for future in done - faults.keys():
                out.append((self._futures[future], future))
                self._forget(future)
            if faults:
                self._move_on(next(iter(faults.values())))
            elif not done:
                self.has_room()  # which sees whether the place is still there
        out += [(name, None) for name in self._given_back]
        self._given_back = []
        return out

    def _fault_of(self, future: Future[Any]) -> BaseException | None:
        if not self.place.shared:
            return None
        if future.cancelled():
            return ClusterError(f"what ran {self.place.name} was lost")
        error = future.exception()
        return error if isinstance(error, FAULTS) else None

    def _forget(self, future: Future[Any]) -> None:
        name = self._futures.pop(future)
        del self._runs[name]
        self._steps.pop(name, None)
        self._wire.forget(name)

    def _moved_in(self) -> Workplace:
        while True:
            try:
                return self._stack.enter_context(self._places.pop(0)())
            except ClusterError as error:
                if not self._places:
                    raise
                self._tell(error)

    def _move_on(self, error: BaseException) -> None:
        """To the next place, with the runs to be begun again there."""
        self._given_back += self._runs
        self._leave()
        if not self._places:
            raise ClusterError(str(error)) from error
        self._tell(error)
        self.place = self._moved_in()

    def _leave(self) -> None:
        for future in self._futures:
            future.cancel()
        self._futures.clear()
        self._runs.clear()
        self._wire = self._wire.closed()
        self._stack.close()

    def _tell(self, error: BaseException) -> None:
        self.trouble = f"{error}. The trainings are made on this machine."
        logger.warning("%s", self.trouble)

    def _noting(self, name: str) -> OnStep:
        def on_step(report: StepReport) -> None:
            self._steps[name] = report
            self._on_look()

        return on_step


def _never() -> bool:
    return False


def _carry_out(work: Work, run: Any, end: RunEnd) -> Any:
    """On the worker."""
    with _one_at_a_time:
        end.require_job()
        listener = end.listener()
        result = work(run, on_step=listener.on_step, should_stop=listener.should_stop)
        if listener.asked:
            raise WorkerError(f"a run ended as its job had fallen silent, or had others in mind ({end.run})")
        return result
