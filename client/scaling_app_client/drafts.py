"""Labels that have not reached the server yet, kept on this computer until they have.

One folder per case: `draft.json` holds the facts and the digest of the label that they belong to. Each label lies in
a folder below, called after its digest. The facts are written last and by renaming: until then the older label counts
with the older facts. Readable by the owner alone: labels belong to patients.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_FRESH = "new-"
_DRAFT_FILE = "draft.json"


@dataclass(frozen=True)
class Draft:
    """One label on its way.

    Attributes:
        saved_at: Seconds since 1970.
        label_sent: The label arrived, only the minutes did not.
        case_gone: The server said that it no longer has this case.
        label_sha256: Of the kept label, in hexadecimal; empty before it is kept, and where an earlier version kept it.
    """

    server: str
    image_id: str
    file_name: str
    label_info: list[dict[str, Any]]
    minutes: float | None
    blind: bool | None
    saved_at: float = field(default_factory=time.time)
    label_sent: bool = False
    case_gone: bool = False
    label_sha256: str = ""

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.server}\n{self.image_id}".encode()).hexdigest()[:24]


class DraftStore:
    """The folder of drafts. At most one per server and case: the newest wins."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def file_of(self, draft: Draft) -> Path:
        """Where the label of a draft lies, or will lie."""
        return self._folder / draft.key / draft.label_sha256[:24] / draft.file_name

    def prepare(self, draft: Draft) -> Path:
        """A path to export the label to; `keep` makes it count."""
        place = self._folder / draft.key
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place / (_FRESH + draft.file_name)

    def keep(self, draft: Draft) -> Draft:
        """Make the label exported to `prepare`'s path the draft, in one step: before it the older one stands.

        Returns:
            The draft with the digest of its label.

        Raises:
            OSError: The disk took not all of it; the older draft stands.
        """
        fresh = self.prepare(draft)
        kept = replace(draft, label_sha256=_sha256(fresh.read_bytes()))
        noted = self._write_note(kept)  # a full disk is met here, with nothing changed yet
        fresh.chmod(0o600)
        _flush(fresh)
        label = self.file_of(kept)
        label.parent.mkdir(mode=0o700, exist_ok=True)
        fresh.replace(label)
        noted.replace(self._note_of(kept))
        self._clear_beside(kept)
        return kept

    def note(self, draft: Draft) -> None:
        """Write what is known of a draft whose label is already kept."""
        self._write_note(draft).replace(self._note_of(draft))

    def _note_of(self, draft: Draft) -> Path:
        return self._folder / draft.key / _DRAFT_FILE

    def _write_note(self, draft: Draft) -> Path:
        partial = self._folder / draft.key / (_DRAFT_FILE + ".part")
        partial.write_text(json.dumps(asdict(draft), indent=1), encoding="utf-8")
        partial.chmod(0o600)
        _flush(partial)
        return partial

    def _clear_beside(self, draft: Draft) -> None:
        """Take away what this label replaced; what cannot be deleted counts for nothing, and goes next time."""
        stays = (self._note_of(draft), self.file_of(draft).parent)
        with contextlib.suppress(OSError):
            for path in [path for path in (self._folder / draft.key).iterdir() if path not in stays]:
                if path.is_dir():
                    shutil.rmtree(str(path), ignore_errors=True)
                else:
                    path.unlink()

    def mark(self, draft: Draft, **changes: Any) -> Draft:
        """The draft with changed facts, written down."""
        changed = replace(draft, **changes)
        self.note(changed)
        return changed

    def forget(self, draft: Draft) -> None:
        shutil.rmtree(str(self._folder / draft.key), ignore_errors=True)

    def content(self, draft: Draft) -> bytes:
        """The label as it was kept.

        Raises:
            OSError: It is not there, or the disk gives another one than it took.
        """
        content = self.file_of(draft).read_bytes()
        if draft.label_sha256 not in ("", _sha256(content)):
            raise OSError(f"{self.file_of(draft)} is not the label that was kept: it was damaged on the disk")
        return content

    def all(self, server: str | None = None) -> list[Draft]:
        """Every complete draft, oldest first; of one server if named."""
        found = []
        for path in sorted(self._folder.glob("*/" + _DRAFT_FILE)):
            try:
                draft = Draft(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                logger.exception("Cannot read the unsent label in %s", path.parent)
                continue
            if self.file_of(draft).exists() and server in (None, draft.server):
                found.append(draft)
        return sorted(found, key=lambda draft: draft.saved_at)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _flush(path: Path) -> None:
    """Onto the disk, so that a computer that loses power does not find the facts of a label that is not there."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
