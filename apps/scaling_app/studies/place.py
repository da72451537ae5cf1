"""Where studies are: a folder that can be written, or a server."""

from __future__ import annotations

import errno
from pathlib import Path
from urllib.parse import urlparse

from scaling_app.storage import require_writable

INDEX, LOCK, LABELS = "datastore_v2.json", ".lock", "labels"
"""In a studies folder, as MONAI Label names them: the index, the lock that all who change it take, the folder of labels."""

HISTORY = ".history"
"""In the folder of labels: those that were replaced."""

PUBLISHED, STATS = "published.json", "train_stats.json"
"""Beside the ledger: which model is in use, and how the last trainings went."""

LOCK_SECONDS = 30.0
"""How long another process may hold the index."""


def is_url(studies: str) -> bool:
    """Whether the studies are a server's, and no folder."""
    return urlparse(studies).scheme in ("http", "https")


def copies_folder(ledger: Path, cache: str) -> Path:
    """Where copies of what a DICOM server holds lie, and the readings that lie nowhere else.

    Args:
        cache: MONAI Label's setting, a folder for those of all ledgers; empty: beside the ledger.
    """
    home = ledger.parent
    return Path(cache.strip()) / home.name if cache.strip() else home / "dicom"


def require_writable_studies(studies: Path) -> None:
    """Refuses a folder that labels cannot be written into; a missing one is made.

    Raises:
        ValueError: one line for the person who named it.
    """
    try:
        studies.mkdir(parents=True, exist_ok=True)
        require_writable(studies)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "free some room" if full else "mount it for writing, or name a copy of the images"
        raise ValueError(
            f"the studies folder {studies} cannot be written ({error.strerror}): labels and their index are kept in "
            f"it; {cure}"
        ) from None
