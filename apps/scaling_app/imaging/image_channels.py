"""How many values a voxel of an image file has, from its header alone."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

from scaling_app.imaging.image_files import reading, suffix_of
from scaling_app.imaging.pictures import GREY_MODES, PICTURES
from scaling_app.imaging.untrusted import judge

_COLOURS = 3
"""Of NIfTI's records and of pictures; what says how much shines through is left out."""


def channels_of(path: Path) -> int:
    """The channels that `read_image` would give.

    Raises:
        ImageError: unreadable.
    """
    suffix = suffix_of(path)
    header = judge(path, suffix, unpacked=False)
    if suffix in PICTURES:
        with reading(path), Image.open(path) as picture:
            return 1 if picture.mode in {*GREY_MODES, "LA", "La"} else _COLOURS
    if suffix in (".nii", ".nii.gz") and header.place is not None and not header.place.number:
        return _COLOURS
    return header.others * math.prod(header.sizes[3:])
