"""Processes that carry out runs end with the process that they work for, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

OWNER = """
import os, sys, time
from scaling_app.trials.workplace import here

if __name__ == "__main__":
    with here(2) as place:
        working = [place.executor.submit(time.sleep, seconds) for seconds in (60, 0)]
        print(*(process.pid for process in place.executor._processes.values()), flush=True)
        working[1].result()
        print("ready", flush=True)
        working[0].result()
"""


def test_workers_end_with_a_killed_owner(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER, encoding="utf-8")
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
    assert len(workers) == 2 and owner.stdout.readline() == "ready\n"
    owner.kill()
    owner.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    for process in alive:
        process.kill()
    assert len(gone) == 2
