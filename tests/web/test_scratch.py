"""Temporary files lie in one folder for this user alone, which goes with its process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from scaling_app.web import scratch

PROGRAM = """
import os, subprocess, sys, tempfile
from pathlib import Path
from scaling_app.web import scratch
mine = scratch.claim(Path(sys.argv[1]))
file = tempfile.NamedTemporaryFile(delete=False, suffix=".nii.gz").name
told = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
child = subprocess.run(told, capture_output=True, text=True).stdout.strip()
print(mine, file, child, oct(mine.stat().st_mode & 0o777), sep="\\n", flush=True)
if len(sys.argv) > 2:
    os.kill(os.getpid(), 9)
"""


def claimed(above: Path, *killed: str) -> list[str]:
    """What a process says that claims a folder, writes into it and ends."""
    told = [sys.executable, "-c", PROGRAM, str(above), *killed]
    return subprocess.run(told, capture_output=True, text=True, timeout=120).stdout.splitlines()


def test_it_goes_with_its_process_and_what_a_killed_one_left_goes_at_the_next_start(tmp_path: Path) -> None:
    mine, file, child, mode = claimed(tmp_path, "killed")
    assert file.startswith(f"{mine}/") and child == mine and mode == "0o700"
    assert Path(file).is_file()
    assert claimed(tmp_path)[0] != mine
    assert list((tmp_path / scratch.FOLDER).iterdir()) == []


def test_what_a_request_left_goes_after_an_hour(tmp_path: Path) -> None:
    old, new, folder = tmp_path / "old.nii.gz", tmp_path / "new.nii.gz", tmp_path / "tmpabc"
    folder.mkdir()
    for file in (old, new, folder / "upload.nrrd"):
        file.write_bytes(b"voxels")
    long_ago = time.time() - scratch.KEPT_SECONDS - 60
    for path in (old, folder):
        os.utime(path, (long_ago, long_ago))
    scratch.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [new]
