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


def telling(on_step: OnStep | None, before: int, steps: int) -> OnStep | None:
    """Tells of one of the two as of a part of all `steps`, after the steps `before` it."""
    if on_step is None:
        return None

    def tell(report: StepReport) -> None:
        done, left = before + report.step, before + report.steps
        if report.phase == "done" and left < steps:
            return
        eta = report.eta_s and report.eta_s / max(1, left - done) * (steps - done)
        on_step(replace(report, step=done, steps=steps, eta_s=eta))

    return tell


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
