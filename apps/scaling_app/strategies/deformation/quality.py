"""What can be measured on drawn deformations: folds, volume change, exact inverses, topology of labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scaling_app.strategies.base import PointMap, PreparedCase
from scaling_app.strategies.deformation.folds import cell_determinants, jacobian, voxel_grid
from scaling_app.strategies.deformation.topology import is_thick, signature
from scaling_app.strategies.deformation.velocity import Deformation
from scaling_app.strategies.deformation.warping import warp_volumes


class QualityReport:
    """Collects measurements of deformations one by one; `payload` is the content of `quality.json`."""

    def __init__(self) -> None:
        self._certified = True
        self._folds = 0
        self._smallest: list[float] = []
        self._spread: list[float] = []
        self._inverse: list[float] = []
        self._kept: list[bool] = []

    def add(self, case: PreparedCase, deformation: PointMap | None) -> None:
        """Measures one deformation on the case's own grid; None stands for the identity."""
        shape = tuple(case.image.shape[1:])
        if deformation is None or min(shape) < 2:
            return
        grid = voxel_grid(shape)
        moved = deformation(grid)
        determinants = cell_determinants(moved)
        self._folds += int((determinants <= 0).any(dim=0).sum())
        self._smallest.append(float(determinants.min()))
        self._spread.append(float(jacobian(moved).clamp(min=1e-6).log().std()))
        if not isinstance(deformation, Deformation):
            self._certified = False
            return
        self._certified &= deformation.certified
        self._inverse.append(float((deformation.inverse()(moved) - grid).abs().max()))
        if case.label is not None:
            self._kept += kept_topology(case.label, deformation)

    def payload(self) -> dict[str, float | int | bool | None]:
        """Finite numbers, or None where nothing was measured."""
        return {
            "samples": len(self._smallest),
            "certified": self._certified,
            "folds": self._folds,
            "min_jacobian": min(self._smallest, default=None),
            "sd_log_jacobian": _mean(self._spread),
            "inverse_error_vox": max(self._inverse, default=None),
            "topology_preserved": _mean([float(kept) for kept in self._kept]),
            "topology_checked": len(self._kept),
        }


def kept_topology(label: Tensor, deformation: Deformation) -> list[bool]:
    """For each structure that is thick before and after and stays inside, whether its topology stays.

    A structure that leaves the image is cut by its border, and one thinner than the grid can show is cut by
    the sampling; neither says anything about the deformation.
    """
    (moved,) = warp_volumes([label], [False], deformation)
    kept = []
    for value in torch.unique(label).tolist():
        before, after = ((volume[0] == value).numpy() for volume in (label, moved))
        if value and is_thick(before) and is_thick(after) and not (_touches(before) or _touches(after)):
            kept.append(signature(before) == signature(after))
    return kept


def _touches(mask) -> bool:
    return any(mask.take(end, axis=axis).any() for axis in range(mask.ndim) for end in (0, -1))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
