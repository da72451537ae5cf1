"""Runs of a table share what its rows do not tell; what they share is kept beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from scaling_app.experiments import replay as replay_module
from scaling_app.experiments.cohort import CohortError
from scaling_app.experiments.replay import replay
from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.trials.case_files import CaseFiles

from .replays import folders, rows, stand_in

pytestmark = pytest.mark.slow_training


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"capacity": "medium"}, "capacity small"),
        ({"pool": 1}, "pool 0, not 1"),
        ({"max_minutes": 5.0}, "max_minutes None, not 5.0"),
        ({"n_test": 1}, "other cases"),
    ],
)
def test_runs_that_would_not_compare_go_to_another_table(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, word: str
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"sizes": [1, 2], "n_test": 2, "out": tmp_path / "r.csv"}
    before = replay(*folders(volumes), **arguments).read_text()
    with pytest.raises(CohortError, match=word):
        replay(*folders(volumes), **arguments | {"sizes": [1, 2, 3]} | change)
    assert (tmp_path / "r.csv").read_text() == before


def test_minutes_bound_every_run_and_a_table_holds_one_number_of_them(
    volumes: list[CaseFiles], tmp_path: Path
) -> None:
    arguments = {"sizes": [1], "n_test": 1, "steps": 1_000_000, "capacity": 4, "out": tmp_path / "r.csv"}
    out = replay(*folders(volumes), max_minutes=0.05, **arguments)
    assert all(0 < int(row["trained_steps"]) < 1_000_000 for row in rows(out))
    recipe = tmp_path / "r.recipe.json"
    kept = json.loads(recipe.read_text())
    assert kept["max_minutes"] == 0.05
    assert replay(*folders(volumes), max_minutes=0.05, **arguments) == out
    for minutes in (None, 0.1):
        with pytest.raises(CohortError, match=r"max_minutes 0\.05"):
            replay(*folders(volumes), max_minutes=minutes, **arguments)


def test_memory_is_halved_as_on_the_server_and_a_table_holds_one_bound_of_a_step(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ReplayRun] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(replay_module, "run_once", lambda run, **_: made.append(run) or stand_in(run))
    arguments = {"n_test": 1, "out": tmp_path / "r.csv"}
    replay(*folders(volumes), [1], **arguments)
    replay(*folders(volumes), [1, 2], memory_gb=4, **arguments)
    with pytest.raises(CohortError, match=r"step_bytes 2147483648, not 536870912 \(half of --memory-gb"):
        replay(*folders(volumes), [1, 2, 3], memory_gb=1, **arguments)
    replay(*folders(volumes), [1], memory_gb=1, n_test=1, out=tmp_path / "small.csv")
    assert [run.step_bytes for run in made] == [2**31, 2**31, 2**29]
    assert [run.memory_bytes for run in made[1:]] == [2**31, 2**29]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"memory_gb": 0.25, "capacity": 64}, r"MiB are allowed.*; --memory-gb [\d.]+ would do$"),
        ({"capacity": 999_999}, r"MiB are allowed.* smaller capacity; not even --memory-gb 4096 would do$"),
    ],
)
def test_no_memory_for_a_step_is_refused_with_the_option_that_would_do(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict, told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = {"networks": ["swinunetr"], "n_test": 1, "out": tmp_path / "r.csv"}
    with pytest.raises(ValueError, match=told):
        replay(*folders(volumes), [1], **arguments, **asked)


@pytest.mark.parametrize("kept", [True, False])
def test_runs_from_before_there_was_a_bound_are_those_without_one(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"sizes": [1], "n_test": 1, "out": tmp_path / "r.csv"}
    replay(*folders(volumes), **arguments)
    recipe = tmp_path / "r.recipe.json"
    former = {name: value for name, value in json.loads(recipe.read_text()).items() if name != "max_minutes"}
    recipe.write_text(json.dumps(former)) if kept else recipe.unlink()
    with pytest.raises(CohortError, match="max_minutes None"):
        replay(*folders(volumes), max_minutes=5.0, **arguments)
    replay(*folders(volumes), **arguments)


def test_a_table_without_a_recipe_is_continued_and_what_is_taken_for_granted_is_told(
    volumes: list[CaseFiles],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"n_test": 1, "out": tmp_path / "r.csv"}
    replay(*folders(volumes), [1], **arguments)
    assert not caplog.messages
    (tmp_path / "r.recipe.json").unlink()
    replay(*folders(volumes), [1, 2], capacity=4, **arguments)
    (told,) = caplog.messages
    assert (
        "no r.recipe.json beside it: that its 1 run was made as those to come, with capacity 4, step_bytes"
        in told
    )


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (b"", "is damaged"),
        (b'{"capacity": "sm', "is damaged"),
        (b"[]", "is damaged"),
        (b"null", "is damaged"),
        (b"\xff\xfe{", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"of_a_later_version": 1}', "have of_a_later_version 1, not None"),
        (b'{"of_a_later_version": null}', "have of_a_later_version None"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_named_and_the_table_stays(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes, told: str
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"sizes": [1], "n_test": 1, "out": tmp_path / "r.csv"}
    before = replay(*folders(volumes), **arguments).read_text()
    (tmp_path / "r.recipe.json").write_bytes(kept)
    with pytest.raises(CohortError, match=told):
        replay(*folders(volumes), **arguments)
    assert (tmp_path / "r.csv").read_text() == before
    assert (tmp_path / "r.recipe.json").read_bytes() == kept


def test_the_recipe_outlives_the_cache(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = {"n_test": 2, "out": tmp_path / "r.csv"}
    replay(*folders(volumes), [1], **arguments)
    shutil.rmtree(tmp_path / "r.cache", ignore_errors=True)
    with pytest.raises(CohortError, match="capacity small"):
        replay(*folders(volumes), [1], capacity="medium", **arguments)


def test_all_runs_of_a_table_are_planned_for_the_same_memory_whatever_is_free_at_the_moment(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = {"free": 6_000, "total": 8_000}
    made: list[ReplayRun] = []

    def less_memory_each_time(run: ReplayRun, **_) -> list[dict[str, object]]:
        gpu["free"] //= 2
        made.append(run)
        return stand_in(run)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (gpu["free"], gpu["total"]))
    monkeypatch.setattr(replay_module, "run_once", less_memory_each_time)
    arguments = {"strategies": ["none", "baseline"], "n_test": 2, "out": tmp_path / "r.csv"}
    replay(*folders(volumes), [1], **arguments)
    replay(*folders(volumes), [1, 2], **arguments)
    assert [run.step_bytes for run in made] == [6_400] * 4
    gpu["total"] = 16_000
    with pytest.raises(CohortError, match="step_bytes 6400, not 12800"):
        replay(*folders(volumes), [1, 2, 3], **arguments)
