"""Pictures: only what calls itself PNG, JPEG, TIFF or BMP in its first bytes is shown to Pillow, and only its header."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from scaling_app.imaging.untrusted.header import Header, ImageError, open_regular, require_sizes

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
"""Others that Pillow reads start programs (PostScript), or hold what is no picture of a patient."""

MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
"""Pillow's own bound: 179 million."""

_ITEM_BYTES = {"1": 1, "L": 1, "P": 1, "I": 4, "F": 4}
_CHANNELS = {"LA": 2, "La": 2, "RGB": 3, "YCbCr": 3, "LAB": 3, "HSV": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4}


def judge_picture(path: Path) -> Header:
    """What the header promises.

    Raises:
        ImageError: another format, or more pixels than are read.
    """
    with open_regular(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(stream, formats=FORMATS) as picture:
                sizes, mode = picture.size, picture.mode
        except Image.DecompressionBombError as error:
            raise ImageError(f"{path.name} has more than the {MOST_PIXELS:,} pixels that are read") from error
        except Image.UnidentifiedImageError as error:
            raise ImageError(
                f"{path.name} cannot be read; it may be truncated or damaged: it does not begin as PNG, JPEG, TIFF "
                "or BMP"
            ) from error
    require_sizes(path.name, sizes)
    return Header(sizes, _CHANNELS.get(mode, 1), _ITEM_BYTES.get(mode, 2 if mode.startswith("I;16") else 1))
