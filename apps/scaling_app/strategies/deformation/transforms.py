"""RED, RegDA and GenDA as MONAI dictionary transforms, usable without the trainer.

Each takes a dictionary of channel-first arrays `(C, *S)` of one shape, 2D or 3D, on any device, and deforms
all its keys together: images linearly, labels by the nearest voxel. Randomness comes from MONAI's
`set_random_state` alone. They are not lazy themselves; inside a lazy `Compose` what is pending is applied
before them.

Example:
    >>> import torch
    >>> elastic = RandVelocityElasticd(["image", "label"], prob=1.0, mode=["bilinear", "nearest"])
    >>> _ = elastic.set_random_state(seed=0)
    >>> data = {"image": torch.rand(1, 32, 32), "label": torch.ones(1, 32, 32, dtype=torch.uint8)}
    >>> tuple(elastic(data)["image"].shape)
    (1, 32, 32)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils import convert_to_tensor, ensure_tuple_rep
from torch import Tensor

from scaling_app.strategies.base import PreparedCase, StrategyContext
from scaling_app.strategies.deformation.random_field import Strength
from scaling_app.strategies.deformation.strategies import RED_STRENGTH, GenDA, RegDA, random_flow
from scaling_app.strategies.deformation.velocity import Deformation
from scaling_app.strategies.deformation.warping import warp_volumes


class _RandDeformd(RandomizableTransform, MapTransform):
    """Draws one deformation per call and applies it to every key."""

    backend = MapTransform.backend

    def __init__(
        self, keys: KeysCollection, prob: float, mode: str | Sequence[str], allow_missing_keys: bool
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        if unknown := set(self.mode) - {"bilinear", "nearest"}:
            raise ValueError(f"mode is bilinear or nearest, got {', '.join(sorted(unknown))}")
        self.deformation: Deformation | None = None

    @abstractmethod
    def draw(
        self, data: Mapping[Hashable, Any], volume: Tensor, generator: torch.Generator
    ) -> Deformation | None:
        """The deformation of a call, in voxels of `volume (C, *S)`; None to leave the data as they are."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The dictionary with its keys deformed; arrays keep their type, metadata and device.

        Raises:
            ValueError: the keys differ in shape.
        """
        result = dict(data)
        self.randomize(None)
        seed = int(self.R.randint(2**31 - 1))
        keys = list(self.key_iterator(result))
        if not self._do_transform or not keys:
            return result
        volumes = [convert_to_tensor(result[key], track_meta=True) for key in keys]
        generator = torch.Generator().manual_seed(seed)
        self.deformation = self.draw(result, volumes[0], generator)
        if self.deformation is None:
            return result
        linear = [dict(zip(self.keys, self.mode, strict=True))[key] == "bilinear" for key in keys]
        # metadata would be carried through every operation on every block
        plain = [convert_to_tensor(volume, track_meta=False) for volume in volumes]
        for key, moved in zip(keys, warp_volumes(plain, linear, self.deformation), strict=True):
            result[key] = _like(moved, data[key])
        return result


def _like(moved: Tensor, original: object) -> object:
    if isinstance(original, np.ndarray):
        return moved.numpy()
    if isinstance(original, MetaTensor):
        return MetaTensor(moved, meta=original.meta, applied_operations=original.applied_operations)
    return moved


def _spacing(volume: Tensor, spacing: Sequence[float] | None) -> tuple[float, ...]:
    """The given spacing, else that of the metadata, else 1 mm."""
    dims = volume.ndim - 1
    if spacing is not None:
        return tuple(float(s) for s in spacing)
    if isinstance(volume, MetaTensor):
        return tuple(float(s) for s in volume.pixdim[:dims])
    return (1.0,) * dims


class RandVelocityElasticd(_RandDeformd):
    """RED: the flow of a random smooth velocity field, certified not to fold."""

    def __init__(
        self,
        keys: KeysCollection,
        strength: str = RED_STRENGTH,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        spacing: Sequence[float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        """Takes what to deform, and how far.

        Args:
            keys: arrays `(C, *S)` of one shape.
            strength: standard deviation of the displacement at most, "3%" of the image size or "5 mm".
            prob: of deforming at all.
            mode: "bilinear" for images, "nearest" for labels; one, or one per key.
            spacing: mm per voxel; default from the metadata, else 1.
            allow_missing_keys: whether keys may be absent.
        """
        super().__init__(keys, prob, mode, allow_missing_keys)
        self.strength, self.spacing = Strength.parse(strength), spacing

    def draw(self, data: Mapping[Hashable, Any], volume: Tensor, generator: torch.Generator) -> Deformation:
        """A flow over the volume's own box."""
        spacing = _spacing(volume, self.spacing)
        return Deformation.in_voxels(
            [random_flow(volume.shape[1:], spacing, self.strength, generator)], spacing
        )


class RandRegDAd(_RandDeformd):
    """RegDA: samples between a case and other registered shapes."""

    strategy_class: type[RegDA] | type[GenDA] = RegDA

    def __init__(
        self,
        keys: KeysCollection,
        cases: Sequence[PreparedCase],
        context: StrategyContext,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        case_key: str = "case_id",
        allow_missing_keys: bool = False,
    ) -> None:
        """Registers the cases at once (seconds per case, see `StrategyContext.cache_dir`).

        Args:
            keys: arrays `(C, *S)` on the grid of their prepared case.
            cases: the labelled training cases, on one spacing.
            context: spacing, structures, pool and options, as for the strategy of the same name.
            prob: of deforming at all.
            mode: "bilinear" for images, "nearest" for labels; one, or one per key.
            case_key: where the dictionary says which case it holds.
            allow_missing_keys: whether keys may be absent.
        """
        super().__init__(keys, prob, mode, allow_missing_keys)
        self.case_key = case_key
        self.strategy = self.strategy_class()
        self.strategy.prepare(cases, context)
        self._cases = {case.case_id: case for case in cases}

    def draw(
        self, data: Mapping[Hashable, Any], volume: Tensor, generator: torch.Generator
    ) -> Deformation | None:
        """The strategy's deformation of the case, None for a sample that keeps its shape.

        Raises:
            ValueError: the dictionary's case is none of the registered ones.
        """
        case_id = data.get(self.case_key)
        case = self._cases.get(case_id) if isinstance(case_id, str) else None
        if case is None:
            raise ValueError(
                f"{self.case_key!r} must name one of the {len(self._cases)} registered cases, got {case_id!r}"
            )
        return self.strategy.deformation(case, generator)


class RandGenDAd(RandRegDAd):
    """GenDA: deformations generated from the geodesic subspace of the registered cases."""

    strategy_class = GenDA
