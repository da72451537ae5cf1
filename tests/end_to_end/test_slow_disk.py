"""On a disk that takes its time looking is quicker than saving, and what was acknowledged is there after a kill."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.faults.house import House
from benchmarks.faults.slow_disk import slow_flushes


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler to slow the disk with")
def test_on_a_slow_disk_reads_are_answered_and_no_acknowledged_label_is_lost(tmp_path: Path):
    house = House(tmp_path / "house")
    try:
        outcomes = list(slow_flushes(house))
    finally:
        house.end()
    assert [outcome.trouble for outcome in outcomes] == ["", ""]
    assert all(outcome.checked >= 6 and outcome.survived for outcome in outcomes)
