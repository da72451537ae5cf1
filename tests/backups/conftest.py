"""A session without a server, its backup, and an empty place to bring it back to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaling_app.backups.making import back_up
from scaling_app.backups.manifest import Manifest
from scaling_app.ledger import Run, utc_now
from tests.desk import Desk, desk_of

__all__ = ["desk_of"]


@dataclass
class Place:
    """Folders that a backup comes back to."""

    ledger: Path
    studies: Path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks, by its path."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith("lock"))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Place:
    """An empty studies folder, and a place for the ledger."""
    (tmp_path / "other").mkdir()
    return Place(tmp_path / "other-app" / "model" / "x" / "ledger.sqlite", tmp_path / "other")


@pytest.fixture
def desk(desk_of: Callable[..., Desk]) -> Desk:
    """Four labels, one of them replaced, and a model."""
    desk = desk_of(6, size=8)
    images = sorted(desk.labels)
    desk.submit(*images[:4], client_id="anna")
    desk.intake.store(images[0], desk.labels[images[1]], {"label_info": [], "client_id": "bert"}, None)
    studies = desk.studies
    run = Run("published-1", "published", "none", "resunet", images[:3], 3, 0, None, "hash", utc_now())
    studies.ledger.start_run(run)
    studies.ledger.finish_run(run.run_id, model_file=str(studies.new_model_file(run.run_id)))
    studies.new_model_file(run.run_id).write_bytes(b"weights")
    studies.published_file.write_text(
        '{"run_id": "published-1", "model_file": "published-1.pt", "strategy": "none", "network": "resunet",'
        ' "patients": {}, "held_out": [], "trained_at": "2026-01-01"}'
    )
    return desk


@pytest.fixture
def backed_up(desk: Desk, tmp_path: Path) -> Callable[..., Manifest]:
    """Makes a backup of the desk at `backup.tar`."""

    def make(**options: object) -> Manifest:
        folder = Path(desk.studies.datastore._datastore_path)
        return back_up(tmp_path / "backup.tar", ledger=desk.studies.conf.ledger, studies=folder, **options)

    return make
