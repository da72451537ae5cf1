"""A backup from anybody: what is no plain file of its manifest ends the restore, and nothing is written."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_app.backups.making import back_up
from scaling_app.backups.manifest import BackupError
from scaling_app.backups.restoring import restore
from scaling_app.ledger import Case, Ledger, LedgerError, utc_now
from scaling_app.studies.place import INDEX
from tests.backups.conftest import Place, contents

Change = Callable[[dict, dict], None]


def taken_apart(file: Path) -> tuple[dict, dict[str, bytes]]:
    """The manifest, and the content of each file."""
    with tarfile.open(file) as tar:
        files = {info.name: tar.extractfile(info).read() for info in tar}
    return json.loads(files.pop("manifest.json")), {k: v for k, v in files.items() if k != "manifest.sha256"}


def put_together(file: Path, manifest: dict | bytes, files: dict[str, bytes | tarfile.TarInfo]) -> None:
    """A backup with a good checksum of whatever manifest."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    checksum = f"{hashlib.sha256(text).hexdigest()}  manifest.json\n".encode()
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in {"manifest.json": text, "manifest.sha256": checksum, **files}.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def refused(file: Path, place: Place, says: str) -> None:
    with pytest.raises((BackupError, LedgerError), match=says) as caught:
        restore(file, ledger=place.ledger, studies=place.studies)
    assert "\n" not in str(caught.value)
    assert contents(place.studies) == {}
    assert not place.ledger.parent.exists() or contents(place.ledger.parent) == {}
    assert not (place.studies.parent / "evil.nrrd").exists()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of one label, in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "studies" / "labels" / "final").mkdir(parents=True)
    (folder / "studies" / INDEX).write_text("{}")
    (folder / "studies" / "labels" / "final" / "a.nrrd").write_bytes(b"voxels" * 10)
    with Ledger(folder / "ledger.sqlite") as ledger:
        ledger.save_case(Case("a", "hash", utc_now(), patient="a"))
    back_up(folder / "backup.tar", ledger=folder / "ledger.sqlite", studies=folder / "studies")
    return folder / "backup.tar"


@pytest.fixture
def parts(good: Path) -> tuple[dict, dict[str, bytes]]:
    return taken_apart(good)


@pytest.mark.parametrize(
    "path",
    [
        "studies/../evil.nrrd",
        "studies/labels/../../evil.nrrd",
        "studies/labels/final/../evil.nrrd",
        "/etc/evil.nrrd",
        "studies//etc/evil.nrrd",
        "studies/.bashrc",
        "studies/.lock",
        "studies/labels/.hidden/evil.nrrd",
        "studies/labels/.history/final/../evil.nrrd",
        "studies/labels/final/deep/evil.nrrd",
        "studies/labels",
        "studies/a\\evil.nrrd",
        "studies/a\nevil.nrrd",
        "studies/" + "a" * 300,
        "app/../evil.nrrd",
        "app/main.py",
        "app/cache/evil.npy",
        "evil.nrrd",
        "",
        "studies/\ud800",
    ],
)
def test_a_path_that_no_backup_has_is_refused(parts, elsewhere: Place, tmp_path: Path, path: str) -> None:
    manifest, files = parts
    name = path.encode("utf-8", "replace").decode()
    content = b"evil"
    entry = {"path": path, "bytes": 4, "sha256": hashlib.sha256(content).hexdigest(), "changed_ns": 0}
    manifest["files"].append(entry)
    put_together(tmp_path / "evil.tar", manifest, {**files, name or "x": content})
    refused(tmp_path / "evil.tar", elsewhere, "no file of a backup|no backup")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_folders_and_devices_are_refused(parts, elsewhere: Place, tmp_path: Path, kind: bytes) -> None:
    manifest, files = parts
    name = next(path for path in files if path.startswith("studies/labels/final/"))
    link = tarfile.TarInfo(name)
    link.type, link.linkname = kind, "/etc/passwd"
    put_together(tmp_path / "evil.tar", manifest, {**files, name: link})
    refused(tmp_path / "evil.tar", elsewhere, "holds a link or a folder")


def twice(manifest: dict, files: dict) -> None:
    manifest["files"].append(manifest["files"][0])


def below(manifest: dict, files: dict) -> None:
    manifest["files"].append({**manifest["files"][0], "path": "studies/labels/final"})


def huge(manifest: dict, files: dict) -> None:
    manifest["files"][0]["bytes"] = 1 << 49


def negative(manifest: dict, files: dict) -> None:
    manifest["files"][0]["bytes"] = -1


def other_size(manifest: dict, files: dict) -> None:
    manifest["files"][-1]["bytes"] -= 1


def other_content(manifest: dict, files: dict) -> None:
    name = manifest["files"][-1]["path"]
    files[name] = bytes(len(files[name]))


def no_ledger(manifest: dict, files: dict) -> None:
    manifest["files"] = [entry for entry in manifest["files"] if not entry["path"].endswith("sqlite")]


def one_more(manifest: dict, files: dict) -> None:
    files["studies/labels/final/more.nrrd"] = b"more"


def one_less(manifest: dict, files: dict) -> None:
    del files[manifest["files"][-1]["path"]]


def newer(manifest: dict, files: dict) -> None:
    manifest["version"] = 2


def unknown_field(manifest: dict, files: dict) -> None:
    manifest["files"][0]["mode"] = 0o4755


def no_checksum(manifest: dict, files: dict) -> None:
    manifest["files"][0]["sha256"] = "0"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (twice, "names a file twice"),
        (below, "no file of a backup"),
        (huge, "promises more than it holds"),
        (negative, "no backup that can be used"),
        (other_size, "another size"),
        (other_content, "does not have its checksum"),
        (no_ledger, "no ledger in it"),
        (one_more, "holds more than its manifest says"),
        (one_less, "no backup, or a damaged one|ends too early|promises more"),
        (newer, "newer version; update"),
        (unknown_field, "no backup that can be used"),
        (no_checksum, "no backup that can be used"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_manifest_that_does_not_fit_is_refused(
    parts, elsewhere: Place, tmp_path: Path, change: Change, says: str
) -> None:
    manifest, files = parts
    change(manifest, files)
    put_together(tmp_path / "evil.tar", manifest, files)
    refused(tmp_path / "evil.tar", elsewhere, says)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"[" * 200_000, b'{"format": "scaling-app backup"}', b"\xff\xfe" * 9]
)
def test_a_manifest_that_is_none_is_refused(parts, elsewhere: Place, tmp_path: Path, text: bytes) -> None:
    put_together(tmp_path / "evil.tar", text, parts[1])
    refused(tmp_path / "evil.tar", elsewhere, "no backup")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_half_a_backup_is_refused(good: Path, elsewhere: Place, tmp_path: Path, share: float) -> None:
    whole = good.read_bytes()
    (tmp_path / "half.tar").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / "half.tar", elsewhere, "not whole|no backup")


def test_any_flipped_bit_is_found_or_harmless(good: Path, elsewhere: Place, tmp_path: Path) -> None:
    whole = good.read_bytes()
    for place in range(100, len(whole) - 10_240, len(whole) // 37):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        (tmp_path / "bad.tar").write_bytes(changed)
        try:
            restore(tmp_path / "bad.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
        except (BackupError, LedgerError):
            assert contents(elsewhere.studies) == {}
        else:  # in the padding between two files
            assert bytes(whole[place : place + 1]) == b"\0"
            break


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON cases BEGIN DELETE FROM cases; END",
        "CREATE VIEW v AS SELECT * FROM cases",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
    ],
)
def test_a_ledger_that_holds_more_than_tables_is_refused(
    parts, elsewhere: Place, tmp_path: Path, statement: str
) -> None:
    manifest, files = parts
    (tmp_path / "l.sqlite").write_bytes(files["app/ledger.sqlite"])
    with sqlite3.connect(tmp_path / "l.sqlite") as raw:
        raw.execute(statement)
    with_ledger(manifest, files, (tmp_path / "l.sqlite").read_bytes())
    put_together(tmp_path / "evil.tar", manifest, files)
    refused(tmp_path / "evil.tar", elsewhere, "which no ledger has")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(5000)])
def test_a_ledger_that_is_none_is_refused(parts, elsewhere: Place, tmp_path: Path, content: bytes) -> None:
    manifest, files = parts
    with_ledger(manifest, files, content)
    put_together(tmp_path / "evil.tar", manifest, files)
    refused(tmp_path / "evil.tar", elsewhere, "is no ledger|damaged")


def with_ledger(manifest: dict, files: dict, content: bytes) -> None:
    files["app/ledger.sqlite"] = content
    for entry in manifest["files"]:
        if entry["path"] == "app/ledger.sqlite":
            entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
