"""Small genuine files of every kind, and damage to them."""

from __future__ import annotations

import gzip
import struct
from functools import cache
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import SimpleITK
from PIL import Image

KINDS = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".png", ".jpg", ".tif", ".bmp")

TEXTS = [
    b"LIST", b"data file: /etc/hostname\n", b"line skip: 1000000000000\n", b"ElementDataFile = /etc/hostname\n",
    b"sizes: 99999 99999 99999\n", b"DimSize = 99999 99999 99999\n", b"-1", b"nan", b"1e309", b"\0" * 8, b"\n",
    b"byte skip: -1\n", b"encoding: bzip2\n", b"encoding: hex\n", struct.pack("<8h", 7, *[32767] * 7),
]  # fmt: skip
"""What is put into headers."""

Change = tuple[str, int, bytes]
"""What is done, where, with which bytes."""

MOST_PLACE = 700
"""Headers end before it."""


@cache
def genuine(kind: str, folder: Path) -> bytes:
    """A small file of a kind as its own library writes it."""
    path = folder / f"genuine{kind}"
    voxels = np.arange(8 * 6 * 4, dtype=np.int16).reshape(8, 6, 4) % 5
    if kind in (".nii", ".nii.gz"):
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1, 2, 1])), path)
    elif kind == ".nrrd":
        nrrd.write(str(path), voxels, {"encoding": "gzip"})
    elif kind == ".seg.nrrd":
        fields = {"encoding": "raw", "kinds": ["list", "domain", "domain", "domain"]}
        fields |= {f"Segment{i}_Name": f"part {i}" for i in range(2)}
        fields |= {f"Segment{i}_Layer": str(i) for i in range(2)} | {"Segment0_LabelValue": "1"}
        nrrd.write(str(path), np.stack([voxels, voxels]).astype(np.uint8), fields)
    elif kind == ".mha":
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(path), useCompression=True)
    else:
        Image.fromarray(voxels[..., 0].astype(np.uint8)).save(path)
    return path.read_bytes()


def edited(content: bytes, changes: list[Change]) -> bytes:
    """The content with these changes made one after the other."""
    for what, place, piece in changes:
        head, tail = content[:place], content[place:]
        after = {"insert": tail, "cut": b"", "set": tail[len(piece) :], "over": tail[len(piece) :]}
        content = head + (b"" if what in ("cut", "drop") else piece) + after.get(what, tail[len(piece) :])
    return content


def damaged(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """The content with up to four random changes, in `.nii.gz` half of the time beneath the packing."""
    changes = [_change(len(content), rng) for _ in range(rng.integers(1, 5))]
    if kind == ".nii.gz" and rng.integers(2):  # where no checksum finds it
        return gzip.compress(edited(gzip.decompress(content), changes), 1)
    return edited(content, changes)


def _change(length: int, rng: np.random.Generator) -> Change:
    place = int(rng.integers(min(MOST_PLACE, length + 1)))
    what = str(rng.choice(["set", "set", "flip", "insert", "over", "cut", "drop"]))
    if what == "cut":
        return what, int(rng.integers(length + 1)), b""
    if what in ("insert", "over"):
        return what, place, TEXTS[rng.integers(len(TEXTS))]
    size = int(rng.integers(1, 30 if what == "drop" else 5))
    extreme = bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * size
    return ("set" if what == "flip" else what), place, extreme if what == "flip" else rng.bytes(size)
