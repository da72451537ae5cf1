"""The one gate for files from others: nothing opens such a file before its header has been judged here.

A header may promise more than there is memory for, name another file as its data, or have a parser loop for ever. Each
kind has its own judge, which reads a bounded number of bytes and knows what its parser will do with the file. What
passes can be read with memory in proportion to `Header.read_bytes` and in a time in proportion to the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from scaling_app.imaging.untrusted.header import READ_ERRORS, Header, ImageError
from scaling_app.imaging.untrusted.meta_file import judge_meta
from scaling_app.imaging.untrusted.nifti_file import judge_nifti
from scaling_app.imaging.untrusted.nrrd_file import judge_nrrd
from scaling_app.imaging.untrusted.picture_file import judge_picture

GIB = 1 << 30


def judge(
    path: Path, kind: str, *, alone: bool = False, most_bytes: float | None = None, unpacked: bool = True
) -> Header:
    """What a file promises, if its parser may open it.

    Args:
        kind: the file's kind as `suffix_of` names it; it decides which parser opens the file.
        alone: whether the file has to hold its own data, as what a client sends; else they may lie in a file beside it.
        most_bytes: bound on the image in memory (float32).
        unpacked: whether the voxels are about to be read, so that packed ones have to be measured; a parser of headers
            needs no more than the header.

    Raises:
        ImageError: it must not be opened; the message names the file and says what to do.
    """
    require_text_name(path)
    try:
        header = _judge(path, kind, alone, unpacked)
    except ImageError:
        raise
    except READ_ERRORS as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0][:200].replace(str(path), path.name)
        raise ImageError(f"{path.name} cannot be read; it may be truncated or damaged ({words})") from error
    if most_bytes is not None and header.read_bytes > most_bytes:
        raise ImageError(
            f"{path.name} has {header.voxels:,} voxels, {header.read_bytes / GIB:.1f} GiB in memory; at most "
            f"{most_bytes / GIB:g} GiB are read (--conf upload_gb)"
        )
    return header


def require_text_name(path: Path) -> None:
    """Refuses a place whose name is no text: SimpleITK would end the process over it.

    Raises:
        ImageError: it is none.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path.name).decode("utf-8", "replace")
        raise ImageError(f"{shown} has a name or a folder that is no text in UTF-8; rename it") from None


def _judge(path: Path, kind: str, alone: bool, unpacked: bool) -> Header:
    if kind in (".nrrd", ".seg.nrrd", ".nhdr"):
        return judge_nrrd(path, alone, unpacked)
    if kind in (".mha", ".mhd"):
        return judge_meta(path, alone, unpacked)
    if kind in (".nii", ".nii.gz"):
        return judge_nifti(path, packed=kind == ".nii.gz")
    return judge_picture(path)
