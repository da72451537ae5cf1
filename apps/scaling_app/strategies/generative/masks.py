"""New masks from real ones: patches of labelled cases read through an affine map and a certified flow.

Image and label are read at the same moved points, so that a warped mask always comes with the image
warped like it: the generator's context. The affine draws follow the GenSeg paper (rotation, scale,
shear, translation, and flips along axes whose sides do not matter); the deformation is the project's own certified homeomorphism
(`deformation/velocity.py`), so that masks neither tear nor fold.

How strong each kind of draw is can be learned (`MaskAugmentation.learn`): draws are normal with standard
deviation `sigma_j exp(psi_j)`, and the alignment of the pairs made from them is a reward whose score
function estimate with respect to `psi_j` is `(reward - mean) (z_j^2 - 1)`; no gradient through the mask
is needed, which could not exist (labels are rounded).

References:
    L. Zhang et al., Nature Communications 16:6486 (2025), https://arxiv.org/abs/2408.17421
    R. J. Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
    learning", Machine Learning 8:229 (1992) (the score-function estimate)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scaling_app.strategies.base import PointMap, PreparedCase
from scaling_app.strategies.deformation.interpolation import FieldReader
from scaling_app.strategies.deformation.random_field import Strength
from scaling_app.strategies.deformation.strategies import random_flow
from scaling_app.strategies.deformation.velocity import Deformation

KINDS = ("rotation", "scale", "shear", "translation", "deformation")
SIGMAS = (math.radians(8), 0.1, math.radians(4), 0.05, 0.03)
"""Standard deviations: radians, log-scale, radians, share of the patch, share of the image's size."""

_TRUNCATION = 2.0
_ISOTROPIC = 2.0  # axes whose spacings differ by more are not rotated or sheared into each other
_PSI_RANGE = (-1.5, 0.7)

CaseDeformation = Callable[[PreparedCase, torch.Generator], PointMap | None]


class Patches(NamedTuple):
    """`image (B, C, *P)`, `label (B, 1, *P)`, the case of each, and the draws' `z (B, kinds)`."""

    image: Tensor
    label: Tensor
    case_ids: tuple[str, ...]
    draws: Tensor


@dataclass(frozen=True)
class Warp:
    """One drawn map of a patch: `x -> deformation(centre + shift + matrix (x - centre))`, voxels."""

    matrix: Tensor
    shift: Tensor
    deformation: PointMap | None
    draws: Tensor

    def __call__(self, points: Tensor, centre: Tensor) -> Tensor:
        moved = (points - centre) @ self.matrix.T + centre + self.shift
        return moved if self.deformation is None else self.deformation(moved)


class MaskAugmentation:
    """Draws warps; its five strengths may be learned.

    Args:
        patch: in voxels.
        spacing: mm per voxel.
        mirrored: the axes along which masks are mirrored at random.
        deformation: another source of deformations (a learned one), used for every other draw.
    """

    def __init__(
        self,
        patch: Sequence[int],
        spacing: Sequence[float],
        *,
        mirrored: Sequence[int] = (),
        deformation: CaseDeformation | None = None,
    ) -> None:
        self.patch, self.spacing, self.mirrored = tuple(patch), tuple(spacing), tuple(mirrored)
        self.log_strength = torch.zeros(len(KINDS))
        self._learned_deformation = deformation
        self._reward_mean: float | None = None

    def draw(self, case: PreparedCase, generator: torch.Generator) -> Warp:
        """A fresh warp for `case`."""
        return self._draw(case, generator, self._learned_deformation)

    def draw_unlearned(self, case: PreparedCase, generator: torch.Generator) -> Warp:
        """The same without the learned deformations, which know the shapes of all cases."""
        return self._draw(case, generator, None)

    def _draw(self, case: PreparedCase, generator: torch.Generator, learned: CaseDeformation | None) -> Warp:
        z = torch.randn(len(KINDS), generator=generator).clamp(-_TRUNCATION, _TRUNCATION)
        rotation, scale, shear, shift, amplitude = (
            sigma * float(strength) for sigma, strength in zip(SIGMAS, self.log_strength.exp(), strict=True)
        )
        z = z.clone()
        dims = len(self.patch)
        matrix = torch.diag(torch.exp(scale * (z[1] + 0.3 * torch.randn(dims, generator=generator))))
        for i, j in self._planes():
            angle = rotation * float(z[0]) * (1 if dims == 2 else float(torch.randn((), generator=generator)))
            matrix = matrix @ self._turn(i, j, angle)
            matrix = matrix @ self._shear(i, j, shear * float(z[2]))
        for axis in self.mirrored:
            if torch.rand((), generator=generator) < 0.5:
                matrix[:, axis] *= -1
        direction = torch.randn(dims, generator=generator)
        offset = shift * float(z[3]) * direction / direction.norm() * torch.tensor(self.patch)
        amplitude *= abs(float(z[4]))
        return Warp(matrix, offset, self._deform(case, amplitude, generator, learned), z)

    def learn(self, reward: Tensor, draws: Tensor, rate: float) -> None:
        """Moves the log-strengths towards draws of higher reward.

        Args:
            reward: `(B,)`, bounded.
            draws: `(B, kinds)`, the `z` of those pairs.
            rate: step size.
        """
        mean = float(reward.mean())
        base = mean if self._reward_mean is None else self._reward_mean
        self._reward_mean = 0.9 * base + 0.1 * mean
        score = ((reward - base)[:, None] * (draws**2 - 1)).mean(0)
        self.log_strength = (self.log_strength + rate * score).clamp(*_PSI_RANGE)

    def strengths(self) -> dict[str, float]:
        """The present strength of each kind, 1 at the start."""
        return dict(zip(KINDS, self.log_strength.exp().tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What was learned about the strengths."""
        return {"log_strength": self.log_strength, "reward_mean": self._reward_mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up `state_dict`'s content."""
        self.log_strength = state["log_strength"].cpu()
        self._reward_mean = state["reward_mean"]

    def _deform(
        self,
        case: PreparedCase,
        amplitude: float,
        generator: torch.Generator,
        learned: CaseDeformation | None,
    ) -> PointMap | None:
        if learned is not None and torch.rand((), generator=generator) < 0.5:
            return learned(case, generator)
        strength = Strength(100 * amplitude)
        flow = random_flow(case.image.shape[1:], self.spacing, strength, generator)
        return Deformation.in_voxels([flow], self.spacing)

    def _planes(self) -> list[tuple[int, int]]:
        pairs = combinations(range(len(self.patch)), 2)
        return [(i, j) for i, j in pairs if max(self._ratio(i, j), self._ratio(j, i)) <= _ISOTROPIC]

    def _ratio(self, i: int, j: int) -> float:
        return self.spacing[i] / self.spacing[j]

    def _turn(self, i: int, j: int, angle: float) -> Tensor:
        """A rotation in mm of the plane (i, j), in voxels."""
        turn = torch.eye(len(self.patch))
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle) * self._ratio(j, i), math.sin(angle) * self._ratio(i, j)
        return turn

    def _shear(self, i: int, j: int, angle: float) -> Tensor:
        shear = torch.eye(len(self.patch))
        shear[i, j] = math.tan(angle) * self._ratio(j, i)
        return shear


class PatchSource:
    """Reads patches of the labelled cases.

    Reads only the box of voxels that a patch needs, and keeps no case open between draws, so cases may be
    memory-mapped, large and many.

    Args:
        cases: the training fold; those without a label are left out.
        patch: in voxels.
        classes: K, background included.
    """

    def __init__(self, cases: Sequence[PreparedCase], patch: Sequence[int], classes: int) -> None:
        self._cases = cases
        self._index = {c.case_id: i for i, c in enumerate(cases) if c.label is not None}
        self.patch, self.classes = tuple(patch), classes
        axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in self.patch]
        self._grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        self._seeds: dict[str, Tensor] = {}

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        *,
        among: Sequence[str],
        warp: Callable[[PreparedCase, torch.Generator], Warp] | None = None,
    ) -> Patches:
        """`count` patches of the cases `among`.

        With warps they are centred on a structure where the case has one: what is to be generated is there.
        Without, two in three are.
        """
        picks = [among[int(torch.randint(len(among), (), generator=generator))] for _ in range(count)]
        images, labels, draws = [], [], []
        for case_id in picks:
            case = self._cases[self._index[case_id]]
            centre = self._centre(case, generator, 2 / 3 if warp is None else 1.0)
            points = self._grid + centre
            drawn = torch.zeros(len(KINDS))
            if warp is not None:
                moved = warp(case, generator)
                points, drawn = moved(points, centre), moved.draws
            image, label = read_pair(case, points)
            images.append(image)
            labels.append(label)
            draws.append(drawn)
        return Patches(torch.stack(images), torch.stack(labels), tuple(picks), torch.stack(draws))

    @property
    def case_ids(self) -> list[str]:
        """The cases with a label."""
        return list(self._index)

    def _centre(self, case: PreparedCase, generator: torch.Generator, share: float) -> Tensor:
        """A patch centre: in that share of draws on a voxel of a structure, else anywhere.

        The patch's points are whole voxels where nothing moves them. Between voxels images would be blurred, and of
        labels every second row read twice.
        """
        shape = torch.tensor(case.image.shape[1:], dtype=torch.float32)
        half = torch.tensor(self.patch, dtype=torch.float32) / 2
        seeds = self._structure_voxels(case)
        on_structure = bool(torch.rand((), generator=generator) < share)
        if on_structure and len(seeds):
            centre = seeds[int(torch.randint(len(seeds), (), generator=generator))]
        else:
            centre = torch.rand(len(shape), generator=generator) * shape
        low, high = half - 0.5, shape - half - 0.5
        middle = (shape - 1) / 2
        centre = torch.where(low < high, torch.minimum(torch.maximum(centre, low), high), middle)
        return torch.floor(centre - low) + low

    def _structure_voxels(self, case: PreparedCase, most: int = 256) -> Tensor:
        """Up to `most` voxels of each structure `(M, D)`, the same at every call."""
        if case.case_id not in self._seeds:
            generator = torch.Generator().manual_seed(0)
            found = [_some_voxels(case.known_label[0], k, most, generator) for k in range(1, self.classes)]
            self._seeds[case.case_id] = torch.cat(found).float()
        return self._seeds[case.case_id]


def read_pair(case: PreparedCase, points: Tensor) -> tuple[Tensor, Tensor]:
    """Image `(C, *P)` (linear) and label `(1, *P)` (nearest) at voxel points `(*P, D)`; 0 outside."""
    shape = torch.tensor(case.image.shape[1:])
    flat = points.reshape(-1, points.shape[-1])
    low = torch.minimum(flat.amin(0).floor().long().clamp(min=0), shape - 2).clamp(min=0)
    high = torch.minimum(flat.amax(0).ceil().long().clamp(min=0) + 1, shape)
    high = torch.maximum(high, torch.minimum(low + 2, shape))
    box = (slice(None), *(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)))
    local = flat - low
    last = (high - low - 1).clamp(min=1)
    unit = (2 * local / last - 1).flip(-1).T
    image = FieldReader(case.image[box].float().contiguous())(unit)
    nearest = local.round().long().clamp(min=0).minimum(high - low - 1)
    label = case.known_label[box][0][nearest.unbind(-1)]
    inside = ((flat > -0.5) & (flat < shape - 0.5)).all(-1)
    size = points.shape[:-1]
    return (image * inside).reshape(-1, *size), (label * inside).reshape(1, *size)


def _some_voxels(label: Tensor, value: int, most: int, generator: torch.Generator) -> Tensor:
    """Up to `most` random voxels `(M, D)` of one value, slab by slab: never the whole index list."""
    counts = torch.tensor([int((slab == value).sum()) for slab in label], dtype=torch.float64)
    if counts.sum() == 0:
        return torch.zeros(0, label.dim(), dtype=torch.long)
    slabs = torch.multinomial(counts, most, replacement=True, generator=generator)
    found = []
    for slab, wanted in zip(*torch.unique(slabs, return_counts=True), strict=True):
        inside = (label[slab] == value).nonzero()
        picks = inside[torch.randint(len(inside), (int(wanted),), generator=generator)]
        found.append(torch.cat([slab.expand(len(picks), 1), picks], 1))
    return torch.cat(found)
