"""The unbiased groupwise template of the training fold, and every case's place around it.

N registrations, not N^2: each case i gets v_i with `template o exp(v_i) ~ case i`, so that
`exp(-v_i) o exp(v_j)` carries case i onto case j. The mean velocity is taken out in every round, which puts
the template in the middle of the group; the template is the mean of the cases brought back to it. Only
labelled cases of the fold shape it. Images without labels are registered to it afterwards.

Source: Joshi et al., "Unbiased diffeomorphic atlas construction for computational anatomy", NeuroImage 2004.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.alignment import (
    Frame,
    Moments,
    Placement,
    View,
    common_parts,
    look_at,
    make_frame,
    moments,
    moments_of_image,
    place,
    search_placement,
    sort_structures,
)
from scaling_app.strategies.deformation.registration import RegistrationSettings, Template, register, warp

logger = logging.getLogger(__name__)

ROUNDS = 2
"""Coarse rounds that only sharpen the template, before the final registrations."""


@dataclass(frozen=True)
class Registered:
    """A case's place around the template: where it lies, and its velocity `(D, *nodes)` in mm."""

    placement: Placement
    velocity: Tensor


@dataclass(frozen=True)
class Atlas:
    """A fold's common frame and template, with the labelled cases around it.

    Attributes:
        frame: the common frame.
        template: the mean anatomy.
        shared: structure values that every labelled case has.
        masked: values that only some of them have, and whose surroundings do not count.
        radius_mm: the common size of the shared structures, 1 where there are none.
        parts: `(K, D)`, where the centroids of the shared structures lie, in mm of the frame.
        centre: where their centroid, else the image's middle, lies in an image, as a share of its extent.
        members: the labelled cases that it is made of, by id.
        settings: how registrations are done.
    """

    frame: Frame
    template: Template
    shared: tuple[int, ...]
    masked: tuple[int, ...]
    radius_mm: float
    parts: Tensor
    centre: tuple[float, ...]
    members: Mapping[str, Registered]
    settings: RegistrationSettings


def build_atlas(
    cases: Sequence[PreparedCase],
    spacing_mm: Sequence[float],
    structures: Mapping[str, int],
    settings: RegistrationSettings | None = None,
) -> Atlas:
    """The atlas of a fold's labelled cases; one case is its own template.

    Raises:
        ValueError: no case, or a case without a label.
    """
    settings = settings or RegistrationSettings()
    if not cases or any(case.label is None for case in cases):
        raise ValueError("a template needs at least one case, and a label for each")
    shared, masked = sort_structures([case.known_label for case in cases], structures)
    found = [_moments_of(case, shared, spacing_mm) for case in cases]
    radius = sum(m.radius_mm for m in found) / len(found)
    frame = make_frame(found, [case.image.shape[1:] for case in cases], spacing_mm, radius)
    parts = common_parts(found, radius)
    placements = [place(m, spacing_mm, radius, parts) for m in found]
    views = [look_at(c, p, frame, shared, masked) for c, p in zip(cases, placements, strict=True)]
    template, velocities = _groupwise(views, frame, settings)
    members = {
        case.case_id: Registered(placement, velocity)
        for case, placement, velocity in zip(cases, placements, velocities, strict=True)
    }
    return Atlas(
        frame,
        template,
        shared,
        masked,
        radius,
        parts,
        _mean_centre(cases, found, spacing_mm),
        members,
        settings,
    )


def _moments_of(case: PreparedCase, shared: Sequence[int], spacing_mm: Sequence[float]) -> Moments:
    """Moments of the shared structures; with none, of the whole image.

    Never of a structure that only some cases have: they would be placed by a lesion, the others by the image.
    """
    found = moments(case.known_label[0], shared, spacing_mm) if shared else None
    return found or moments_of_image(case.image.shape[1:], spacing_mm)


def _mean_centre(
    cases: Sequence[PreparedCase], found: Sequence[Moments], spacing_mm: Sequence[float]
) -> tuple[float, ...]:
    """Mean position of the centroid, as a share of the image's extent along each axis."""
    shares = [
        [c / (n * s) for c, n, s in zip(m.centre_mm, case.image.shape[1:], spacing_mm, strict=True)]
        for case, m in zip(cases, found, strict=True)
    ]
    return tuple(torch.tensor(shares).mean(dim=0).tolist())


def _groupwise(
    views: Sequence[View], frame: Frame, settings: RegistrationSettings
) -> tuple[Template, list[Tensor]]:
    velocities = [torch.zeros(frame.nodes.dims, *frame.nodes.shape) for _ in views]
    template = _mean_anatomy(views, velocities, frame)
    if len(views) == 1:
        return template, velocities
    quick = replace(settings, iterations=(settings.iterations[0] // 2, 0))
    for turn in range(ROUNDS + 1):
        last = turn == ROUNDS
        velocities = [register(template, view, frame, settings if last else quick) for view in views]
        mean = torch.stack(velocities).mean(dim=0)
        velocities = [v - mean for v in velocities]
        template = _mean_anatomy(views, velocities, frame)
        logger.debug("template round %d of %d done", turn + 1, ROUNDS + 1)
    return template, velocities


def _mean_anatomy(views: Sequence[View], velocities: Sequence[Tensor], frame: Frame) -> Template:
    """Mean of the views brought back by exp(-v_i), each image standardised."""
    shape = frame.grid.shape
    images = torch.stack(
        [
            warp(_standard(v.image, v.inside), -u, frame.nodes, shape)
            for v, u in zip(views, velocities, strict=True)
        ]
    )
    seen = [v.signed for v in views if v.signed is not None]
    if len(seen) < len(views):
        return Template(images.mean(dim=0), None)
    signed = torch.stack([warp(s, -u, frame.nodes, shape) for s, u in zip(seen, velocities, strict=True)])
    return Template(images.mean(dim=0), signed.mean(dim=0))


def _standard(image: Tensor, inside: Tensor) -> Tensor:
    seen = image[inside > 0]
    if seen.numel() < 2:
        return image
    return (image - seen.mean()) / seen.std().clamp(min=1e-6)


def without_patient(
    atlas: Atlas,
    cases: Sequence[PreparedCase],
    spacing_mm: Sequence[float],
    around: Mapping[str, Registered],
) -> Callable[[str], Atlas | None]:
    """What makes, for a patient, the atlas in the middle of the others' cases, for images without labels.

    The others keep the ways between them. They were found around a template that the patient's cases shaped as well:
    to find them anew would take as many registrations for each patient.

    Args:
        atlas: of the cases.
        cases: with a label each.
        spacing_mm: of the voxels.
        around: where each case lies.
    """
    frame = atlas.frame
    # images alone are compared: no signed distances of the shared structures
    views = [look_at(case, around[case.case_id].placement, frame, (), atlas.masked) for case in cases]
    images = [_standard(view.image, view.inside) for view in views]
    sizes = [_moments_of(case, atlas.shared, spacing_mm) for case in cases]

    def without(patient: str) -> Atlas | None:
        others = [i for i, case in enumerate(cases) if case.patient != patient]
        if not others:
            return None
        there = {i: around[cases[i].case_id] for i in others}
        mean = torch.stack([found.velocity for found in there.values()]).mean(dim=0)
        moved = {i: replace(found, velocity=found.velocity - mean) for i, found in there.items()}
        brought = [
            warp(images[i], -found.velocity, frame.nodes, frame.grid.shape) for i, found in moved.items()
        ]
        return replace(
            atlas,
            template=Template(torch.stack(brought).mean(dim=0), None),
            centre=_mean_centre([cases[i] for i in others], [sizes[i] for i in others], spacing_mm),
            members={cases[i].case_id: found for i, found in moved.items()},
        )

    return without


def register_unlabelled(
    atlas: Atlas,
    case: PreparedCase,
    spacing_mm: Sequence[float],
    predict: Callable[[Tensor], Tensor] | None = None,
) -> Registered:
    """A case around the atlas whose label, if it has one, is not looked at."""
    bare = PreparedCase(case.case_id, case.patient, case.image, None)
    chances = predict(case.image) if predict is not None else None
    found = (
        moments(chances.argmax(dim=0), atlas.shared, spacing_mm)
        if (chances is not None and atlas.shared)
        else None
    )
    if found is not None:
        placement = place(found, spacing_mm, atlas.radius_mm, atlas.parts)
    else:
        chances = None
        extents = [n * s for n, s in zip(case.image.shape[1:], spacing_mm, strict=True)]
        middle = [c * e for c, e in zip(atlas.centre, extents, strict=True)]
        guess = Placement.centring(middle, spacing_mm, 1.0, torch.eye(len(middle)))
        placement = search_placement(bare, guess, atlas.frame, atlas.template.image)
    view = look_at(bare, placement, atlas.frame, atlas.shared, chances=chances)
    return Registered(placement, register(atlas.template, view, atlas.frame, atlas.settings))


def register_labelled(atlas: Atlas, case: PreparedCase, spacing_mm: Sequence[float]) -> Registered:
    """A new labelled case around the atlas, the template left as it is."""
    found = _moments_of(case, atlas.shared, spacing_mm)
    placement = place(found, spacing_mm, atlas.radius_mm, atlas.parts)
    view = look_at(case, placement, atlas.frame, atlas.shared, atlas.masked)
    return Registered(placement, register(atlas.template, view, atlas.frame, atlas.settings))
