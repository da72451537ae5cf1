"""The folder of prepared cases, which keeps to its share of the disk.

An entry is some arrays (`.npy`) and an index (`.json`), named by its key. They are written beside their final
names and moved there, the index last, so that a kill leaves either a whole entry or none. The time of the index
is that of the last use; the entries used longest ago go first. Any of them may go at any time, with the whole folder:
who has mapped one keeps it, and who lacks one makes it anew.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.storage import sweep_parts, whole_file, write_whole_text

logger = logging.getLogger(__name__)

MOST_BYTES = 50 * 2**30
"""Five folds of 48 CT cases, about 100 MB each, twice over."""
IDLE_SECONDS = 6 * 3600
"""So long unused, an entry is nobody's."""
_LOOK_EVERY = 2**30
_KEY = re.compile(r"[0-9a-f]{32}")


def bound(free: int, taken: int = 0) -> int:
    """Bytes that a folder of prepared cases may take: half of what is free on its disk without them, or `MOST_BYTES`."""
    return min(MOST_BYTES, (free + taken) // 2)


class CaseCache:
    """The entries of one folder.

    Args:
        folder: made when the first entry is put into it.
        shared: whether other processes, on whatever machine, use it at the same time; then only what is long unused
            is deleted.
    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.folder, self.shared = folder, shared
        self._written = _LOOK_EVERY

    def get(self, key: str, kind: str, *, mapped: bool) -> NDArray[Any] | None:
        """An array of an entry, which counts as used now; None where there is no such entry any more, or a damaged one."""
        try:
            with suppress(PermissionError):  # another user's
                os.utime(self._index(key))
            return np.load(self._array(key, kind), mmap_mode="c" if mapped else None)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError) as error:  # the next `put` replaces it
            logger.warning("the prepared case %s is made anew: its %s cannot be read (%s)", key, kind, error)
            return None

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, object]) -> None:
        """Keeps an entry; now and then this makes room first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._written >= _LOOK_EVERY:
            self._make_room()
            self._written = 0
        for kind, array in arrays.items():
            with whole_file(self._array(key, kind)) as part:
                np.save(part, array)
            self._written += array.nbytes
        write_whole_text(self._index(key), json.dumps(about))

    def _index(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _array(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}.{kind}.npy"

    def _make_room(self) -> None:
        """Deletes entries, and what kills left of some, until the others are within the bound."""
        sweep_parts(self.folder, IDLE_SECONDS)
        entries: dict[str, dict[Path, os.stat_result]] = defaultdict(dict)
        for file in self.folder.iterdir():
            key = file.name.partition(".")[0]
            if _KEY.fullmatch(key):
                with suppress(FileNotFoundError):
                    entries[key][file] = file.stat()
        sizes = {key: sum(stat.st_size for stat in files.values()) for key, files in entries.items()}
        used = {key: max(stat.st_mtime for stat in files.values()) for key, files in entries.items()}
        taken = sum(sizes.values())
        excess = taken - bound(shutil.disk_usage(self.folder).free, taken)
        for key in sorted(entries, key=used.__getitem__):
            if excess <= 0 or (self.shared and time.time() - used[key] < IDLE_SECONDS):
                return
            # Windows deletes nothing that is mapped: the image, which comes first
            with suppress(PermissionError):
                for file in sorted(entries[key]):
                    file.unlink(missing_ok=True)
            excess -= sizes[key]
            logger.debug("deleted the prepared case %s", key)
