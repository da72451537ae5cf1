"""What clients send, checked: parameters, names, files. A mistake becomes a 4xx that says what is wrong."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException, UploadFile

from scaling_app.imaging.image_files import readable_kinds, suffix_of
from scaling_app.ledger import LedgerError
from scaling_app.studies.labels.foreign_files import NoParserError
from scaling_app.studies.studies import Studies
from scaling_app.web.bodies import require_shallow
from scaling_app.web.storage_answers import storage_refusal
from scaling_app.web.turnstile import Turnstile, busy

logger = logging.getLogger(__name__)

UPLOADS = Turnstile(2, waiting=10)
"""Uploads that are read and stored at once."""

PREDICTIONS = Turnstile(2, waiting=10)
"""Predictions at once: one computes while the next is read."""

ARCHIVES = Turnstile(1, waiting=2)
"""Archives of the whole data set that are packed at once."""

_SAID_BY_SERVER = {"blind", "id", "message", "name", "path", "strategy", "ts"}
"""In the answer with the next case, where a client's words would stand in their place."""

_PLAIN_NAME = re.compile(r"\w[\w .+,()=@#-]*(?<! )")
_LONGEST_NAME = 200
"""Bytes: file systems end at 255, and the kind of the file comes after it."""


def read_params(raw: str) -> dict[str, Any]:
    """The JSON object that MONAI Label's clients send in the form field `params`.

    Raises:
        HTTPException: 422 when it is none.
    """
    require_shallow(raw.encode(errors="replace"))
    try:
        params = json.loads(raw) if raw else {}
    except ValueError as error:
        raise HTTPException(422, f"params is no JSON: {error}") from error
    if not isinstance(params, dict):
        raise HTTPException(422, "params must be a JSON object")
    require_storable(params)
    return params


def read_image_facts(raw: str) -> dict[str, Any]:
    """What a client says about an image, as `read_params`; what the server itself says of one is not the client's.

    Raises:
        HTTPException: 422.
    """
    facts = read_params(raw)
    if taken := sorted(_SAID_BY_SERVER & facts.keys()):
        raise HTTPException(
            422, f"{', '.join(taken)}: the server says this itself of an image; leave it out."
        )
    return facts


def require_storable(params: object) -> None:
    """Refuses what neither the ledger nor MONAI Label's index of the studies could be read with again.

    Half a character in that index, and no server and no training starts on these studies any more.

    Raises:
        HTTPException: 422.
    """
    try:
        json.dumps(params, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise HTTPException(422, f"params is no JSON that can be stored: {error}") from error


def require_plain_name(what: str, name: str) -> None:
    """Refuses what cannot be a file's name in the datastore, or leads out of it.

    Letters of any script and spaces are allowed, as real data sets have them.

    Raises:
        HTTPException: 422.
    """
    if not _PLAIN_NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        raise HTTPException(
            422,
            f"{name[:80]!r} cannot be the name of the {what}: use letters, digits, spaces and "
            f"_ . - + , ( ) = @ #, a letter, digit or _ first, and at most {_LONGEST_NAME} bytes.",
        )


def require_image(studies: Studies, image: str) -> None:
    """Refuses the name of an image that there is not.

    Raises:
        HTTPException: 404.
    """
    if not image or not studies.has_image(image):
        raise HTTPException(404, f"There is no image {image!r} in the datastore.")


def require_name(kind: str, name: str, names: Sequence[str]) -> None:
    """Refuses a name that is none of those known.

    Raises:
        HTTPException: 404.
    """
    if name not in names:
        raise HTTPException(404, f"There is no {kind} {name!r}; there are: {', '.join(names)}.")


@contextmanager
def spooled(upload: UploadFile, what: str, *, raw_voxels: bool = False) -> Iterator[Path]:
    """The upload as a file with its own suffixes, gone afterwards.

    Args:
        what: `label` or `image`. It names the file, and so it stands in the sentence where the file is refused.
        raw_voxels: whether `.bin`, the raw voxels of the OHIF viewer, will do.

    Raises:
        HTTPException: 422 for a kind of file that is not read, 503 while many others are being taken.
    """
    suffix = suffix_of(upload.filename or "") or ".nii.gz"
    if not (suffix in readable_kinds() or (raw_voxels and suffix == ".bin")):
        raise HTTPException(
            422, f"Files of the kind {suffix!r} are not read; known are {', '.join(readable_kinds())}."
        )
    with UPLOADS.passed(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{what}{suffix}"
        with path.open("wb") as out:
            while piece := upload.file.read(1 << 20):
                out.write(piece)
        yield path


@contextmanager
def refusing() -> Iterator[None]:
    """Turns a mistake in the input into 422 with its sentence, a ledger that cannot be written into 507 or 503."""
    try:
        yield
    except LedgerError as error:
        logger.exception("The ledger could not be written")
        unable = f"The server could not write this down; send it again later: {error}"
        raise storage_refusal(error) or HTTPException(503, unable) from error
    except NoParserError as error:
        logger.exception("A file could not be read")
        raise busy() from error
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
