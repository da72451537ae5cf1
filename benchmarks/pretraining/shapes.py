"""Computed pictures and volumes: bodies of six kinds that overlap, bent, with grey values of their own; no real image.

The class of a voxel is the kind of the body that lies on top there (0: none), as in formula-driven supervision
(PrimGeoSeg, FDIF). Grey values, textures and edges are drawn for each body anew, so that its form alone tells its kind.
Everything follows from a seed and the number of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor
from torch.nn import functional as F

from scaling_app.strategies.base import Batch
from scaling_app.strategies.baseline import vary_intensity
from scaling_app.trials.sampling import step_seed

KINDS = {
    2: ("ellipse", "box", "triangle", "ring", "tube", "star"),
    3: ("ellipsoid", "box", "cone", "shell", "tube", "cylinder"),
}
_MODES = {2: "bilinear", 3: "trilinear"}
_SMALLEST, _LARGEST = {2: 0.06, 3: 0.15}, 0.4  # half a body's length, in sides of the image
_FEWEST, _MOST = 3, 30
_CROWD = {2: 1.0, 3: 3.0}
_BENDS = 0.06
_CONTRAST = 0.5


@dataclass(frozen=True)
class Form:
    """What is computed: sides in voxels, size of a voxel, channels, images a batch."""

    patch: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int
    batch: int

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.patch)


class ShapeSampler:
    """Batches of computed images, the same for the same seed and step."""

    def __init__(self, form: Form, seed: int) -> None:
        self.form, self.seed = form, seed

    def batch(self, step: int) -> Batch:
        """Images as a training sees them: normalised, then with the usual changes of intensity."""
        generator = torch.Generator().manual_seed(step_seed(self.seed, step))
        made = [computed(self.form, generator) for _ in range(self.form.batch)]
        image = vary_intensity(torch.stack([image for image, _ in made]), generator)
        return Batch(image, torch.stack([label for _, label in made]), ("computed",) * self.form.batch)


def computed(form: Form, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Image `(C, *P)` of mean 0 and deviation 1, and classes `(1, *P)` uint8."""
    draw = _Draws(generator)
    points = _bent(form, draw)
    side = math.exp(sum(math.log(n * s) for n, s in zip(form.patch, form.spacing, strict=True)) / form.dims)
    label = torch.zeros(form.patch, dtype=torch.uint8)
    grey = draw.chance(0.5) or form.channels == 1
    channels = 1 if grey else form.channels
    textures = torch.stack([_smooth(form, draw, draw.log_between(0.03, 0.3)) for _ in range(3)])
    image = _mixture(textures, torch.zeros(channels), draw)
    common = draw.log_between(_SMALLEST[form.dims], _LARGEST)
    room = _CROWD[form.dims] * draw.between(0.4, 1.2) / (2 * common) ** form.dims
    for _ in range(max(_FEWEST, min(_MOST, round(room)))):
        _add_body(image, label, points, textures, side * common * draw.log_between(0.7, 1.5), draw)
    image = _seen(image, form, draw)
    return image.expand(form.channels, *form.patch).contiguous(), label[None]


def _add_body(
    image: Tensor, label: Tensor, points: Tensor, textures: Tensor, size: float, draw: _Draws
) -> None:
    """One body on top of what is there."""
    dims = len(points)
    flat = points.reshape(dims, -1)
    centre = flat[:, draw.below(flat.shape[1])]
    box = _box(points, centre, 1.6 * size)
    inside = (slice(None), *box)
    offsets = (points[inside] - centre.view(-1, *(1,) * dims)) / size
    local = torch.einsum("ij,j...->i...", _turn(dims, draw), offsets)
    kind = draw.below(len(KINDS[dims]))
    depth = _depth(KINDS[dims][kind], local, draw)
    mask = depth < 0
    below = image[inside].mean(tuple(range(1, dims + 1)))
    step = draw.between(_CONTRAST, 2.0) * (1 if draw.chance(0.5) else -1)
    others = torch.tensor([draw.between(-1, 1) for _ in below]) * (len(below) > 1)
    body = _mixture(textures[inside], below + step + others, draw)
    if draw.chance(0.2):  # a rim, as of a wall
        body = body + draw.between(-1, 1) * torch.exp(-((depth / draw.between(0.05, 0.2)) ** 2))
    image[inside] = torch.where(mask, body, image[inside])
    label[box][mask] = kind + 1


def _depth(kind: str, q: Tensor, draw: _Draws) -> Tensor:
    """Below 0 inside a body of half length 1 about the origin, along its first axis; above 0 outside."""
    dims = len(q)
    axes = torch.tensor([1.0, *(draw.between(0.45, 1.0) for _ in range(dims - 1))]).view(-1, *(1,) * dims)
    scaled = q / axes
    if kind in ("ellipse", "ellipsoid"):
        return scaled.norm(dim=0) - 1
    if kind == "box":
        return scaled.abs().amax(0) - 0.8
    if kind in ("triangle", "cone"):
        along = (q[0] + 1) / 2
        aside = scaled[1:].norm(dim=0)
        return torch.maximum(aside - 0.9 * (1 - along), -along)
    if kind in ("ring", "shell"):
        wall = draw.between(0.08, 0.25)
        return (scaled.norm(dim=0) - 1 + wall).abs() - wall
    if kind == "tube":
        swing, turns, start = draw.between(0, 0.5), draw.between(1, 4), draw.between(0, 2 * math.pi)
        centre = torch.stack([swing * torch.sin(turns * q[0] + start + axis) for axis in range(dims - 1)])
        return torch.maximum((q[1:] - centre).norm(dim=0) - draw.between(0.06, 0.25), q[0].abs() - 1.3)
    if kind == "cylinder":
        return torch.maximum(scaled[1:].norm(dim=0) - 0.8, q[0].abs() - 1)
    angle = torch.atan2(q[1], q[0])  # a star
    arms, reach = draw.below(4) + 3, draw.between(0.2, 0.45)
    return q.norm(dim=0) - 0.75 * (1 + reach * torch.cos(arms * angle))


def _seen(image: Tensor, form: Form, draw: _Draws) -> Tensor:
    """As a machine shows it: blurred, shaded and noisy, of mean 0 and deviation 1 in each channel."""
    if draw.chance(0.7):
        widths = [draw.between(0.3, 1.2) * min(form.spacing) / size for size in form.spacing]
        image = GaussianFilter(form.dims, widths, truncated=3.0)(image[None])[0].detach()
    if draw.chance(0.5):
        image = image * torch.exp(draw.between(0, 0.4) * _smooth(form, draw, 0.5))
    if draw.chance(0.8):
        grain = _smooth(form, draw, 0.0 if draw.chance(0.5) else 0.015)
        if draw.chance(0.3):  # speckle grows with the signal
            grain = grain * (image - image.amin()) / image.std().clamp_min(1e-3)
        image = image + draw.between(0, 0.2) * image.std() * grain
    axes = tuple(range(1, form.dims + 1))
    return (image - image.mean(axes, keepdim=True)) / image.std(axes, keepdim=True).clamp_min(1e-3)


def _mixture(textures: Tensor, level: Tensor, draw: _Draws) -> Tensor:
    """A level for each channel, and one of the textures on it."""
    weight = torch.tensor([draw.between(-1, 1) for _ in level]) * draw.between(0, 0.25)
    texture = textures[draw.below(len(textures))]
    shape = (-1, *(1,) * texture.ndim)
    return level.view(shape) + weight.view(shape) * texture[None]


def _smooth(form: Form, draw: _Draws, scale: float) -> Tensor:
    """Noise of deviation 1 whose grain is so many sides large; 0: white."""
    if not scale:
        return draw.normal(form.patch)
    longest = max(n * s for n, s in zip(form.patch, form.spacing, strict=True))
    coarse = [
        min(n, max(3, round(n * s / (scale * longest))))
        for n, s in zip(form.patch, form.spacing, strict=True)
    ]
    field = F.interpolate(draw.normal((1, 1, *coarse)), form.patch, mode=_MODES[form.dims])[0, 0]
    return field / field.std().clamp_min(1e-3)


def _bent(form: Form, draw: _Draws) -> Tensor:
    """The points `(D, *P)` of the image, moved by a smooth map: it bends all bodies."""
    axes = [(torch.arange(n) - (n - 1) / 2) * s for n, s in zip(form.patch, form.spacing, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    reach = draw.between(0, _BENDS) * max(n * s for n, s in zip(form.patch, form.spacing, strict=True))
    return points + reach * torch.stack([_smooth(form, draw, 0.3) for _ in range(form.dims)])


def _box(points: Tensor, centre: Tensor, reach: float) -> tuple[slice, ...]:
    """The box of all points within reach of a centre."""
    near = ((points - centre.view(-1, *(1,) * len(points))).abs() < reach).all(0)
    found = []
    for axis in range(len(points)):
        others = tuple(other for other in range(len(points)) if other != axis)
        at = near.any(others[0] if len(others) == 1 else others).nonzero()
        found.append(slice(int(at[0]), int(at[-1]) + 1))
    return tuple(found)


def _turn(dims: int, draw: _Draws) -> Tensor:
    """A rotation drawn evenly."""
    turn, upper = torch.linalg.qr(draw.normal((dims, dims)))
    return turn * torch.sign(torch.diagonal(upper))


class _Draws:
    """Numbers of one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def between(self, low: float, high: float) -> float:
        return low + float(torch.rand((), generator=self._generator)) * (high - low)

    def log_between(self, low: float, high: float) -> float:
        return math.exp(self.between(math.log(low), math.log(high)))

    def below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))

    def chance(self, probability: float) -> bool:
        return self.between(0, 1) < probability

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator)
