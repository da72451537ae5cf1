"""Images lent for predictions: MONAI Label's sessions, written whole, where a damaged one stops nobody.

MONAI Label writes the facts about a session in place. One that a kill or a full disk left without them answers 500, and
ends the look for sessions that have expired: from then on no lent image is ever deleted.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from fastapi import HTTPException
from monailabel.utils.sessions import SessionInfo, Sessions

from scaling_app.storage import copy_whole, write_whole_text

logger = logging.getLogger(__name__)

FACTS = "meta.info"


class LentImages(Sessions):
    """One folder for each lent image, with the image and the facts about it.

    Args:
        store_path: the folder around them.
        expiry: seconds that an image stays.
        most_bytes: of all of them; whoever may read may lend, and the disk is the labels'.
    """

    def __init__(self, store_path: str, expiry: int = 3600, most_bytes: float = math.inf) -> None:
        super().__init__(store_path, expiry)
        self._most_bytes = most_bytes

    def add_session(
        self, data_file: str, expiry: int = 0, uncompress: bool = False, session_id: str | None = None
    ) -> tuple[str, SessionInfo]:
        """Copies an image into a session of its own.

        Args:
            data_file: the image; it stays where it is.
            expiry: seconds until it may be deleted; at most, and without it, the server's.
            uncompress: not done here; an archive's members may lead anywhere.

        Raises:
            ValueError: `uncompress` was asked for.
            OSError: it could not be written; nothing of it is left.
            HTTPException: 429 while too much is lent already.
        """
        if uncompress:
            raise ValueError("Lend one image file at a time; archives are not unpacked.")
        if self._bytes_lent() + Path(data_file).stat().st_size > self._most_bytes:
            self.remove_expired()
            if self._bytes_lent() + Path(data_file).stat().st_size > self._most_bytes:
                sentence = "Too many images are lent at the moment; end a session, or send it again later."
                raise HTTPException(429, sentence, headers={"Retry-After": "60"})
        name = session_id or str(uuid.uuid4())
        image = Path(self.store_path) / name / Path(data_file).name
        now = int(time.time())
        info = SessionInfo()
        info.name, info.path, info.image, info.meta = name, str(image.parent), str(image), {}
        info.create_ts = info.last_access_ts = now
        info.expiry = min(expiry, self.expiry) if expiry > 0 else self.expiry
        try:
            copy_whole(data_file, image)
            self._write_meta_info(name, info)
        except BaseException:
            with suppress(OSError):
                self.remove_session(name)
            raise
        self[name] = info
        return name, info

    def _bytes_lent(self) -> int:
        sizes = 0
        for file in Path(self.store_path).glob("*/*"):
            with suppress(OSError):
                sizes += file.stat().st_size
        return sizes

    def get_session(
        self, session_id: str, update_ts: bool = True, fetch_cache: bool = True
    ) -> SessionInfo | None:
        """The facts about a session; None where there is none, or what there is cannot be read.

        Raises:
            OSError: that it was asked for could not be noted.
        """
        try:
            return super().get_session(session_id, update_ts, fetch_cache)
        except (ValueError, TypeError, AttributeError) as error:
            logger.warning("The session %s cannot be read: %s", session_id, error)
            return None

    def remove_expired(self) -> int:
        """Deletes the sessions whose time is over; one that cannot be read has the time of any other."""
        store, removed = Path(self.store_path), 0
        for folder in list(store.iterdir()) if store.is_dir() else ():
            if not folder.is_dir():
                continue
            info = self.get_session(folder.name, update_ts=False, fetch_cache=False)
            since = info.last_access_ts if info else _changed_at(folder)
            if since + (info.expiry if info and info.expiry > 0 else self.expiry) < time.time():
                try:
                    self.remove_session(folder.name)
                except OSError:  # the others go all the same
                    logger.exception("The session %s could not be deleted", folder.name)
                    continue
                removed += 1
        return removed

    def remove_session(self, session_id: str) -> None:
        """Deletes a lent image and the facts about it.

        Raises:
            OSError: not all of it could be deleted; MONAI Label's own says nothing then.
        """
        with suppress(FileNotFoundError):
            shutil.rmtree(Path(self.store_path) / session_id)
        self.pop(session_id, None)

    def _write_meta_info(self, session_id: str, session_info: SessionInfo) -> None:
        write_whole_text(Path(self.store_path) / session_id / FACTS, session_info.to_str())


def _changed_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # it was a session whose image is gone
        return time.time()
