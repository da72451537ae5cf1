"""Whether Slicer reads an image file's slices in reverse.

Slicer keeps voxel axes right-handed: from a file whose axes are left-handed (a negative determinant; common
in NIfTI, for example with the affine diag(-2, 2, 2)) it reads the slices in reverse and moves the origin, which
is right in space but not the file's own grid. A label has to go back on the file's grid, or it would not lie
voxel by voxel on the image for whoever reads both.

Formats: NIfTI-1 (the header of R. Cox et al., 2004, fields pixdim, qform_code, sform_code, srow) and NRRD
(G. Kindlmann, "Definition of NRRD file format", fields space and space directions).
"""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np

_NIFTI_BYTES = 348
_NRRD_BYTES = 16384


def is_left_handed(file_name: str, content: bytes) -> bool:
    """Whether the voxel axes of an image file form a left-handed system.

    Args:
        file_name: Tells the format: `.nii`, `.nii.gz` and `.nrrd` are read; others count as right-handed.
        content: The file.
    """
    name = file_name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            return _nifti_determinant(_start(content, _NIFTI_BYTES)) < 0
        if name.endswith(".nrrd"):
            return _nrrd_determinant(content[:_NRRD_BYTES]) < 0
    except (struct.error, ValueError, OSError, EOFError, zlib.error):
        return False  # an image that cannot be read fails, with a message, when it is loaded
    return False


def _start(content: bytes, count: int) -> bytes:
    """The first bytes of a file, which may be compressed."""
    if content[:2] != b"\x1f\x8b":
        return content[:count]
    return zlib.decompressobj(wbits=31).decompress(content, count)


def _nifti_determinant(header: bytes) -> float:
    order = "<" if struct.unpack_from("<i", header)[0] == _NIFTI_BYTES else ">"
    qform, sform = struct.unpack_from(order + "2h", header, 252)
    if sform > 0:
        rows = np.array(struct.unpack_from(order + "12f", header, 280)).reshape(3, 4)
        return float(np.linalg.det(rows[:, :3]))
    handedness = struct.unpack_from(order + "f", header, 76)[0]
    return -1.0 if qform > 0 and handedness < 0 else 1.0


def _nrrd_determinant(start: bytes) -> float:
    header = start.split(b"\n\n")[0].split(b"\r\n\r\n")[0].decode("ascii", "replace")
    directions = re.search(r"^space directions:\s*(.+)$", header, re.MULTILINE)
    space = re.search(r"^space:\s*(\S+)", header, re.MULTILINE)
    if directions is None:
        return 1.0
    vectors = [list(map(float, v.split(","))) for v in re.findall(r"\(([^)]*)\)", directions.group(1))]
    matrix = np.array(vectors[-3:])
    if matrix.shape != (3, 3):
        return 1.0
    words = (space.group(1).lower() if space else "").replace("scanner-xyz", "").split("-")
    mirrored = sum(word in ("left", "posterior", "inferior", "l", "p", "i") for word in words)
    if words in (["lps"], ["ras"], ["las"]):
        mirrored = {"lps": 2, "ras": 0, "las": 1}[words[0]]
    return float(np.linalg.det(matrix)) * (-1.0) ** mirrored
