"""Labels that have not reached the server yet, kept on this computer until they have.

One folder per label: the label file and `draft.json`, the JSON written last and by renaming, so that a
folder without it is a write that was interrupted. Readable by the owner alone: labels belong to patients.
"""

from __future__ import annotations

import hashlib
import json
import logging
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

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.server}\n{self.image_id}".encode()).hexdigest()[:24]


class DraftStore:
    """The folder of drafts. At most one per server and case: the newest wins."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def file_of(self, draft: Draft) -> Path:
        """Where the label of a draft lies, or will lie."""
        return self._folder / draft.key / draft.file_name

    def prepare(self, draft: Draft) -> Path:
        """A path to export the label to; `keep` makes it count."""
        place = self._folder / draft.key
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place / (_FRESH + draft.file_name)

    def keep(self, draft: Draft) -> None:
        """Make the label exported to `prepare`'s path the draft; before this call the older one stands."""
        place = self._folder / draft.key
        # the facts first: a full disk must not leave the new label under the older one's
        noted = self._write_note(draft)
        fresh = place / (_FRESH + draft.file_name)
        fresh.chmod(0o600)
        fresh.replace(place / draft.file_name)
        noted.replace(place / _DRAFT_FILE)

    def note(self, draft: Draft) -> None:
        """Write what is known of a draft whose label is already kept."""
        self._write_note(draft).replace(self._folder / draft.key / _DRAFT_FILE)

    def _write_note(self, draft: Draft) -> Path:
        partial = self._folder / draft.key / (_DRAFT_FILE + ".part")
        partial.write_text(json.dumps(asdict(draft), indent=1), encoding="utf-8")
        partial.chmod(0o600)
        return partial

    def mark(self, draft: Draft, **changes: Any) -> Draft:
        """The draft with changed facts, written down."""
        changed = replace(draft, **changes)
        self.note(changed)
        return changed

    def forget(self, draft: Draft) -> None:
        shutil.rmtree(str(self._folder / draft.key), ignore_errors=True)

    def content(self, draft: Draft) -> bytes:
        return self.file_of(draft).read_bytes()

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
