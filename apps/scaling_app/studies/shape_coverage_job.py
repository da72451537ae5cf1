"""How unlike the labelled cases the unlabelled images are: the last part of a `learning_curve` job.

Registrations take seconds each, so at most `MOST_LABELLED` labelled cases and `MOST_POOL` unlabelled images
are compared, taken in the session's random order, within a time limit. They are cached: what one job leaves
undone, the next one finishes. Nothing is computed again while labels, images and model stay the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from scaling_app.curve.curve_points import digest_of
from scaling_app.ledger import PoolCase, ShapeCoverage
from scaling_app.strategies.deformation.shape_coverage import FEWEST, coverage
from scaling_app.studies import splits
from scaling_app.studies.planning import plan_for, prepare
from scaling_app.studies.studies import Studies
from scaling_app.studies.train_options import TrainOptions
from scaling_app.studies.train_runs import Material
from scaling_app.trials.model import TrainedModel

logger = logging.getLogger(__name__)

MOST_LABELLED = 16
MOST_POOL = 24
ANY_VOLUMES = "resunet"
"""A network that takes volumes, for a plan of them; it is not trained."""
SECONDS_PER_LABELLED = 4.0
"""Of one core, for the template at about 48 points per axis; with less time than that nothing is begun."""

Report = Callable[[str, float], None]
"""Told what is done, and the share done so far."""


def look_at_pool(
    studies: Studies, options: TrainOptions, material: Material, *, seconds: float, report: Report
) -> bool:
    """Compares unlabelled images with the labelled cases, and keeps the answer in the ledger.

    The template of the labelled cases is made whole once begun; the limit holds for what comes after.

    Args:
        seconds: time for it.
        report: told of every image.

    Returns:
        Whether there was something to compute.
    """
    labelled = splits.random_order(material.cases, studies.conf.seed)[:MOST_LABELLED]
    unlabelled = {files.case_id: files for files in material.pool}
    pool = splits.random_order(unlabelled, studies.conf.seed)[:MOST_POOL]
    if len(labelled) < FEWEST or not pool or seconds < SECONDS_PER_LABELLED * len(labelled):
        return False
    model, run_id = _model_in_use(studies)
    known, made_from = studies.ledger.shape_coverage(), _identity(material, labelled, pool, run_id)
    if known is not None and known.made_from == made_from and known.complete:
        return False
    files = material.of(labelled)
    plan = model.plan if model is not None else plan_for(studies, options, files)
    if plan.slice_axis is not None:
        plan = plan_for(studies, replace(options, network=ANY_VOLUMES), files, 3)
    prepared = prepare(studies, plan, [*files, *(unlabelled[i] for i in pool)])
    deadline = time.monotonic() + seconds
    report(f"Registering {len(labelled)} labelled cases", 0.0)
    found = coverage(
        prepared,
        labelled,
        _telling(pool, report),
        spacing_mm=plan.believed_spacing,
        structures=plan.classes,
        cache_dir=prepared.cache_dir / "strategies",
        should_stop=lambda: time.monotonic() > deadline,
    )
    cases = tuple(PoolCase(case.case_id, case.distance, case.outside) for case in found)
    if cases:
        studies.ledger.set_shape_coverage(
            ShapeCoverage(made_from, len(cases) == len(pool), run_id, len(labelled), cases)
        )
    return True


def _model_in_use(studies: Studies) -> tuple[TrainedModel | None, str | None]:
    """The published model, unless its structures are no longer the session's or it knows slices only.

    Shapes are compared as volumes, where a model of slices cannot help.
    """
    published = studies.published()
    if published is None:
        return None, None
    model = published.load()
    if model is None or model.plan.slice_axis is not None:
        return None, None
    if dict(model.plan.structures) != studies.structures():
        return None, None
    return model, published.run_id


def _telling(pool: Sequence[str], report: Report) -> Iterator[str]:
    for index, image in enumerate(pool):
        report(
            f"Comparing unlabelled image {index + 1} of {len(pool)} with the labelled cases",
            index / len(pool),
        )
        yield image


def _identity(material: Material, labelled: Sequence[str], pool: Sequence[str], model: str | None) -> str:
    facts = [f"{i}:{material.cases[i].label_hash}" for i in labelled]
    return digest_of(*facts, *pool, model)[:16]
