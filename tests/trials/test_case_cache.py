"""The folder of prepared cases keeps within its bound, and nobody misses what it deletes."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling_app.trials import case_cache
from scaling_app.trials.case_cache import IDLE_SECONDS, MOST_BYTES, CaseCache, bound
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import Plan

SIZE = 40_000
KEYS = [f"{number:032x}" for number in range(6)]


def put(cache: CaseCache, key: str) -> None:
    cache.put(key, {"image": np.zeros(SIZE, np.uint8)}, {})


def aged(folder: Path, key: str, seconds: float) -> None:
    for file in folder.glob(f"{key}.*"):
        os.utime(file, (time.time() - seconds,) * 2)


def kept(folder: Path) -> list[str]:
    return sorted({file.name.partition(".")[0] for file in folder.glob("*.npy")})


@pytest.fixture(autouse=True)
def room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_cache, "MOST_BYTES", int(3.5 * SIZE))
    monkeypatch.setattr(case_cache, "_LOOK_EVERY", 0)


def test_the_entries_used_longest_ago_go(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path)
    for number, key in enumerate(KEYS[:4]):
        put(cache, key)
        aged(tmp_path, key, 100 - number)
    assert cache.get(KEYS[0], "image", mapped=True) is not None  # used now
    put(cache, KEYS[4])
    assert kept(tmp_path) == [KEYS[0], *KEYS[2:5]]
    assert cache.get(KEYS[1], "image", mapped=True) is None


def test_what_other_processes_may_be_using_stays(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path, shared=True)
    for key in KEYS[:5]:
        put(cache, key)
    assert kept(tmp_path) == KEYS[:5]
    aged(tmp_path, KEYS[3], IDLE_SECONDS + 60)
    put(cache, KEYS[5])
    assert KEYS[3] not in kept(tmp_path)
    assert len(kept(tmp_path)) == 5


def test_what_a_kill_left_of_an_entry_goes_and_other_files_stay(tmp_path: Path) -> None:
    cut, other = tmp_path / f"{KEYS[0]}.image.npy.12-34.part", tmp_path / "r.recipe.json"
    for file in (cut, other):
        file.write_bytes(bytes(4 * SIZE))
        os.utime(file, (0, 0))
    put(CaseCache(tmp_path), KEYS[1])
    assert not cut.exists()
    assert other.exists()


def test_a_mapped_array_outlives_its_file(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path)
    put(cache, KEYS[0])
    array = cache.get(KEYS[0], "image", mapped=True)
    for file in tmp_path.iterdir():
        file.unlink()
    assert array is not None and not array.any()


@pytest.mark.parametrize("lost", ["*", "*.image.npy", "*.label.npy", "*.json"])
def test_a_case_whose_files_are_deleted_is_prepared_anew(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path, lost: str
) -> None:
    cases = PreparedCases(volume_plan, volumes[:1], tmp_path, 0)
    before = cases[volumes[0].case_id]
    for file in tmp_path.glob(lost):
        file.unlink()
    after = cases[volumes[0].case_id]
    assert torch.equal(before.image, after.image) and torch.equal(before.label, after.label)


def test_labelling_on_does_not_fill_the_disk(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared_at(spacing: float) -> int:
        plan = replace(volume_plan, spacing=(spacing,) * 3)
        for case in PreparedCases(plan, volumes[:2], tmp_path, 0).labelled:
            PreparedCases(plan, volumes[:2], tmp_path, 0)[case]
        return sum(file.stat().st_size for file in tmp_path.iterdir())

    one = prepared_at(3.0)
    monkeypatch.setattr(case_cache, "MOST_BYTES", 2 * one)
    assert max(prepared_at(3.0 + step / 1000) for step in range(1, 8)) <= 3 * one


def test_the_bound_leaves_half_of_the_disk_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_cache, "MOST_BYTES", MOST_BYTES)
    assert bound(free=2**30) == bound(free=2**29, taken=2**29) == 2**29
    assert bound(free=2**40) == MOST_BYTES >= 2 * 5 * 48 * 100e6


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"garbage" * 99, "half"])
def test_a_damaged_entry_is_none_and_the_next_one_takes_its_place(tmp_path: Path, damage, mapped):
    cache = CaseCache(tmp_path)
    put(cache, KEYS[0])
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[: SIZE // 2] if damage == "half" else damage)
    assert cache.get(KEYS[0], "image", mapped=mapped) is None
    put(cache, KEYS[0])
    assert cache.get(KEYS[0], "image", mapped=mapped).size == SIZE
