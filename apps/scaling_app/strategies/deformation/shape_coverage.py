"""Shape coverage: how well the labelled shapes explain one that they have not seen.

Each labelled case is left out in turn and rebuilt from the geodesic subspace of the others: the Dice of that
reconstruction is the group's shape coverage. A case without a label is registered by its image alone. What
the subspace cannot express of its velocity, and what of its image the template does not show after that, are
measured in units of the same of a labelled case that was left out and registered in the same way; the larger
of the two is its distance, since a case too odd to be registered moves little. No model's predictions enter:
one that was trained on the labelled cases would make them look close, and every other case far. The template
itself is made from all labelled cases, the one left out among them, which flatters the reconstruction a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.alignment import look_at, resample, with_structures
from scaling_app.strategies.deformation.atlas import Atlas, Registered
from scaling_app.strategies.deformation.atlas_store import AtlasStore
from scaling_app.strategies.deformation.registration import warp
from scaling_app.strategies.deformation.subspace import Subspace, embed, fit_subspace

FEWEST = 3
"""Fewer labelled cases leave nothing to compare a distance with."""
OUTSIDE = 2.0
"""A case lies outside when it is so many times further off than labelled cases are when left out."""


class CaseCoverage(NamedTuple):
    """How far a case lies outside what the labelled ones span; 1 is as far as they are from each other."""

    case_id: str
    distance: float
    outside: bool


class Cases(Protocol):
    """Prepared cases by id."""

    def __getitem__(self, case_id: str) -> PreparedCase: ...


def coverage(
    cases: Cases,
    labelled_ids: Sequence[str],
    pool_ids: Iterable[str],
    *,
    spacing_mm: Sequence[float],
    structures: Mapping[str, int],
    cache_dir: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[CaseCoverage]:
    """The pool's cases, the one that the labelled cases explain worst first.

    Takes a registration (seconds) per case that is not in the cache yet. Empty with fewer than `FEWEST`
    labelled cases, or when they all agree.

    Args:
        cases: the prepared cases by id.
        labelled_ids: cases with labels; one without any structure counts only when none has any.
        pool_ids: cases whose label, if any, is not looked at.
        spacing_mm: of the prepared cases.
        structures: names and values of the labels.
        cache_dir: where registrations are kept.
        should_stop: asked before each case; what is known so far is returned.
    """
    labelled = with_structures([cases[i] for i in labelled_ids])
    if len(labelled) < FEWEST:
        return []
    store = AtlasStore(cache_dir, spacing_mm, structures)
    key, atlas, around = store.atlas(labelled)
    velocities = [around[case.case_id].velocity for case in labelled]
    space = fit_subspace(velocities, atlas.frame.nodes)
    if space.energy <= 1e-6:
        return []

    def unexplained(case: PreparedCase, by: Subspace) -> Tensor:
        registered = store.unlabelled(key, atlas, case)
        rest = registered.velocity - by.field(by.project(registered.velocity))
        length_mm = embed(rest[None], by.nodes).norm()
        return torch.stack([length_mm, _mismatch(atlas, case, registered)])

    left_out = [
        unexplained(case, fit_subspace([v for j, v in enumerate(velocities) if j != i], atlas.frame.nodes))
        for i, case in enumerate(labelled)
    ]
    unit = torch.stack(left_out).median(dim=0).values.clamp(min=1e-6)
    found = []
    for case_id in pool_ids:
        if should_stop():
            break
        distance = float((unexplained(cases[case_id], space) / unit).max())
        found.append(CaseCoverage(case_id, round(distance, 4), distance > OUTSIDE))
    return sorted(found, key=lambda case: -case.distance)


def _mismatch(atlas: Atlas, case: PreparedCase, registered: Registered) -> Tensor:
    """One minus the correlation of an image with the template brought onto it, where the image shows any."""
    frame = atlas.frame
    image, inside = resample(case.image.float().mean(dim=0, keepdim=True), registered.placement, frame.grid)
    template = warp(atlas.template.image, registered.velocity, frame.nodes, frame.grid.shape)
    both = torch.stack([image[inside > 0], template[inside > 0]])
    return (1.0 - torch.corrcoef(both)[0, 1]).nan_to_num(1.0)


def shape_coverage(
    atlas: Atlas, around: Mapping[str, Registered], labelled: Sequence[PreparedCase]
) -> float | None:
    """Mean Dice of left-out shapes rebuilt from the others; None for fewer than `FEWEST` cases or no labels."""
    usable = [case for case in labelled if case.case_id in around]
    if len(usable) < FEWEST or atlas.template.signed is None:
        return None
    scores = []
    for case in usable:
        others = [around[c.case_id].velocity for c in usable if c.case_id != case.case_id]
        space = fit_subspace(others, atlas.frame.nodes)
        own = around[case.case_id]
        rebuilt = space.field(space.project(own.velocity))
        shape = warp(atlas.template.signed, rebuilt, atlas.frame.nodes, atlas.frame.grid.shape) < 0
        signed = look_at(case, own.placement, atlas.frame, atlas.shared).signed
        assert signed is not None  # the template has structures that all labelled cases share
        real = signed < 0
        both = (shape & real).flatten(1).sum(dim=1)
        sizes = (shape.flatten(1).sum(dim=1) + real.flatten(1).sum(dim=1)).clamp(min=1)
        scores.append(float((2 * both / sizes).mean()))
    return sum(scores) / len(scores)
