"""Testing a model on cases it has not seen, on their own grids, in millimetres."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from scaling_app.imaging.geometry import Canonical, read_image, read_label, same_grid, spacing_of
from scaling_app.imaging.resampling import largest
from scaling_app.imaging.scores import StructureScore, binary_cross_entropy, score_case
from scaling_app.imaging.untrusted import ImageError
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.inference import to_label
from scaling_app.trials.label_names import renumbered
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.plan import Plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseScore:
    """The scores of every structure in one case, and how long segmenting it took."""

    case_id: str
    scores: list[StructureScore]
    seconds: float


def test(
    model: TrainedModel,
    cases: Sequence[CaseFiles],
    *,
    tolerance_mm: float = 2.0,
    should_stop: Callable[[], bool] | None = None,
) -> list[CaseScore]:
    """Segments labelled cases and scores them; stops early, with what it has, when asked to.

    Raises:
        ImageError: an unreadable case, one without label, or one whose label lies on another grid.
    """
    scored = []
    for case in cases:
        if should_stop is not None and should_stop():
            break
        scored.append(_test_case(model, case, tolerance_mm))
    return scored


def test_each(
    model: TrainedModel,
    cases: Iterable[CaseFiles],
    *,
    tolerance_mm: float = 2.0,
    should_stop: Callable[[], bool] | None = None,
) -> list[CaseScore]:
    """The same without the cases that cannot test the model; the log names them.

    What most images are like, and their files, may have changed since they were found fit.
    """
    scored = []
    for case in cases:
        try:
            scored += test(model, [case], tolerance_mm=tolerance_mm, should_stop=should_stop)
        except ImageError as error:
            logger.warning("%s cannot test the model: %s", case.case_id, error)
    return scored


test.__test__ = test_each.__test__ = False  # type: ignore[attr-defined]  # pytest takes every name in "test" for its own


def _test_case(model: TrainedModel, case: CaseFiles, tolerance_mm: float) -> CaseScore:
    if case.label is None:
        raise ImageError(f"case {case.case_id} has no label to test against")
    image = read_image(case.image)
    reference = renumbered(read_label(case.label, image), case)
    if (difference := same_grid(image, reference)) is not None:
        raise ImageError(f"case {case.case_id}: {difference}")
    turn = Canonical.of(image)
    canonical = turn.apply(reference.as_tensor())
    began = time.perf_counter()
    losses: dict[str, float] = {}
    indices = largest(_noting_losses(model.maps(image), canonical, model.plan, losses), canonical.shape[1:])
    prediction = to_label(turn.undo(indices), model.plan, image).as_tensor()
    seconds = time.perf_counter() - began
    scores = score_case(
        prediction, reference.as_tensor(), model.plan.structures, spacing_of(image), tolerance_mm, losses
    )
    return CaseScore(case.case_id, scores, seconds)


def _noting_losses(
    maps: Iterator[tuple[int, Tensor]], reference: Tensor, plan: Plan, losses: dict[str, float]
) -> Iterator[tuple[int, Tensor]]:
    """Passes the maps on, and notes each structure's cross-entropy on the way: one volume at a time."""
    names = {index: name for name, index in plan.classes.items()}
    for index, probability in maps:
        if index in names:
            losses[names[index]] = binary_cross_entropy(probability, reference[0] == plan.class_values[index])
        yield index, probability
