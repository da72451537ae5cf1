"""What tells whether two files hold the same."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

_PIECE = 1 << 20


def sha256_of(content: BinaryIO) -> str:
    """SHA-256 of what is left in an open file, as hexadecimal digits."""
    digest = hashlib.sha256()
    while piece := content.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
