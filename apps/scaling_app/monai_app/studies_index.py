"""The index file of a studies folder: which images and labels MONAI Label knows, and what was sent with them.

It has MONAI Label's name and form. Every process reads it anew before a change, under a lock that all take, and writes
it whole.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import compress
from operator import is_not
from pathlib import Path

from filelock import FileLock
from monailabel.datastore.local import ImageLabelModel, LocalDatastoreModel

from scaling_app.storage import flush, whole_file
from scaling_app.studies.place import INDEX, LOCK, LOCK_SECONDS

logger = logging.getLogger(__name__)

_DAMAGED = f"{INDEX}.damaged-"

MOST_FACTS_BYTES = 64 << 10
"""Of what is kept about one image, or one label of it, as JSON: the whole index is read at every change."""


class StudiesIndex:
    """The index file of one folder.

    Attributes:
        lock: to be held by whoever reads and changes it, or changes the files that it tells of.
        was_rebuilt: whether it was missing or damaged, and nothing was known that could take its place.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / INDEX
        self.lock = FileLock(str(folder / LOCK), timeout=LOCK_SECONDS)
        self.was_rebuilt = False
        self._lined: LocalDatastoreModel | None = None
        self._lines: dict[str, str] = {}
        self._last: tuple[tuple[int, int, int], LocalDatastoreModel] | None = None

    def read(self, known: LocalDatastoreModel) -> LocalDatastoreModel:
        """The index as any process wrote it last; one that cannot be read is set aside. The lock is held.

        It is parsed where its file is another than the one this process read or wrote last. Its entries are those in
        use: whoever changes one puts a copy of its own in its place first (`own_entry`).

        Args:
            known: what takes the place of one that is missing or damaged; it is copied.

        Raises:
            OSError: the file cannot be read or set aside.
        """
        stamp = self._stamp()
        if self._last is None or self._last[0] != stamp:
            index = self._parsed(known)
            self._last = None if stamp is None else (stamp, index)
        else:
            index = self._last[1]
        return index.model_copy(update={"objects": dict(index.objects)})

    def is_as_known(self) -> bool:
        """Whether the file is still the one that this process read or wrote last."""
        return self._last is not None and self._last[0] == self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        """Another for each file that was put in the place of the one before."""
        try:
            file = self.file.stat()
        except OSError:
            return None
        return file.st_ino, file.st_mtime_ns, file.st_size

    def _parsed(self, known: LocalDatastoreModel) -> LocalDatastoreModel:
        try:
            index = LocalDatastoreModel.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            index = self._anew(known)
        except ValueError as error:
            aside = self.file.with_name(f"{_DAMAGED}{datetime.now(timezone.utc):%Y%m%dT%H%M%S}")
            logger.warning("%s cannot be read and is set aside as %s: %s", self.file, aside.name, error)
            self.file.replace(aside)
            flush(self.file.parent)
            index = self._anew(known)
        index.base_path = known.base_path
        return index

    def _anew(self, known: LocalDatastoreModel) -> LocalDatastoreModel:
        self.was_rebuilt = not known.objects
        return known.model_copy(deep=True)

    @contextmanager
    def prepared(self, index: LocalDatastoreModel) -> Iterator[None]:
        """Another index, written beside the one in use; it is flushed and takes the place when the context ends well.

        Raises:
            OSError: it cannot be written; the one in use stays.
        """
        with whole_file(self.file) as part:
            part.write_text(self._text(index), encoding="utf-8")
            yield
        stamp = self._stamp()
        self._last = None if stamp is None else (stamp, index)

    def _text(self, index: LocalDatastoreModel) -> str:
        """The index in MONAI Label's form, a line for each image; that of an entry that stays is kept."""
        changed = changed_entries(self._lined, index)
        if self._lined is None or changed is None:
            self._lines = {image: _line(image, entry) for image, entry in index.objects.items()}
        else:
            self._lines |= {image: _line(image, index.objects[image]) for image in changed}
        self._lined = index
        head = index.model_dump_json(exclude={"base_path", "objects"}, fallback=str).removesuffix("}")
        body = ",\n".join(self._lines.values())
        return f'{head},\n"objects": {{\n{body}\n}}}}\n'

    def write(self, index: LocalDatastoreModel) -> None:
        """Puts another index in the place of the one in use.

        Raises:
            OSError: it cannot be written; the one in use stays.
        """
        with self.prepared(index):
            pass

    def set_aside(self) -> list[str]:
        """The names of indices that could not be read."""
        return sorted(file.name for file in self.file.parent.glob(f"{_DAMAGED}*"))


def changed_entries(before: LocalDatastoreModel | None, index: LocalDatastoreModel) -> list[str] | None:
    """The images whose entry in an index is another than before; None where there are other images.

    Of twenty thousand in a millisecond: no loop of Python's goes through them.
    """
    if before is None or list(before.objects) != list(index.objects):
        return None
    return list(compress(index.objects, map(is_not, before.objects.values(), index.objects.values())))


def _line(image: str, entry: ImageLabelModel) -> str:
    return f"{json.dumps(image)}: {entry.model_dump_json(fallback=str)}"


def own_entry(index: LocalDatastoreModel, image_id: str) -> ImageLabelModel | None:
    """The entry of an image, which only this index has from now on; None where there is none."""
    if (entry := index.objects.get(image_id)) is None:
        return None
    index.objects[image_id] = own = entry.model_copy(deep=True)
    return own


def joined(facts: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """What is kept about an image or a label, with more of it.

    Raises:
        ValueError: together it is too much.
    """
    together = {**facts, **more}
    if (length := len(json.dumps(together, default=str))) > MOST_FACTS_BYTES:
        raise ValueError(
            f"What is kept about an image or a label would have {length:,} bytes; at most {MOST_FACTS_BYTES:,} are kept: "
            "send less"
        )
    return together
