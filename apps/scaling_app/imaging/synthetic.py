"""Synthetic anatomy: cases that are made, not scanned, for demonstrations and tests.

Each case is an `organ` (a smooth star-shaped body) with a `nodule` inside it, next to a bright and a
dark neighbour that imitate its grey values. Between cases vary: shape (low-order modes of the radius),
position, contrast, a bias field, noise, spacing (anisotropic, thicker along the last axis) and the
axis directions of the file. Nothing here resembles a patient.

A point at direction u from the organ's centre lies inside it when its distance is below
`r(u) = r0 * exp(sum_k a_k f_k(u))`, with f_k the monomials of degree 1 to 3 in u.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import nibabel
import nrrd
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from scaling_app.storage import whole_file

STRUCTURES = {"organ": 1, "nodule": 2}


@dataclass(frozen=True)
class SyntheticCase:
    """`image` float32 and `label` uint8, both `(*S)`; `affine` (4, 4) to RAS mm (2D: third axis of 1 mm)."""

    case_id: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


def make_case(index: int, *, size: int = 40, spatial_dims: int = 3, seed: int = 2026) -> SyntheticCase:
    """The synthetic case of that index, the same each time.

    Args:
        index: which case; each index is another "patient".
        size: voxels along the first axis; the others follow from it.
        spatial_dims: 2 or 3.
        seed: of the whole family of cases.
    """
    rng = np.random.default_rng([seed, index])
    spacing = np.array([1.0, 1.0, rng.choice([1.5, 2.0, 2.5])][:spatial_dims]) * rng.uniform(0.9, 1.2)
    extent = np.array([size, size * 1.15, size * 0.9][:spatial_dims])
    shape = np.maximum(np.round(extent / (spacing / spacing[0])).astype(int), 8)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    radius = 0.24 * size * spacing[0] * rng.uniform(0.8, 1.15)
    centre = rng.uniform(-0.08, 0.08, spatial_dims) * size * spacing[0]
    organ = _inside(points, centre, radius, rng, roughness=0.2)
    offset = rng.normal(size=spatial_dims)
    offset *= radius * rng.uniform(0.25, 0.5) / np.linalg.norm(offset)
    nodule = _inside(points, centre + offset, radius * rng.uniform(0.45, 0.6), rng, roughness=0.12) & organ
    label = organ.astype(np.uint8) + nodule.astype(np.uint8)

    image = np.full(tuple(shape), 0.2)
    body = np.linalg.norm(points / (0.48 * shape * spacing), axis=-1) < 1
    image[body] = 0.42
    for grey in (rng.uniform(0.55, 0.75), rng.uniform(0.15, 0.3)):
        image[_neighbour(points, centre, radius, rng) & body] = grey
    organ_grey = rng.uniform(0.54, 0.7)
    image[organ] = organ_grey
    image[nodule] = organ_grey + rng.uniform(0.16, 0.3)
    image = gaussian_filter(image, 0.7)
    image += 0.05 * _scaled(gaussian_filter(rng.normal(size=image.shape), size / 5))
    image += rng.uniform(0.03, 0.06) * rng.normal(size=image.shape)
    return SyntheticCase(
        case_id=f"synthetic_{index:03d}",
        image=(1000 * image).astype(np.float32),
        label=label,
        affine=_affine(spacing, shape, rng),
    )


def write_case(case: SyntheticCase, images: Path, labels: Path | None, *, suffix: str = ".nii.gz") -> Path:
    """Writes a 3D case as NIfTI (`.nii.gz`) or NRRD (`.nrrd`); returns the image's path.

    `labels` is a folder for the label of the same name, or None for an unlabelled case.
    """
    path = images / f"{case.case_id}{suffix}"
    _write(path, np.round(case.image).astype(np.int16), case.affine)
    if labels is not None:
        _write(labels / path.name, case.label, case.affine)
    return path


def _write(path: Path, array: NDArray, affine: NDArray[np.float64]) -> None:
    with whole_file(path) as part:
        if path.name.endswith(".nrrd"):
            to_lps = np.diag([-1.0, -1.0, 1.0])
            header = {
                "space": "left-posterior-superior",
                "space directions": (to_lps @ affine[:3, :3]).T,
                "space origin": to_lps @ affine[:3, 3],
                "encoding": "gzip",
            }
            nrrd.write(str(part), array, header)
        else:
            nibabel.save(nibabel.Nifti1Image(array, affine), part)


def _inside(
    points: NDArray, centre: NDArray, radius: float, rng: np.random.Generator, *, roughness: float
) -> NDArray[np.bool_]:
    delta = points - centre
    distance = np.linalg.norm(delta, axis=-1)
    u = delta / np.maximum(distance, 1e-9)[..., None]
    log_radius = np.zeros(distance.shape)
    for degree in (1, 2, 3):
        for axes in combinations_with_replacement(range(points.shape[-1]), degree):
            log_radius += roughness / degree * rng.normal() * np.prod(u[..., list(axes)], axis=-1)
    return distance < radius * np.exp(log_radius)


def _neighbour(
    points: NDArray, centre: NDArray, radius: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    away = rng.normal(size=points.shape[-1])
    away *= radius * rng.uniform(1.5, 1.9) / np.linalg.norm(away)
    return _inside(points, centre + away, radius * rng.uniform(0.5, 0.8), rng, roughness=0.12)


def _scaled(field: NDArray) -> NDArray:
    return field / max(float(np.abs(field).max()), 1e-9)


def _affine(spacing: NDArray, shape: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
    full = np.ones(3)
    full[: len(spacing)] = spacing
    signs = np.where(rng.uniform(size=3) < 0.5, -1.0, 1.0)
    affine = np.diag([*(signs * full), 1.0])
    extent = np.ones(3)
    extent[: len(shape)] = shape
    affine[:3, 3] = -signs * full * (extent - 1) / 2
    return affine
