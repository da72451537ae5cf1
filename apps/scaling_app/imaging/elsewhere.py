"""Images that are there and are not read: in sub-folders, and of DICOM."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scaling_app.imaging.image_files import readable_kinds, suffix_of
from scaling_app.words import in_words

_DICOM = (".dcm", ".dicom", ".ima")
_MOST_WALKED = 20_000


def images_elsewhere(folder: Path, but: Path | None = None) -> str:
    """What lies in a folder that no image is read from, in words; empty where there is nothing.

    Args:
        folder: the folder.
        but: one in it where nobody's images are.
    """
    found: Counter[str] = Counter()
    places = set()
    for kind, place in _walk(folder, but):
        found[kind] += 1
        if place != folder:
            places.add(place.relative_to(folder).parts[0])
    parts = []
    if found["image"]:
        some = [shown_name(place) for place in sorted(places)[:3]]
        parts.append(
            f"{found['image']} in sub-folders ({in_words(some)}{', ...' if len(places) > 3 else ''})"
        )
    if found["dicom"]:
        parts.append(f"{found['dicom']} DICOM files")
    return " and ".join(parts)


def shown_name(name: str) -> str:
    """A name of the file system as text; what is none becomes a question mark."""
    return os.fsencode(name).decode("utf-8", "replace")


def _walk(folder: Path, but: Path | None) -> Iterator[tuple[str, Path]]:
    """`image` or `dicom`, and its folder, for the files in and below a folder; a bounded number of them."""
    seen = 0
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and here / f != but)
        for name in names:
            if (seen := seen + 1) > _MOST_WALKED:
                return
            kind = suffix_of(name)
            if name.startswith("."):
                continue
            if kind in _DICOM or (not kind and _is_dicom(here / name)):
                yield "dicom", here
            elif kind in readable_kinds() and here != folder:
                yield "image", here


def _is_dicom(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as content:
            return content.read(132)[128:] == b"DICM"
    except OSError:
        return False
