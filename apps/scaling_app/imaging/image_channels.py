"""How many values a voxel of an image file has, from its header alone."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import nrrd
from PIL import Image

from scaling_app.imaging.geometry import reading, suffix_of
from scaling_app.imaging.pictures import GREY_MODES, PICTURES
from scaling_app.imaging.untrusted import judge

_SPATIAL = {"domain", "space"}


def channels_of(path: Path) -> int | None:
    """The channels that `read_image` would give; None for kinds whose header is not looked at.

    Raises:
        ImageError: unreadable.
    """
    suffix = suffix_of(path)
    header = judge(path, suffix)
    if suffix == ".mha":
        return header.others * math.prod(header.sizes[3:])
    with reading(path):
        if suffix in (".nii", ".nii.gz"):
            fields = nib.load(path).header
            colours = fields.get_data_dtype().names
            return min(3, len(colours)) if colours else math.prod(fields.get_data_shape()[3:])
        if suffix == ".nrrd":
            fields = nrrd.read_header(str(path))
            kinds = fields.get("kinds", [])
            others = [axis for axis, kind in enumerate(kinds) if kind not in _SPATIAL]
            others = others or ([0] if int(fields["dimension"]) == 4 else [])
            return int(fields["sizes"][others[0]]) if others else 1
        if suffix in PICTURES:
            with Image.open(path) as picture:
                return 1 if picture.mode in {*GREY_MODES, "LA", "La"} else 3
    return None
