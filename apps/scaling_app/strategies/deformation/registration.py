"""Registration of a view to the template: one stationary velocity field, optimised for this case alone.

Found is v with `template(exp(v)(x)) ~ view(x)`. The data term is the local normalised cross-correlation of
the images plus, where labels (or trusted predictions) exist, the squared difference of clipped signed
distances, which makes the problem nearly convex and independent of the modality. Both count only where the
image shows something and where its topology can be compared. The field is a smoothed one, v = K m, so that
every gradient step is a Sobolev gradient step; its Dirichlet energy is penalised. Coarse to fine.

Sources: Ashburner, "A fast diffeomorphic image registration algorithm", NeuroImage 2007 (stationary
velocity fields); Avants et al., "Symmetric diffeomorphic image registration with cross-correlation",
Medical Image Analysis 2008 (the similarity); MONAI's `LocalNormalizedCrossCorrelationLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.losses.image_dissimilarity import LocalNormalizedCrossCorrelationLoss
from torch import Tensor
from torch.nn import functional as F

from scaling_app.imaging.extents import thickened
from scaling_app.strategies.deformation.alignment import Frame, View
from scaling_app.strategies.deformation.interpolation import FieldReader, read_on_grid
from scaling_app.strategies.deformation.random_field import smooth
from scaling_app.strategies.deformation.velocity import Lattice, derivative_bound, exponential, unit_nodes

STRONGEST_REGISTRATION = 6.0
"""Fields of a larger rho are scaled down: the case lies too far away to learn from the rest."""


@dataclass(frozen=True)
class RegistrationSettings:
    """How a registration is done.

    Attributes:
        iterations: steps at half and at full resolution of the grid.
        width: standard deviation of the Gaussian K, as a share of the frame's size.
        image_weight: of the local cross-correlation.
        label_weight: of the signed distances.
        smoothness: weight of the field's Dirichlet energy.
        step: Adam's step, as a share of the frame's size.
    """

    iterations: tuple[int, int] = (40, 12)
    width: float = 0.07
    image_weight: float = 1.0
    label_weight: float = 8.0
    smoothness: float = 0.3
    step: float = 0.02


@dataclass(frozen=True)
class Template:
    """The mean anatomy: `image (1, *G)` and clipped signed distances `signed (K, *G)` in the frame."""

    image: Tensor
    signed: Tensor | None


def fade_all(field: Tensor, share: float = 0.08) -> Tensor:
    """Fades a field `(D, *G)` to zero towards every face: what lies outside the frame stays."""
    for axis, nodes in enumerate(field.shape[1:]):
        depth = torch.linspace(0.0, 1.0, nodes, dtype=field.dtype, device=field.device)
        ramp = (torch.minimum(depth, 1.0 - depth) / share).clamp(0.0, 1.0)
        field = field * ramp.reshape(-1, *([1] * (field.ndim - 2 - axis)))
    return field


def warp(values: Tensor, velocity_mm: Tensor, nodes: Lattice, shape: tuple[int, ...]) -> Tensor:
    """`values o exp(v)` on a grid of `shape` points over the same box; differentiable in both."""
    scale = torch.tensor([2.0 / e for e in nodes.extent_mm], device=values.device)
    displacement = exponential(velocity_mm, nodes) * scale.reshape(-1, *([1] * nodes.dims))
    axes = [torch.linspace(-1.0, 1.0, n, device=values.device) for n in shape]
    moved = unit_nodes(shape, values) + read_on_grid(displacement, axes).flip(0).flatten(1)
    return FieldReader(values)(moved).reshape(-1, *shape)


def register(
    template: Template, view: View, frame: Frame, settings: RegistrationSettings, start: Tensor | None = None
) -> Tensor:
    """The velocity `(D, *nodes)` in mm with `template o exp(v) ~ view`; certified after cutting.

    Args:
        template: what is deformed.
        view: what it should look like.
        frame: the common frame.
        settings: weights and steps.
        start: momentum-like parameters of an earlier result of this function.
    """
    nodes = frame.nodes
    parameters = torch.zeros(nodes.dims, *nodes.shape) if start is None else start.clone()
    for level, iterations in enumerate(settings.iterations):
        if iterations:
            parameters = _descend(
                parameters,
                _objective(template, view, frame, settings, halve=level == 0),
                iterations,
                settings.step * frame.size_mm,
            )
    velocity = _velocity(parameters, frame, settings)
    rho = derivative_bound(velocity, nodes.step_mm)
    return velocity * min(1.0, STRONGEST_REGISTRATION / max(rho, 1e-6))


def _velocity(parameters: Tensor, frame: Frame, settings: RegistrationSettings) -> Tensor:
    return fade_all(smooth(parameters, frame.nodes, settings.width * frame.size_mm, unit_variance=False))


def _descend(
    parameters: Tensor, objective: Callable[[Tensor], Tensor], iterations: int, step: float
) -> Tensor:
    parameters = parameters.detach().requires_grad_(True)
    optimiser = torch.optim.Adam([parameters], lr=step)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations, eta_min=0.1 * step)
    for _ in range(iterations):
        optimiser.zero_grad()
        objective(parameters).backward()
        optimiser.step()
        schedule.step()
    return parameters.detach()


def _objective(
    template: Template, view: View, frame: Frame, settings: RegistrationSettings, halve: bool
) -> Callable[[Tensor], Tensor]:
    dims = frame.grid.dims
    shape = tuple(max(4, (n + 1) // 2) for n in frame.grid.shape) if halve else frame.grid.shape
    moving, fixed, labelled = template.image, view.image, False
    if template.signed is not None and view.signed is not None and view.trust > 0.0:
        moving, fixed = torch.cat([moving, template.signed]), torch.cat([fixed, view.signed])
        labelled = True
    moving, fixed, inside = (_fit(x, shape) for x in (moving, fixed, view.inside))
    weight = inside / inside.sum().clamp(min=1.0)
    likeness = LocalNormalizedCrossCorrelationLoss(
        dims,
        kernel_size=_window(shape),
        kernel_type="rectangular",
        reduction="none",
        smooth_nr=1e-5,
        smooth_dr=1e-4,
    )

    def objective(parameters: Tensor) -> Tensor:
        velocity = _velocity(parameters, frame, settings)
        warped = warp(moving, velocity, frame.nodes, shape)
        images = likeness(warped[None, :1] * inside, fixed[None, :1] * inside)[0]
        loss = settings.image_weight * (weight * images).sum()
        if labelled:
            gap = (warped[1:] - fixed[1:]) ** 2
            loss = loss + settings.label_weight * view.trust * (weight * gap.mean(dim=0)).sum()
        return loss + settings.smoothness * _dirichlet(velocity, frame.nodes)

    return objective


def _window(shape: tuple[int, ...]) -> int:
    return 7 if min(shape) >= 7 else max(3, min(shape) // 2 * 2 - 1)


def _fit(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Averages values `(C, *G)` onto fewer points over the same box."""
    if tuple(values.shape[1:]) == tuple(shape):
        return values
    pool = F.avg_pool2d if values.ndim == 3 else F.avg_pool3d
    blurred = pool(values[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    return read_on_grid(blurred, [torch.linspace(-1.0, 1.0, n) for n in shape])


def _dirichlet(velocity: Tensor, nodes: Lattice) -> Tensor:
    """Mean over the nodes of the summed squared partial derivatives; no unit.

    A flat stack counts as thicker, so that its slices are not tied together.
    """
    total = velocity.new_zeros(())
    for axis, step in enumerate(thickened(nodes.step_mm, nodes.extent_mm)):
        total = total + (velocity.diff(dim=axis + 1) / step).pow(2).sum(dim=0).mean()
    return total
