"""Images that are the same, found by their voxels, whatever their files are called and however they are packed.

Most images are told apart by their shape and first slices, which are quick to read. Only those that agree so far are
read whole. What was found is remembered as long as a file stays as it is.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from scaling_app.imaging.geometry import read_image
from scaling_app.imaging.image_files import reading, suffix_of
from scaling_app.imaging.nifti_files import read_first_slices
from scaling_app.imaging.untrusted import ImageError

FIRST_VOXELS = 2**20
"""Of an image, about so many are compared first."""

Known = dict[str, list[str]]
"""Per image the stamp of its file, a digest of its beginning, and that of the whole where it was needed; for JSON."""

NOTHING = ""
"""In place of a digest: the image cannot be read, or all its voxels are alike, as in many images that are not the same."""


def same_images(
    files: Mapping[str, Path], known: Known, on_file: Callable[[int, int], None] | None = None
) -> list[tuple[str, ...]]:
    """Groups of images with equal voxels, by name, each group and the groups sorted.

    Args:
        files: name -> file.
        known: what was found before; it is brought up to date.
        on_file: told of the files looked at, and of their number.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for done, (name, path) in enumerate(files.items(), start=1):
        if (stamp := _stamp(path)) is not None:
            if known.get(name, [""])[0] != stamp:
                known[name] = [stamp, _digest_of(path, _beginning)]
            if known[name][1] != NOTHING:
                alike[known[name][1]].append(name)
        if on_file is not None:
            on_file(done, len(files))
    same: dict[str, list[str]] = defaultdict(list)
    for names in alike.values():
        for name in names if len(names) > 1 else ():
            if len(known[name]) < 3:
                known[name].append(_digest_of(files[name], _whole))
            if known[name][2] != NOTHING:
                same[known[name][2]].append(name)
    return sorted(tuple(sorted(names)) for names in same.values() if len(names) > 1)


def _stamp(path: Path) -> str | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_mtime_ns}-{status.st_size}"


def _digest_of(path: Path, read: Callable[[Path], tuple[tuple[int, ...], np.ndarray]]) -> str:
    try:
        shape, array = read(path)
    except (ImageError, OSError):
        return NOTHING
    if array.size == 0 or (array.min() == array.max() and math.prod(shape) == array.size):
        return NOTHING
    digest = hashlib.blake2b(repr(shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _whole(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    array = read_image(path).as_tensor().numpy()
    return array.shape, array


def _beginning(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape `(C, *S)` and the first slices along the last axis; of NIfTI no more than these is unpacked."""
    if suffix_of(path) in (".nii", ".nii.gz"):
        with reading(path):
            read = read_first_slices(path, _slices)
        if read is not None:
            shape, array = read
            return (1, *shape), np.nan_to_num(array[None], nan=0.0, posinf=0.0, neginf=0.0)
    shape, array = _whole(path)
    return shape, array[..., : _slices(shape)]


def _slices(shape: tuple[int, ...]) -> int:
    return max(1, math.ceil(FIRST_VOXELS / max(1, math.prod(shape[:-1]))))
