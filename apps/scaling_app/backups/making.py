"""A backup is made: the state of one moment, also while a server serves.

The lock that all who save labels take is held while every label gets a second name in a hidden folder, and the ledger is
copied: what was acknowledged before is in, and a label is in whole or not at all. Then saving goes on, and the names are read
at leisure: a label that is replaced meanwhile keeps its old content there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from scaling_app import __version__
from scaling_app.backups.archive import digest_of, open_backup, write_archive
from scaling_app.backups.headway import Phase, Told, untold
from scaling_app.backups.manifest import APP, LEDGER, STUDIES, BackupError, Entry, Manifest
from scaling_app.ledger import Ledger, LedgerError, utc_now
from scaling_app.ledger.copying import copy_ledger
from scaling_app.ledger.notes import LAST_BACKUP
from scaling_app.ledger.processes import folder_name, is_left
from scaling_app.ledger.tables import SCHEMA_VERSION
from scaling_app.storage import make_folder, second_name, sweep_parts
from scaling_app.studies.place import HISTORY, INDEX, LABELS, LOCK, LOCK_SECONDS, PUBLISHED, STATS

_STAGE = ".backup-"
_ATTEMPTS = 5
_ABANDONED_SECONDS = 3600.0
"""A backup that was killed leaves half a file, as large as it had become; one at work writes all the time."""


def back_up(
    goal: Path,
    *,
    ledger: Path,
    studies: Path,
    images: bool = False,
    remote: bool = False,
    told: Told = untold,
) -> Manifest:
    """Writes labels with their history, their index, ledger and models into one file, whole.

    Not in it: images unless asked for, prepared cases, checkpoints of unfinished trainings. Of a DICOM server the images
    are never in it; second readings lie nowhere but here.

    Args:
        goal: the file; an older backup there is replaced.
        studies: the studies folder.
        remote: whether the studies are on a DICOM server, and the folder holds copies of what is there.
        told: of how far it is.

    Raises:
        BackupError: `goal` is something else, a file cannot be kept under its name, or the labels are held too long.
        LedgerError: there is no ledger, or none that can be copied.
        OSError: something cannot be read or written; `goal` is as it was.
    """
    if not ledger.is_file():
        raise LedgerError(f"there is no ledger at {ledger}: name the same places as for the server")
    _require_no_other_file(goal)
    sweep_parts(goal.absolute().parent, _ABANDONED_SECONDS)
    with ExitStack() as stages:
        beside = stages.enter_context(_stage(ledger.parent))
        if remote:
            make_folder(studies)
        images = images and not remote
        stage = stages.enter_context(_stage(studies))
        with _held(studies):
            files = _labels(studies, stage, images=images, told=told)
            schema = copy_ledger(ledger, beside / "ledger.sqlite")
        files |= {LEDGER: beside / "ledger.sqlite", **_models(ledger.parent, beside)}
        phase = Phase(told, "checksums", sum(file.stat().st_size for file in files.values()))
        manifest = Manifest(
            made_at=utc_now().isoformat(timespec="seconds"),
            app_version=__version__,
            ledger_schema=schema,
            kind="dicom" if remote else "folder",
            images=images,
            files=tuple(_entry(path, file, phase) for path, file in sorted(files.items())),
        )
        try:
            _require_room(goal, manifest)
            write_archive(goal, manifest, files, told)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}; no backup was written", str(goal)) from error
    if schema == SCHEMA_VERSION:  # an older one is not migrated by the way: its server may be serving
        with Ledger(ledger, create=False) as book:
            book.set_setting(LAST_BACKUP, {"at": manifest.made_at, "bytes": goal.stat().st_size})
    return manifest


def _require_no_other_file(goal: Path) -> None:
    """Only a backup may be replaced by one."""
    if not os.path.lexists(goal):
        return
    try:
        with open_backup(goal):
            return
    except (BackupError, OSError):
        raise BackupError(f"{goal} is there already, and is no whole backup: name a new file") from None


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """A hidden folder for second names, gone afterwards; those that killed processes left are removed."""
    for left in folder.glob(f"{_STAGE}*"):
        if is_left(left.name.removeprefix(_STAGE)):
            shutil.rmtree(left, ignore_errors=True)
    stage = folder / f"{_STAGE}{folder_name()}"
    stage.mkdir(mode=0o700)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _held(studies: Path) -> Iterator[None]:
    try:
        with FileLock(str(studies / LOCK), timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise BackupError(
            f"the labels in {studies} are being changed all the time; back up again later"
        ) from None


def _labels(studies: Path, stage: Path, *, images: bool, told: Told) -> dict[str, Path]:
    """Second names of the labels, their history and index, and of the images where they are asked for."""
    index = studies / INDEX
    found = [index] if index.is_file() else []
    for folder, _, names in os.walk(studies / LABELS):
        depth = len(Path(folder).relative_to(studies).parts)
        if depth == (4 if Path(folder).is_relative_to(studies / LABELS / HISTORY) else 2):
            found += [Path(folder, name) for name in names if not name.startswith(".")]
    if images and index.is_file():
        for image, facts in json.loads(index.read_text(encoding="utf-8"))["objects"].items():
            found.append(studies / f"{image}{facts['image']['ext']}")
    files = {}
    found = [file for file in found if file.is_file()]
    phase = Phase(told, "gathering", len(found), in_bytes=False)
    for number, file in enumerate(found):
        path = f"{STUDIES}/{file.relative_to(studies).as_posix()}"
        files[path] = stage / str(number)
        second_name(Path(os.path.realpath(file)), files[path])
        phase.more(1)
    return files


def _models(folder: Path, stage: Path) -> dict[str, Path]:
    """Second names of the published model and what is said of it; a model that is replaced meanwhile is looked for again."""
    files = {}
    for name in (PUBLISHED, STATS):
        if (folder / name).is_file():
            files[f"{APP}/{name}"] = stage / name
            second_name(folder / name, stage / name)
    if f"{APP}/{PUBLISHED}" not in files:
        return files
    for _ in range(_ATTEMPTS):
        name = Path(json.loads((stage / PUBLISHED).read_text(encoding="utf-8"))["model_file"]).name
        try:
            second_name(folder / name, stage / name)
        except FileNotFoundError:
            (stage / PUBLISHED).unlink()
            second_name(folder / PUBLISHED, stage / PUBLISHED)
        else:
            return {**files, f"{APP}/{name}": stage / name}
    raise BackupError(f"the model that {folder / PUBLISHED} names is not there; train again, then back up")


def _entry(path: str, file: Path, phase: Phase) -> Entry:
    try:
        known = file.stat()
        return Entry(
            path=path,
            bytes=known.st_size,
            sha256=digest_of(file, phase),
            changed_ns=max(known.st_mtime_ns, 0),
        )
    except (ValidationError, UnicodeEncodeError):
        raise BackupError(f"{path!r} has a name that no backup can hold; rename it") from None


def _require_room(goal: Path, manifest: Manifest) -> None:
    """Says so before a long copy that there is no room for it."""
    make_folder(goal.absolute().parent)
    free = shutil.disk_usage(goal.absolute().parent).free
    if free < manifest.total_bytes:
        needed = f"{manifest.total_bytes / 2**20:.0f} MiB are needed, {free / 2**20:.0f} are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({needed})")
