"""The shapes a strategy may learn from: the fold's labelled cases and images without labels, registered."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_app.strategies.base import PreparedCase, StrategyContext
from scaling_app.strategies.deformation.alignment import Frame, resample, with_structures
from scaling_app.strategies.deformation.atlas import Atlas, Registered
from scaling_app.strategies.deformation.atlas_store import AtlasStore
from scaling_app.strategies.deformation.subspace import fit_subspace
from scaling_app.strategies.deformation.velocity import Deformation, Flow

logger = logging.getLogger(__name__)

MOST_LABELLED = 32
MOST_UNLABELLED = 12
"""More shapes than these are thinned evenly: registrations take seconds each."""
_TIME_SHARE = 0.25


@dataclass(frozen=True)
class Group:
    """Registered shapes of one fold.

    Attributes:
        atlas: the fold's template.
        labelled: every registered labelled case by its id.
        unlabelled: registered images of the pool by their id.
        drawn: where in the pool each of these stands.
        codes: `(labelled + unlabelled, C)` coarse image codes, in that order.
        left_out: the atlas of other patients' cases for some labelled ones, and these around it by their images alone.
        without_structure: how many labelled cases are left out since they hold no structure and others do.
    """

    atlas: Atlas
    labelled: dict[str, Registered]
    unlabelled: dict[str, Registered]
    drawn: dict[str, int]
    codes: Tensor
    left_out: dict[str, tuple[Atlas, Registered]]
    without_structure: int

    @property
    def frame(self) -> Frame:
        """The common frame."""
        return self.atlas.frame

    @property
    def velocities(self) -> list[Tensor]:
        """Of all shapes, labelled first."""
        return [r.velocity for r in (*self.labelled.values(), *self.unlabelled.values())]

    @property
    def modes_90(self) -> int:
        """Number of modes of the geodesic subspace that hold 90 % of its variance."""
        return fit_subspace(self.velocities, self.frame.nodes).modes_90

    def deform(self, case_id: str, flow: Flow) -> Deformation:
        """A flow of the frame as a point map of a labelled case."""
        placement = self.labelled[case_id].placement
        return Deformation(placement.matrix, torch.tensor(placement.offset_mm), (flow,))


def gather(
    cases: Sequence[PreparedCase], context: StrategyContext, *, with_pool: bool, checked: int = 0
) -> Group:
    """Registers the fold, from the cache where that changes nothing; an image of the pool that cannot be used is left out.

    Args:
        cases: the fold's.
        context: of the run.
        with_pool: whether images of the pool are registered too.
        checked: at most so many labelled cases are left out and registered by their images alone as well.

    Raises:
        ValueError: no labelled case.
    """
    began = time.monotonic()
    # who has an earlier model to go by depends on what was done before in any case, and others must not
    extends = context.predict is not None
    store = AtlasStore(context.cache_dir, context.spacing, context.structures, extends=extends)
    chosen = [cases[i] for i in thinned(len(cases), MOST_LABELLED)]
    labelled_cases = [case for case in chosen if case.label is not None]
    if not labelled_cases:
        raise ValueError("none of the training cases has a label")
    usable = with_structures(labelled_cases)
    key, atlas, labelled = store.atlas(usable)
    unlabelled: dict[str, Registered] = {}
    drawn: dict[str, int] = {}
    codes = [_code(case, labelled[case.case_id], atlas.frame) for case in usable if case.case_id in labelled]
    limit = float("inf") if context.max_minutes is None else 60 * context.max_minutes * _TIME_SHARE
    for index in thinned(len(context.pool), MOST_UNLABELLED) if with_pool else []:
        if time.monotonic() - began > limit:
            logger.warning("registered %d of the pool's images in the time there was", len(unlabelled))
            break
        name = f"image {index} of the pool"
        try:
            case = context.pool[index]
            name = case.case_id
            registered = store.unlabelled(key, atlas, case, context.predict)
            codes.append(_code(case, registered, atlas.frame))
        except (ValueError, ArithmeticError, RuntimeError, OSError) as error:
            logger.warning("%s is left out: %s", name, error)
            continue
        unlabelled[name], drawn[name] = registered, index
    looked_at = [usable[i] for i in thinned(len(usable), checked)] if checked else []
    # without predictions: a model that was trained on these very labels would make them look easy to carry
    again = store.left_out(key, atlas, usable, labelled, looked_at) if looked_at else {}
    left_out = len(labelled_cases) - len(usable)
    return Group(atlas, labelled, unlabelled, drawn, _condense(torch.stack(codes)), again, left_out)


def thinned(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spaced."""
    if count <= most:
        return list(range(count))
    return torch.linspace(0, count - 1, most).round().int().tolist()


def _code(case: PreparedCase, registered: Registered, frame: Frame) -> Tensor:
    """The placed image at 4 points per axis, standardised."""
    image, _ = resample(case.image.float().mean(dim=0, keepdim=True), registered.placement, frame.grid)
    pool = F.adaptive_avg_pool2d if frame.grid.dims == 2 else F.adaptive_avg_pool3d
    code = pool(image[None], 4).flatten()
    return (code - code.mean()) / code.std().clamp(min=1e-6)


def _condense(codes: Tensor, size: int = 4) -> Tensor:
    """Principal coordinates of the codes, of unit variance."""
    centred = codes - codes.mean(dim=0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    scores = left[:, :size] * values[:size]
    return scores / scores.std(dim=0, correction=0).clamp(min=1e-3)
