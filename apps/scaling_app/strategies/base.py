"""What a training strategy is.

A training sample is drawn in one resampling of its case: the patch's grid of points goes through the
strategy's affine map, then through its deformation, and image and label are read there once
(linear and nearest). Afterwards the image alone goes through `appearance`. So a strategy says only
*where to look* and *how it may look*, in tensors, and any strategy runs on 2D and 3D, CPU and GPU.

Points are in voxels of the prepared case (the common spacing of the plan), last axis in array order
(i, j[, k]); a displacement in mm is `voxels * spacing`, with the spacing that the plan believes.

A strategy that trains something of its own (GenSeg) overrides `loss`, which sees the network and the
batch at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

PointMap = Callable[[Tensor], Tensor]
"""Maps points `(..., D)`, voxels of the prepared case, to the points to read at (same shape)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""`(logits (B, K, *P), label (B, 1, *P)) -> scalar`."""


@dataclass(frozen=True)
class PreparedCase:
    """A case on the plan's grid: oriented RAS, common spacing, intensities normalised.

    `image` is `(C, *S)` float32 and `label` `(1, *S)` with values 0..K-1, uint8 or from 256 structures on int16
    (None in the pool). `S` differs from case to case. Both may be memory-mapped: read, never write.
    """

    case_id: str
    patient: str
    image: Tensor
    label: Tensor | None

    @property
    def known_label(self) -> Tensor:
        """The label of a case that has one.

        Raises:
            ValueError: the case is of the pool.
        """
        if self.label is None:
            raise ValueError(f"case {self.case_id} has no label")
        return self.label


@dataclass(frozen=True)
class Batch:
    """`image (B, C, *P)` float32, `label (B, 1, *P)` as the cases have it, and the case of each sample."""

    image: Tensor
    label: Tensor
    case_ids: tuple[str, ...]


@dataclass(frozen=True)
class StrategyContext:
    """What a strategy may know of the run it serves.

    `spacing` is that of the prepared cases, mm; across slices that are few and said to be thin it is larger
    (`Plan.believed_spacing`).
    `pool` holds images without labels that the run neither trains on nor is tested on; `predict`,
    when there is a model already, gives class probabilities `(K, *S)` for a prepared image.
    With `of_slices` the cases are slices of volumes: labelled ones that hold a structure, while a slice of the
    pool may hold none, and to count the pool is to prepare all its volumes.
    `mirrored` are the axes along which sides do not matter: samples are mirrored along them.
    `cache_dir` outlives the run: results stored there are keyed by content.
    """

    spatial_dims: int
    spacing: tuple[float, ...]
    patch: tuple[int, ...]
    structures: Mapping[str, int]
    seed: int
    steps: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    pool: Sequence[PreparedCase] = ()
    predict: Callable[[Tensor], Tensor] | None = None
    cache_dir: Path | None = None
    max_minutes: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    of_slices: bool = False
    mirrored: tuple[int, ...] = ()


class Strategy:
    """How n labelled cases become training samples. One instance serves one training run."""

    name: ClassVar[str]
    affine: bool = True
    """Whether the shared random affine map comes before this strategy's deformation."""
    learns: ClassVar[bool] = False
    """Whether its state holds what a later training on other labels takes up; else only what a resumed one goes on from."""

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Learns from the training fold, and from nothing else, before the first step."""

    def added_cases(self) -> Sequence[PreparedCase]:
        """Cases to draw from beside the training cases; asked after `prepare`."""
        return ()

    def begin(self, step: int) -> None:
        """The run draws its first batch at this step, 0 unless it goes on with one that was interrupted; told once."""

    def draws_added(self, step: int) -> bool:
        """Whether half of a step's samples are of the added cases."""
        return True

    def deformation(self, case: PreparedCase, generator: torch.Generator) -> PointMap | None:
        """A freshly drawn deformation of `case`, or None to leave it in its shape."""
        return None

    def appearance(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """New intensities for a batch `(B, C, *P)`; labels stay as they are."""
        return image

    def loss(self, network: nn.Module, loss: Loss, batch: Batch, step: int) -> Tensor:
        """The training loss of one step; its gradient goes to `network`."""
        return loss(network(batch.image), batch.label)

    def report(self) -> dict[str, float | int | str | bool]:
        """What happened, for the run's record: finite numbers and plain words."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a later training or a resumed run starts from (tensors and plain values)."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up `state_dict`'s content; called after `prepare`."""
