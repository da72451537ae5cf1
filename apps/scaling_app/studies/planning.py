"""Plans and prepared cases of a session, within the RAM that it may take: half for cases, half for a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from scaling_app.studies.studies import Studies
from scaling_app.studies.train_options import TrainOptions
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.memory import bytes_for_cases, bytes_of, saying_what_would_do, step_bytes
from scaling_app.trials.plan import Plan, make_plan


def plan_for(
    studies: Studies,
    options: TrainOptions,
    cases: Sequence[CaseFiles],
    dimension: Literal[2, 3] | None = None,
) -> Plan:
    """Spacing, patch and batch for these training cases, within half of the memory bound.

    `dimension` is the session's unless it is given.

    Raises:
        ValueError: no plan can be made. Where it is for want of memory it is a `NoRoomError`, which says what `memory_gb`
            would do.
    """
    with saying_what_would_do("--conf memory_gb"):
        return make_plan(
            cases,
            studies.structures(),
            spatial_dims=dimension or studies.conf.dimension,
            network=options.network,
            capacity=options.capacity,
            memory_bytes=step_bytes(bytes_of(studies.conf.memory_gb)),
            coarse_to_fine=options.coarse_to_fine,
        )


def prepare(studies: Studies, plan: Plan, cases: Sequence[CaseFiles]) -> PreparedCases:
    """The cases on the plan's grid, cached within their memory bound."""
    return PreparedCases(plan, cases, studies.cache_dir, memory_for_cases(studies))


def memory_for_cases(studies: Studies, at_once: int = 1) -> int:
    """Bytes that the prepared cases of one of so many trainings on a machine may take: all share the other half."""
    return bytes_for_cases(studies.conf.memory_gb, at_once)
