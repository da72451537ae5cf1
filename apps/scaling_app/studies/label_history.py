"""Labels that were replaced or deleted: kept beside the labels, the newest few of each image.

They lie in `labels/.history/<tag>/<image>/<number>-<when>.<kind>`, hidden from every listing. To take one back, copy it to
`labels/<tag>/<image>.<kind>`.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from scaling_app.imaging.image_files import stem_of
from scaling_app.storage import flush, make_folder, second_name
from scaling_app.studies.place import HISTORY

logger = logging.getLogger(__name__)


UNKEPT_TAG = "original"
"""The tag of predictions: another one can be made at any time."""


class LabelHistory:
    """The replaced labels of one studies folder.

    Args:
        folder: the folder of labels.
        kept: how many stay of each image and tag; the oldest go first.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self._folder, self._kept = folder / HISTORY, kept

    @contextmanager
    def keeping(
        self, tag: str, image_id: str, files: Sequence[Path], source: Path | None = None
    ) -> Iterator[None]:
        """Has labels in the history before they go; with an error in the context the first is as it was.

        Args:
            files: the first is the one that is replaced.
            source: what replaces it; a file of the same content needs no history.
        """
        goal, was, kept = files[0], _identity(files[0]), []
        try:
            for file in dict.fromkeys(files):
                if file.exists() and not same_content(file, source):
                    kept.append(self.keep(tag, image_id, file, file.name[len(stem_of(file)) :]))
            yield
        except BaseException:
            if _identity(goal) != was:
                logger.warning(
                    "A label of %s could not be stored for good; the one before is put back", image_id
                )
                if was is None:
                    goal.unlink(missing_ok=True)
                else:
                    kept.pop(0).replace(os.path.realpath(goal))
            for file in kept:
                file.unlink(missing_ok=True)
            raise
        if tag == UNKEPT_TAG:
            for file in kept:
                file.unlink(missing_ok=True)
        self.prune(tag, image_id)

    def keep(self, tag: str, image: str, file: Path, ending: str) -> Path:
        """Keeps the content of a label's file, which may then be replaced or removed.

        Returns:
            The file that holds it.

        Raises:
            OSError: it could not be kept; nothing has changed.
        """
        place = self._folder / tag / image
        make_folder(place)
        newest = self.of(tag, image)[:1]
        number = 1 + max((_number(file) for file in newest), default=0)  # a clock may be set back
        goal = place / f"{number:06d}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}{ending}"
        second_name(Path(os.path.realpath(file)), goal)
        try:
            flush(place)
        except OSError:
            goal.unlink(missing_ok=True)
            raise
        return goal

    def of(self, tag: str, image: str) -> list[Path]:
        """The replaced labels of an image, the newest first."""
        place = self._folder / tag / image
        if not place.is_dir():
            return []
        files = [file for file in place.iterdir() if not file.name.startswith(".")]
        return sorted(files, key=_number, reverse=True)

    def is_kept(self, tag: str, image: str, file: Path) -> bool:
        """Whether the history holds this very file, and not only its content: then `keep` put it there."""
        try:
            return any(kept.samefile(file) for kept in self.of(tag, image))
        except OSError:
            return False

    def prune(self, tag: str, image: str) -> None:
        """Deletes the oldest ones above the bound; what cannot be deleted stays for the next time."""
        for old in self.of(tag, image)[self._kept :]:
            with suppress(OSError):
                old.unlink()

    def forget(self, image: str) -> None:
        """Deletes all of an image, which goes itself."""
        if self._folder.is_dir():
            for tag in self._folder.iterdir():
                shutil.rmtree(tag / image, ignore_errors=True)


def _number(file: Path) -> int:
    number = file.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def same_content(file: Path, other: Path | None) -> bool:
    """Whether both files are there and hold the same."""
    return other is not None and file.exists() and filecmp.cmp(file, other, shallow=False)


def _identity(file: Path) -> tuple[int, int, int] | None:
    """What differs once another file has the name."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns
