"""Folders of many small studies, made in a moment: each image other bytes, so that none is another's twin."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np

SIDE = 12
STRUCTURES = {"organ": 1, "nodule": 2}


def make_studies(folder: Path, cases: int, labels: int, seed: int = 0) -> list[Path]:
    """Images of `SIDE`^3 voxels, the first ones with a label.

    Returns:
        The files of as many labels as there are cases, at most 2,000, to be sent.
    """
    rng = np.random.default_rng(seed)
    stored, sent = folder / "labels" / "final", folder.parent / f"{folder.name}_truth"
    for made in (folder, stored, sent):
        made.mkdir(parents=True)
    image_header, label_header = _header(np.int16), _header(np.uint8)
    files = []
    for index in range(cases):
        name = f"case_{index:05d}.nii"
        noise = rng.integers(0, 200, (SIDE, SIDE, SIDE), dtype=np.int16)
        label = _label(rng)
        image = noise + 300 * label.astype(np.int16)
        (folder / name).write_bytes(image_header + image.tobytes(order="F"))
        content = label_header + label.tobytes(order="F")
        if index < labels:
            (stored / name).write_bytes(content)
        if index < 2000:
            files.append(sent / name)
            files[-1].write_bytes(content)
    return files


def _label(rng: np.random.Generator) -> np.ndarray:
    label = np.zeros((SIDE, SIDE, SIDE), np.uint8)
    x, y, z = rng.integers(1, SIDE - 7, 3)
    label[x : x + 6, y : y + 6, z : z + 6] = 1
    label[x + 1 : x + 3, y + 1 : y + 3, z + 1 : z + 3] = 2
    return label


def _header(kind: type) -> bytes:
    """The 352 bytes before the voxels."""
    out = io.BytesIO()
    image = nib.Nifti1Image(np.zeros((SIDE, SIDE, SIDE), kind), np.diag([2.0, 2.0, 2.0, 1.0]))
    image.to_stream(out)
    return out.getvalue()[:352]
