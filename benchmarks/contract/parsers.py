"""Damaged files to the gate and the parsers, each as a client's upload is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.contract.damage import damaged, genuine
from benchmarks.contract.pools import Try
from scaling_app.imaging.geometry import read_image
from scaling_app.imaging.untrusted import ImageError, judge
from scaling_app.studies.labels.contents import read_content

MOST_BYTES = 16 << 20


def parser_of(kind: str, folder: Path) -> Try:
    """Tries damaged files of a kind: judged, read as an image and as a label."""
    whole = genuine(kind, folder)
    path = folder / f"sent{kind}"

    def attempt(number: int) -> str:
        path.write_bytes(damaged(whole, kind, np.random.default_rng([number, len(kind)])))
        return read_both(path, kind)

    return attempt


def gate_of(kind: str, folder: Path) -> Try:
    """Tries damaged files of a kind at the gate alone; other ones than `parser_of` tries."""
    whole = genuine(kind, folder)
    path = folder / f"sent{kind}"

    def attempt(number: int) -> str:
        path.write_bytes(damaged(whole, kind, np.random.default_rng([number, len(kind), 1])))
        try:
            judge(path, kind, alone=True, most_bytes=MOST_BYTES)
        except ImageError as error:
            return _refused(path, error)
        return "read"

    return attempt


def read_both(path: Path, kind: str) -> str:
    """Whether a file is read at least one way; both refusals must be sentences that name it.

    Raises:
        Exception: whatever is no refusal.
    """
    try:
        judge(path, kind, alone=True, most_bytes=MOST_BYTES)
    except ImageError as error:
        return _refused(path, error)
    said = []
    for read in (read_image, read_content):
        try:
            read(path)
            said.append("read")
        except ImageError as error:
            said.append(_refused(path, error))
    return "read" if "read" in said else "refused"


def _refused(path: Path, error: ImageError) -> str:
    if path.name not in str(error) or str(path.parent) in str(error):
        raise AssertionError(f"a sentence that names no file, or its folder: {error}")
    return "refused"
