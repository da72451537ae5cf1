"""What a backup says of itself: which files it holds, how large, with which content.

What is read here may come from anybody. A path is taken only where it is one that a backup has: no folder above, no hidden
file, nothing beside the labels, their index, the images, the ledger and the models.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from scaling_app.studies.place import HISTORY, INDEX, LABELS, PUBLISHED, STATS

FORMAT, VERSION = "scaling-app backup", 1

STUDIES, APP = "studies", "app"
"""The folders in a backup: of the studies, and of what lies beside the ledger."""

LEDGER = f"{APP}/ledger.sqlite"

MOST_BYTES = 64 << 20
"""Of a manifest: some 300,000 files."""

_BESIDE_LEDGER = re.compile(
    "|".join(map(re.escape, ("ledger.sqlite", PUBLISHED, STATS))) + r"|published-[\w-]+\.pt"
)
_LONGEST = 255


class BackupError(ValueError):
    """A file that is no backup, or one that cannot be used; one line for the person who named it."""


def _known_path(path: str) -> str:
    root, *parts = path.split("/")
    if root == APP and len(parts) == 1 and _BESIDE_LEDGER.fullmatch(parts[0]):
        return path
    hidden = parts[:2] == [LABELS, HISTORY]
    if hidden:
        fits = len(parts) == 5
    elif parts[:1] == [LABELS]:
        fits = len(parts) == 3
    else:
        fits = len(parts) == 1 and parts[0] != LABELS
    names = [*parts[:1], *parts[2:]] if hidden else parts
    if root != STUDIES or not fits or not all(map(_is_plain, names)):
        raise ValueError(f"{path[:120]!r} is no file of a backup")
    return path


def _is_plain(name: str) -> bool:
    """Whether it names a visible file, and nothing else, on every system."""
    return (
        0 < len(name.encode()) <= _LONGEST
        and not name.startswith(".")
        and not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
        and "\\" not in name
    )


class Entry(BaseModel):
    """One file: where it lies in the backup, its bytes, their SHA-256, when it was changed (ns since 1970)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: Annotated[str, AfterValidator(_known_path)]
    bytes: Annotated[int, Field(ge=0, lt=1 << 50)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    changed_ns: Annotated[int, Field(ge=0, lt=1 << 63)]


class Manifest(BaseModel):
    """What a backup holds.

    Attributes:
        made_at: ISO 8601, UTC.
        app_version: of scaling-app.
        ledger_schema: of the ledger.
        kind: whether the studies lie in a folder or on a DICOM server.
        images: whether the images are in here.
        files: in their order in the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["scaling-app backup"] = "scaling-app backup"
    version: Literal[1] = 1
    made_at: Annotated[str, Field(max_length=40)]
    app_version: Annotated[str, Field(max_length=40)]
    ledger_schema: int
    kind: Literal["folder", "dicom"]
    images: bool
    files: tuple[Entry, ...]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files)


def read_manifest(content: bytes, name: str) -> Manifest:
    """The manifest in these bytes.

    Args:
        name: the backup's, for what is said of it.

    Raises:
        BackupError: it is none, or names what no backup holds.
    """
    try:
        told = json.loads(content)
        known = isinstance(told, dict) and told.get("format") == FORMAT
    except (ValueError, RecursionError):
        known = False
    if not known:
        raise BackupError(f"{name} is no backup: its manifest cannot be read")
    if isinstance(told.get("version"), int) and told["version"] > VERSION:
        raise BackupError(f"{name} was made by a newer version; update scaling-app")
    try:
        manifest = Manifest.model_validate_json(content)
    except (ValidationError, UnicodeEncodeError) as error:
        found = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BackupError(f"{name} is no backup that can be used: {found}") from None
    _require_apart(manifest, name)
    return manifest


def _require_apart(manifest: Manifest, name: str) -> None:
    """Each path once, none below another, and the ledger among them."""
    paths = [entry.path for entry in manifest.files]
    known = set(paths)
    above = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    if len(known) != len(paths) or known & above:
        raise BackupError(f"{name} is no backup that can be used: it names a file twice")
    if LEDGER not in known:
        raise BackupError(f"{name} is no backup that can be used: there is no ledger in it")
    labels = any(path.startswith(f"{STUDIES}/") for path in known)
    if f"{STUDIES}/{INDEX}" not in known and labels:
        raise BackupError(f"{name} is no backup that can be used: the index of the labels is missing")
