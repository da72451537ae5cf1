"""A backup is brought back: all of it or nothing, whatever ends the process.

Everything is unpacked into hidden folders and judged there, and nothing in use is touched. Then a list of what goes where is
written, in one step: from there on the restore is decided. The files get their names, the ledger last, and the list is
deleted. Whoever is killed before the list is written has changed nothing; after it, the next restore or the next start of a
server goes on where it was. Each of its steps may be done twice.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from scaling_app.backups.archive import OpenBackup, open_backup
from scaling_app.backups.headway import Counted, Phase, Told, untold
from scaling_app.backups.holding import restoring
from scaling_app.backups.manifest import APP, LEDGER, STUDIES, BackupError, Manifest
from scaling_app.ledger import Ledger
from scaling_app.ledger.copying import require_sound
from scaling_app.storage import copy_whole, flush, make_folder, open_as_folder, write_whole_text

logger = logging.getLogger(__name__)

_STAGE, _LIST = ".restore", "list.json"
_NOTE = "interrupted: brought back from a backup"
_SPARE = 64 << 20
"""Bytes that stay free on a disk that is restored to."""


def restore(
    file: Path, *, ledger: Path, studies: Path, remote: bool = False, told: Told = untold
) -> Manifest:
    """Brings a backup back into folders that hold none of its files.

    Args:
        file: the backup.
        ledger: where the ledger goes; the models lie beside it.
        studies: where labels (and images, if it has them) go.
        remote: whether the studies are on a DICOM server, and the folder is for copies of what is there.
        told: of how far it is.

    Returns:
        What was brought back.

    Raises:
        BackupError: it is no backup, damaged, not whole, or of the other kind of studies; or a file is there already.
        FolderHeldError: a server, or another restore, holds the folder.
        FileNotFoundError: there is no such file.
        LedgerError: its ledger is damaged, or of a newer version.
        OSError: something cannot be written. In every case nothing has changed.
    """
    if remote:
        make_folder(studies)
    if not studies.is_dir():
        raise FileNotFoundError(f"the studies folder does not exist: {studies}")
    ledger = ledger.resolve()
    with open_backup(file) as backup, restoring(ledger.parent):
        _go_on(ledger, studies, told)
        _require_same_kind(backup.manifest, file, remote=remote)
        goals = _goals(backup.manifest, ledger, studies)
        _require_nothing_there(goals.values())
        _require_room(backup.manifest, ledger, studies)
        stages = _stages(ledger, studies)
        try:
            for stage in stages.values():
                make_folder(stage)
                stage.chmod(0o700)
            _unpack(backup, stages, told)
            _at_rest(stages[APP] / "ledger.sqlite")
            _require_nothing_there(goals.values())
        except BaseException:
            for stage in stages.values():
                shutil.rmtree(stage, ignore_errors=True)
            raise
        paths = [path for path in goals if path != LEDGER]
        note = {
            "ledger": str(ledger),
            "studies": str(studies.resolve()),
            "paths": paths,
        }
        write_whole_text(stages[APP] / _LIST, json.dumps(note))
        _finish(ledger, studies, paths, told)
        return backup.manifest


def finish_restore(ledger: Path, studies: Path) -> None:
    """Goes on with a restore that was interrupted after it was decided, and clears away one that was not.

    To be called before the folders are used.

    Raises:
        FolderHeldError: it is still at work.
        BackupError: it was one into another studies folder.
        OSError: a file cannot be put in place.
    """
    ledger = ledger.resolve()
    if (ledger.parent / _STAGE).is_dir() or (studies / _STAGE).is_dir():
        with restoring(ledger.parent):
            _go_on(ledger, studies, untold)


def _go_on(ledger: Path, studies: Path, told: Told) -> None:
    stages = _stages(ledger, studies)
    try:
        note = json.loads((stages[APP] / _LIST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        for stage in stages.values():
            shutil.rmtree(stage, ignore_errors=True)
        return
    if (note["ledger"], note["studies"]) != (str(ledger), str(studies.resolve())):
        raise BackupError(
            f"a restore into {note['studies']} was interrupted: name that one, with the ledger "
            f"{note['ledger']}, to go on with it"
        )
    logger.warning("A restore that was interrupted goes on")
    _finish(ledger, studies, note["paths"], told)


def _finish(ledger: Path, studies: Path, paths: Sequence[str], told: Told) -> None:
    """Gives the files their names, the ledger last."""
    stages = _stages(ledger, studies)
    folders: set[Path] = set()
    phase = Phase(told, "putting in place", len(paths) + 1, in_bytes=False)
    for path in [*paths, LEDGER]:
        goal = _goal(path, ledger, studies)
        if path == LEDGER:
            for folder in folders:
                flush(folder)
        staged = _staged(path, stages)
        make_folder(goal.parent)
        if staged.exists():
            _move(staged, goal)
        open_as_folder(goal)
        folders.add(goal.parent)
        phase.more(1)
    flush(ledger.parent)
    shutil.rmtree(stages[STUDIES], ignore_errors=True)
    with suppress(FileNotFoundError):
        (stages[APP] / _LIST).unlink()
    shutil.rmtree(stages[APP], ignore_errors=True)


def _move(staged: Path, goal: Path) -> None:
    try:
        staged.replace(goal)
    except OSError as error:
        if error.errno != errno.EXDEV:  # a folder of labels that is a link to another disk
            raise
        copy_whole(staged, goal)
        changed = staged.stat().st_mtime_ns
        os.utime(goal, ns=(changed, changed))
        staged.unlink()


def _stages(ledger: Path, studies: Path) -> dict[str, Path]:
    return {APP: ledger.parent / _STAGE, STUDIES: studies / _STAGE}


def _staged(path: str, stages: Mapping[str, Path]) -> Path:
    root, _, rest = path.partition("/")
    return stages[root] / "files" / rest


def _goal(path: str, ledger: Path, studies: Path) -> Path:
    root, _, rest = path.partition("/")
    if path == LEDGER:
        return ledger
    if root == APP:
        return ledger.parent / rest
    return studies / rest


def _goals(manifest: Manifest, ledger: Path, studies: Path) -> dict[str, Path]:
    return {entry.path: _goal(entry.path, ledger, studies) for entry in manifest.files}


def _require_same_kind(manifest: Manifest, file: Path, *, remote: bool) -> None:
    if (manifest.kind == "dicom") != remote:
        wanted = "on a DICOM server" if manifest.kind == "dicom" else "in a folder"
        raise BackupError(f"{file.name} is of studies {wanted}: name such with --studies")


def _require_nothing_there(goals: Iterable[Path]) -> None:
    """Nothing is overwritten, and where a folder has to be there is no file."""
    for goal in goals:
        above = next((folder for folder in goal.parents if os.path.lexists(folder)), goal.parent)
        if not above.is_dir():
            raise BackupError(f"{above} is no folder, and a restore has to put files into it")
        if os.path.lexists(goal):
            raise BackupError(
                f"{goal} is there already: a restore replaces nothing; name folders without labels and ledger"
            )


def _require_room(manifest: Manifest, ledger: Path, studies: Path) -> None:
    needed: dict[int, tuple[Path, int]] = {}
    for root, folder in ((APP, ledger.parent), (STUDIES, studies)):
        size = sum(entry.bytes for entry in manifest.files if entry.path.startswith(f"{root}/"))
        disk = folder.stat().st_dev
        needed[disk] = (folder, size + needed.get(disk, (folder, 0))[1])
    for folder, size in needed.values():
        free = shutil.disk_usage(folder).free
        if free < size + _SPARE:
            sentence = (
                f"{os.strerror(errno.ENOSPC)}: {size / 2**20:.0f} MiB are needed, {free / 2**20:.0f} are free"
            )
            raise OSError(errno.ENOSPC, f"{sentence}; nothing was restored", str(folder))


def _unpack(backup: OpenBackup, stages: Mapping[str, Path], told: Told) -> None:
    """Writes every file under its name in the hidden folders, with the time when it was changed, and on the disk."""
    folders = set()
    phase = Phase(told, "unpacking", backup.manifest.total_bytes)
    for entry, copy in backup.contents():
        staged = _staged(entry.path, stages)
        staged.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("xb") as sink:
            copy(Counted(sink, phase))  # type: ignore[arg-type]
        os.utime(staged, ns=(entry.changed_ns, entry.changed_ns))
        flush(staged)
        folders.add(staged.parent)
    for folder in folders:
        flush(folder)


def _at_rest(ledger: Path) -> None:
    """Judges the ledger, brings it up to date, and closes what processes of another place had begun."""
    ledger = ledger.parent / "files" / ledger.name
    require_sound(ledger)
    with Ledger(ledger, create=False) as book:
        book.close_everything(_NOTE)
    with closing(sqlite3.connect(ledger)) as whole:  # one file, without a log beside it
        whole.execute("PRAGMA journal_mode=DELETE")
    flush(ledger)
