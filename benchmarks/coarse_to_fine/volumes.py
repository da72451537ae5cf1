"""Volumes of which the structures fill a hundredth: a thin bright tube, and a small ball at its end.

160 x 160 x 120 voxels of 1 mm. Distractors of the same grey lie all over the body: balls without a tube, thick tubes
without a ball, and thin tubes that end blindly. What is wanted is told by its form and by what lies beside it.
Everything is drawn from the seed and the number of the case.
"""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from scaling_app.storage import whole_file
from scaling_app.trials.case_files import CaseFiles

STRUCTURES = {"tube": 1, "ball": 2}
SHAPE = (160, 160, 120)
_LENGTH, _RADIUS = 26.0, 2.0
_BALL = (4.5, 6.0)
_POINTS = 60

Array = NDArray[np.float64]


def written(folder: Path, count: int, seed: int) -> list[CaseFiles]:
    """The first `count` cases of a family, each of its own patient; those on the disk already are left as they are."""
    cases = []
    for index in range(count):
        name = f"made_{index:03d}"
        image, label = (folder / kind / f"{name}.nii.gz" for kind in ("images", "labels"))
        if not label.exists():
            for path, array in zip((image, label), made(index, seed), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as part:
                    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), part)
        cases.append(CaseFiles(name, name, image, label))
    return cases


def made(index: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and label of one case."""
    rng = np.random.default_rng([seed, index])
    shape = np.array(SHAPE)
    middle = (shape - 1) / 2
    axes = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij", sparse=True)
    body = sum(((axis - m) / (0.46 * n)) ** 2 for axis, m, n in zip(axes, middle, shape, strict=True)) < 1
    image = np.where(body, 0.4, 0.1)
    label = np.zeros(SHAPE, np.uint8)

    grey = rng.uniform(0.6, 0.75)
    start = middle + rng.normal(0, 0.07, 3) * shape
    line = _line(start, rng, _LENGTH * rng.uniform(0.8, 1.2))
    radius = rng.uniform(*_BALL)
    _draw(label, line, _RADIUS * rng.uniform(0.8, 1.15), 1)
    end = line[-1] + radius * _unit(line[-1] - line[-3])
    _draw(label, end[None], radius, 2)

    others = np.zeros(SHAPE, np.uint8)
    for _ in range(6):
        _draw(others, _somewhere(rng, shape)[None], rng.uniform(4, 10), 1)
    for thick in (1.9, 1.9, 1.9, 4.5, 4.5):
        _draw(
            others, _line(_somewhere(rng, shape), rng, rng.uniform(20, 40)), thick * rng.uniform(0.8, 1.2), 1
        )
    near = np.zeros(SHAPE, np.uint8)
    for point in (line[0], line[_POINTS // 2], end):
        _draw(near, point[None], 18.0, 1)
    image[(others > 0) & (near == 0) & body] = grey
    image[label == 1] = grey
    image[label == 2] = grey + rng.uniform(-0.03, 0.03)
    image = gaussian_filter(image, 0.6)
    image += 0.05 * _scaled(gaussian_filter(rng.normal(size=SHAPE), 12))
    image += rng.uniform(0.04, 0.07) * rng.normal(size=SHAPE)
    return (1000 * image).astype(np.float32), label


def _line(start: Array, rng: np.random.Generator, length: float) -> Array:
    """Points along an arc, `(60, 3)`."""
    along = _unit(rng.normal(size=3))
    aside = _unit(np.cross(along, rng.normal(size=3)))
    angles = np.linspace(0, rng.uniform(0.5, 1.6), _POINTS)[:, None]
    bend = length / angles[-1]
    return start + bend * (np.sin(angles) * along + (1 - np.cos(angles)) * aside)


def _draw(mask: NDArray[np.uint8], points: Array, radius: float, value: int) -> None:
    """All voxels within `radius` of one of the points."""
    low = np.maximum(np.floor(points.min(0) - radius).astype(int), 0)
    high = np.minimum(np.ceil(points.max(0) + radius).astype(int) + 1, mask.shape)
    if (high <= low).any():
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.stack(
        np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1
    )
    nearest = np.full(grid.shape[:-1], np.inf)
    for point in points:
        np.minimum(nearest, ((grid - point) ** 2).sum(-1), out=nearest)
    mask[box][nearest <= radius**2] = value


def _somewhere(rng: np.random.Generator, shape: NDArray[np.int64]) -> Array:
    return (0.15 + 0.7 * rng.random(3)) * shape


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def _scaled(field: Array) -> Array:
    return field / field.std()
