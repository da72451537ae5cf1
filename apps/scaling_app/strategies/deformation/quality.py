"""What can be measured on drawn deformations: folds, volume change, exact inverses, topology of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling_app.strategies.base import PointMap, PreparedCase
from scaling_app.strategies.deformation.folds import cell_determinants, count_folds, jacobian, voxel_grid
from scaling_app.strategies.deformation.topology import (
    cavities,
    components,
    is_thick,
    signature,
    touches_border,
)
from scaling_app.strategies.deformation.velocity import Deformation
from scaling_app.strategies.deformation.warping import warp_volumes


@dataclass(frozen=True)
class Compared:
    """A structure before and after a deformation.

    Attributes:
        thin: the grid is too coarse to show its topology, before or after.
        at_border: it is cut by the border of the image, before or after.
        kept: whether components and Euler number stay; None where it is thin or at the border, which says nothing
            about the deformation.
        components: before and after; None at the border.
        cavities: closed ones, before and after.
    """

    thin: bool
    at_border: bool
    kept: bool | None
    components: tuple[int, int] | None
    cavities: tuple[int, int]


class QualityReport:
    """Collects measurements of deformations one by one; `payload` is the content of `quality.json`.

    Args:
        structures: name -> value in the labels; others are called by their value.
    """

    def __init__(self, structures: Mapping[str, int] | None = None) -> None:
        self._names = {value: name for name, value in (structures or {}).items()}
        self._certified = True
        self._folds = 0
        self._smallest: list[float] = []
        self._spread: list[float] = []
        self._inverse: list[float] = []
        self._compared: dict[str, list[Compared]] = defaultdict(list)

    def add(self, case: PreparedCase, deformation: PointMap | None) -> None:
        """Measures one deformation on the case's own grid; None stands for the identity."""
        shape = tuple(case.image.shape[1:])
        if deformation is None or min(shape) < 2:
            return
        grid = voxel_grid(shape)
        moved = deformation(grid)
        determinants = cell_determinants(moved)
        self._folds += count_folds(determinants)
        self._smallest.append(float(determinants.min()))
        self._spread.append(float(jacobian(moved).clamp(min=1e-6).log().std()))
        if not isinstance(deformation, Deformation):
            self._certified = False
            return
        self._certified &= deformation.certified
        self._inverse.append(float((deformation.inverse()(moved) - grid).abs().max()))
        if case.label is not None:
            for value, compared in compare_topology(case.label, deformation).items():
                self._compared[self._names.get(value, str(value))].append(compared)

    def payload(self) -> dict[str, object]:
        """Finite numbers, or None where nothing was measured."""
        everything = [compared for group in self._compared.values() for compared in group]
        kept = [compared.kept for compared in everything if compared.kept is not None]
        return {
            "samples": len(self._smallest),
            "certified": self._certified,
            "folds": self._folds,
            "min_jacobian": min(self._smallest, default=None),
            "sd_log_jacobian": _mean(self._spread),
            "inverse_error_vox": max(self._inverse, default=None),
            "topology_preserved": _mean([float(k) for k in kept]),
            "topology_checked": len(kept),
            "topology_note": _why_not(everything),
            "topology": {name: _counts(group) for name, group in self._compared.items()},
        }


def compare_topology(label: Tensor, deformation: Deformation) -> dict[int, Compared]:
    """What a deformation does to each structure of a label `(1, *S)`, by its value."""
    (moved,) = warp_volumes([label], [False], deformation)
    found = {}
    for value in torch.unique(label).tolist():
        if value:
            found[int(value)] = _compared(*((volume[0] == value).numpy() for volume in (label, moved)))
    return found


def _compared(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Compared:
    at_border = touches_border(before) or touches_border(after)
    thin = not (is_thick(before) and is_thick(after))
    return Compared(
        thin=thin,
        at_border=at_border,
        kept=None if thin or at_border else signature(before) == signature(after),
        components=None if at_border else (components(before), components(after)),
        cavities=(cavities(before), cavities(after)),
    )


def _counts(group: Sequence[Compared]) -> dict[str, object]:
    """A structure's counts over the samples; `of` is how many could be counted."""
    whole = [compared.components for compared in group if compared.components is not None]
    return {
        "samples": len(group),
        "checked": sum(compared.kept is not None for compared in group),
        "kept": sum(bool(compared.kept) for compared in group),
        "thin": sum(compared.thin for compared in group),
        "at_border": sum(compared.at_border for compared in group),
        "components": {
            "of": len(whole),
            "more": sum(after > before for before, after in whole),
            "fewer": sum(after < before for before, after in whole),
        },
        "cavities": {
            "of": len(group),
            "gained": sum(compared.cavities[1] > compared.cavities[0] for compared in group),
            "lost": sum(compared.cavities[1] < compared.cavities[0] for compared in group),
        },
    }


def _why_not(everything: Sequence[Compared]) -> str | None:
    """Why not every structure of every sample was checked, in a sentence."""
    skipped = [compared for compared in everything if compared.kept is None]
    if not skipped:
        return None
    thin, cut = sum(c.thin for c in skipped), sum(c.at_border for c in skipped)
    return (
        f"{len(skipped)} of {len(everything)} structures in the samples are not in topology_preserved: {thin} are thinner "
        f"somewhere than the grid can show (3 voxels), {cut} reach the border of the image. What can be counted all the "
        "same is in topology."
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
