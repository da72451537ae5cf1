"""Cases on the plan's grid, prepared once and kept on disk.

A prepared case is three arrays in a `CaseCache`, named by the content of the case's files and by what the plan
says about preparation: image (float32), label (class indices, uint8 or int16) and a sample of foreground voxels.
Reading maps them into memory; while they fit the stated bound they stay in RAM.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_app.imaging.untrusted import ImageError
from scaling_app.storage import sha256_of
from scaling_app.strategies.base import PreparedCase
from scaling_app.trials.case_cache import CaseCache
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.fingerprint import file_stamp
from scaling_app.trials.plan import Plan
from scaling_app.trials.preparation import Points, by_class, foreground_table, preparation_hash, prepare

logger = logging.getLogger(__name__)

_SLICE = "@slice"


class PreparedCases:
    """The cases of a task on the plan's grid, prepared when first asked for.

    Args:
        cases: labelled and unlabelled ones.
        cache_dir: where prepared cases outlive the process; any number of processes may use it.
        memory_bytes: bound on what is kept in RAM; larger sets are read through memory maps.
        shared: whether other processes use `cache_dir` at the same time.
    """

    def __init__(
        self,
        plan: Plan,
        cases: Sequence[CaseFiles],
        cache_dir: Path,
        memory_bytes: int,
        *,
        shared: bool = False,
    ) -> None:
        self.plan = plan
        self.cache_dir = Path(cache_dir)
        self._cache = CaseCache(self.cache_dir, shared=shared)
        self.memory_bytes = memory_bytes
        self._files = {case.case_id: case for case in cases}
        if len(self._files) < len(cases):
            raise ValueError("case ids must differ")
        self._in_ram: dict[str, PreparedCase] = {}
        self._ram_bytes = 0
        self._points: dict[str, list[Points]] = {}
        self._lock = threading.RLock()

    def at(self, plan: Plan) -> PreparedCases:
        """The same cases by another plan, in what these leave of the RAM."""
        left = self.memory_bytes - self._ram_bytes
        return PreparedCases(plan, [*self._files.values()], self.cache_dir, left, shared=self._cache.shared)

    @property
    def labelled(self) -> list[str]:
        """Ids of the cases with a label."""
        return [case_id for case_id, files in self._files.items() if files.label is not None]

    @property
    def pool(self) -> list[str]:
        """Ids of the cases without one."""
        return [case_id for case_id, files in self._files.items() if files.label is None]

    def require_labelled(self, case_ids: Sequence[str]) -> None:
        """Refuses what nothing can be learned from.

        Raises:
            ValueError: no case, or one without a label.
        """
        if not case_ids:
            raise ValueError("training needs at least one labelled case")
        if unlabelled := sorted(set(case_ids) - set(self.labelled)):
            raise ValueError(f"these training cases have no label: {', '.join(unlabelled[:5])}")

    def __getitem__(self, case_id: str) -> PreparedCase:
        """The prepared case; for a 2D plan of volumes also a slice of one, by the ids of `units`."""
        whole, _, index = case_id.partition(_SLICE)
        case = self._whole(whole)
        if not index:
            return case
        image = case.image.select(1 + self._slice_axis, int(index))
        label = None if case.label is None else case.label.select(1 + self._slice_axis, int(index))
        return PreparedCase(case_id, case.patient, image, label)

    def units(self, case_ids: Sequence[str]) -> list[str]:
        """What a training draws from: the cases themselves, or the slices of volumes in a 2D plan.

        Slices without foreground are left out, unless a case has no others.
        """
        if self.plan.slice_axis is None:
            return list(case_ids)
        return [unit for case_id in case_ids for unit in self._slices(case_id)]

    def foreground(self, case_id: str) -> list[Points]:
        """For each class of the plan, background left out, a sample of its voxels `(N, D)`, N may be 0."""
        whole, _, index = case_id.partition(_SLICE)
        with self._lock:
            if whole not in self._points:
                self._points[whole] = self._load_points(whole)
        points = self._points[whole]
        if not index:
            return points
        axis = self._slice_axis
        return [np.delete(p[p[:, axis] == int(index)], axis, axis=1) for p in points]

    @property
    def _slice_axis(self) -> int:
        if self.plan.slice_axis is None:
            raise ValueError("this plan has no slices")
        return self.plan.slice_axis

    def _slices(self, case_id: str) -> list[str]:
        case, axis = self._whole(case_id), self._slice_axis
        indices: Sequence[int] = range(case.image.shape[1 + axis])
        if case.label is not None:
            others = tuple(other for other in range(case.label.ndim) if other != 1 + axis)
            filled = torch.nonzero(case.label.amax(others)).flatten().tolist()
            indices = filled or indices
        return [f"{case_id}{_SLICE}{index}" for index in indices]

    def _whole(self, case_id: str) -> PreparedCase:
        if case_id not in self._files:
            raise KeyError(f"no case {case_id!r}")
        with self._lock:
            if case_id in self._in_ram:
                return self._in_ram[case_id]
        image = self._prepared(case_id, "image")
        label = None if self._files[case_id].label is None else self._prepared(case_id, "label")
        size = image.nbytes + (0 if label is None else label.nbytes)
        with self._lock:
            keep = self._ram_bytes + size <= self.memory_bytes
            if keep:
                image, label = np.array(image), None if label is None else np.array(label)
            case = PreparedCase(
                case_id,
                self._files[case_id].patient,
                torch.from_numpy(image),
                None if label is None else torch.from_numpy(label),
            )
            if keep and case_id not in self._in_ram:
                self._in_ram[case_id] = case
                self._ram_bytes += size
        return case

    def _load_points(self, case_id: str) -> list[Points]:
        if self._files[case_id].label is None:
            return [np.zeros((0, 3), dtype=np.int32)] * (len(self.plan.class_values) - 1)
        return by_class(self._prepared(case_id, "points"), len(self.plan.class_values))

    def _prepared(self, case_id: str, kind: str) -> NDArray[Any]:
        """An array of the case from the cache, put there first where it is not."""
        files = self._files[case_id]
        key = _key(self.plan, files)
        while (array := self._cache.get(key, kind, mapped=kind != "points")) is None:
            image, label = prepare(self.plan, files)
            arrays = {"image": image.numpy()}
            if label is not None:
                arrays["label"] = label.numpy()
                arrays["points"] = foreground_table(label, len(self.plan.class_values))
            self._cache.put(key, arrays, {"case": case_id, "shape": list(image.shape)})
        return array


class CaseList(Sequence[PreparedCase]):
    """Cases by their ids (the slices of volumes in a 2D plan), each read when asked for: they need not fit memory."""

    def __init__(self, cases: PreparedCases, case_ids: Sequence[str]) -> None:
        self._cases, self._case_ids = cases, tuple(case_ids)

    @cached_property
    def _units(self) -> list[str]:
        """Made on first use: in a 2D plan of volumes every volume has to be prepared to count its slices."""
        return self._cases.units(self._case_ids)

    def __len__(self) -> int:
        return len(self._units)

    @overload
    def __getitem__(self, index: int) -> PreparedCase: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PreparedCase]: ...
    def __getitem__(self, index: int | slice) -> PreparedCase | Sequence[PreparedCase]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._cases[self._units[index]]


class Pool(CaseList):
    """The images without labels that a strategy may look at; remembers which ones it did look at.

    Asking for one that cannot be used raises an `ImageError` that names it; going through all of them leaves
    such images out, and says so in the log.
    """

    def __init__(self, cases: PreparedCases, case_ids: Sequence[str]) -> None:
        super().__init__(cases, case_ids)
        self._seen: set[str] = set()

    @property
    def seen(self) -> tuple[str, ...]:
        """Ids of the cases whose images were handed out, whole or as slices."""
        return tuple(case_id for case_id in self._case_ids if case_id in self._seen)

    @cached_property
    def _units(self) -> list[str]:
        if self._cases.plan.slice_axis is None:
            return list(self._case_ids)
        units = []
        for case_id in self._case_ids:
            try:
                units += self._cases.units([case_id])
            except (ImageError, OSError) as error:
                logger.warning("the unlabelled image %s is left out: %s", case_id, error)
        return units

    @overload
    def __getitem__(self, index: int) -> PreparedCase: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PreparedCase]: ...
    def __getitem__(self, index: int | slice) -> PreparedCase | Sequence[PreparedCase]:
        if isinstance(index, slice):
            return super().__getitem__(index)
        case_id = self._units[index].partition(_SLICE)[0]
        try:
            case = super().__getitem__(index)
        except (ImageError, OSError) as error:
            raise ImageError(f"the unlabelled image {case_id} cannot be used: {error}") from error
        self._seen.add(case_id)
        return case

    def __iter__(self) -> Iterator[PreparedCase]:
        for index in range(len(self)):
            try:
                case = self[index]
            except ImageError as error:
                logger.warning("left out: %s", error)
                continue
            yield case


def _key(plan: Plan, files: CaseFiles) -> str:
    digest = hashlib.sha256(preparation_hash(plan).encode())
    for path in (files.image, files.label):
        digest.update(b"-" if path is None else content_of(path).encode())
    if files.values:
        digest.update(json.dumps(files.values).encode())
    return digest.hexdigest()[:32]


def content_of(path: Path) -> str:
    """A digest of what a file holds; of one that stays as it is, it is made once in a process."""
    modified_ns, size = file_stamp(path)
    return _hash_of(str(path), size, modified_ns)


@lru_cache(maxsize=100_000)
def _hash_of(path: str, size: int, modified_ns: int) -> str:
    with Path(path).open("rb") as stream:
        return sha256_of(stream)
