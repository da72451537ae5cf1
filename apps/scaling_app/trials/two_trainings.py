"""Two trainings, a coarse and a fine one, that share the steps and minutes of one and leave one model."""

from __future__ import annotations

from dataclasses import replace

from scaling_app.trials.model import Report, TrainedModel
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import OnStep, StepReport

COARSE_SHARE = 0.4
"""Of the steps and the minutes."""

TWO = 2
"""Steps that two trainings take at least."""

_ADDED = (
    "parameters",
    "steps",
    "skipped_steps",
    "prepare_seconds",
    "seconds",
    "step_cpu_seconds",
    "loader_cpu_seconds",
    "loader_waited_seconds",
)


def in_two(settings: RunSettings, cases: int) -> tuple[RunSettings, RunSettings]:
    """How the coarse and the fine network are trained on so many cases."""
    steps = settings.steps_on(cases)
    first = max(1, round(COARSE_SHARE * steps))
    return _part(settings, first, COARSE_SHARE), _part(settings, steps - first, 1 - COARSE_SHARE)


def _part(settings: RunSettings, steps: int, share: float) -> RunSettings:
    minutes = settings.max_minutes and share * settings.max_minutes
    return replace(settings, steps=steps, times=1, max_minutes=minutes)


def telling_coarse(on_step: OnStep | None, fine: RunSettings, steps: int) -> OnStep | None:
    """Tells of the coarse one as of the first part of all `steps`; the other one is still to come."""
    if on_step is None:
        return None

    def tell(report: StepReport) -> None:
        if report.phase == "done":
            return
        left = report.eta_s
        if left is not None:
            left += _expected_seconds(fine, report.seconds / report.step)
        on_step(replace(report, steps=steps, eta_s=left))

    return tell


def telling_fine(
    on_step: OnStep | None, fine: RunSettings, steps: int, coarse: TrainedModel
) -> OnStep | None:
    """Tells of the fine one as of what follows the steps that the coarse one made, which its minutes may have ended."""
    if on_step is None:
        return None
    made, seconds = int(coarse.report["steps"]), float(coarse.report["seconds"])

    def tell(report: StepReport) -> None:
        left = report.eta_s
        if left is None and report.phase == "preparing":
            left = _expected_seconds(fine, seconds / made)
        in_all = seconds + report.seconds
        on_step(replace(report, step=made + report.step, steps=steps, seconds=in_all, eta_s=left))

    return tell


def _expected_seconds(settings: RunSettings, of_a_step: float) -> float:
    """What a training will take if its steps are as long as another's; never more than its minutes."""
    seconds = of_a_step * (settings.steps or 0)
    return seconds if settings.max_minutes is None else min(seconds, 60 * settings.max_minutes)


def as_one(coarse: TrainedModel, fine: TrainedModel) -> TrainedModel:
    """The model of both, with what both cost; the rest of the report is the fine one's."""
    both: Report = {**coarse.report, **fine.report}
    for name in _ADDED:
        one, other = coarse.report[name], fine.report[name]
        assert isinstance(one, int | float) and isinstance(other, int | float)
        both[name] = one + other
    both["coarse_steps"] = coarse.report["steps"]
    shares = ((coarse, COARSE_SHARE), (fine, 1 - COARSE_SHARE))
    both["needed_seconds"] = max(float(one.report["needed_seconds"]) / share for one, share in shares)
    if both["ended"] == "finished":
        both["ended"] = coarse.report["ended"]
    return replace(coarse, report=both, fine=fine)
