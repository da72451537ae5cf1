"""A replay's table grows by whole runs, resumes, and never mixes test cases in."""

from __future__ import annotations

import csv
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest

from scaling_app.experiments import replay as replay_module
from scaling_app.experiments.cohort import CohortError
from scaling_app.experiments.replay import ReplayProgress, replay, run_once
from scaling_app.experiments.replay_run import Arm, ReplayRun
from scaling_app.experiments.runs_table import COLUMNS, FORMER_COLUMNS
from scaling_app.imaging.geometry import read_image, write_label
from scaling_app.imaging.image_files import stem_of
from scaling_app.trials import run_settings, workplace
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.workplace import ClusterError

from .replays import folders, rows, stand_in

pytestmark = pytest.mark.slow_training


def test_a_replay_trains_tests_and_writes_the_table(volumes: list[CaseFiles], tmp_path: Path) -> None:
    events: list[ReplayProgress] = []
    out = replay(
        *folders(volumes),
        [1, 2],
        n_test=2,
        steps=3,
        out=tmp_path / "runs.csv",
        progress=events.append,
        capacity=4,
    )
    table = rows(out)
    assert tuple(table[0]) == COLUMNS
    assert len(table) == 2 * 2 * 2
    assert {row["n"] for row in table} == {"1", "2"}
    assert all(0 <= float(row["dice"]) <= 1 and float(row["bce"]) > 0 for row in table)
    assert [e.done for e in events if e.step is None] == [1, 2]
    assert events[-1].total == 2
    assert any(e.step is not None and e.step.step == 3 for e in events)


def test_an_arm_trains_its_strategy_with_its_options_and_a_pool_without_labels(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple] = []
    real = replay_module.train

    def seen(cases, train_ids, settings, **keywords):
        given.append((cases, train_ids, settings, keywords["pool_ids"]))
        return real(cases, train_ids, settings, **keywords)

    monkeypatch.setattr(replay_module, "train", seen)
    arm = Arm("red-mild", "red", {"red_strength": "1%"})
    arguments = {"strategies": [arm], "n_test": 2, "steps": 1, "capacity": 4, "pool": 1}
    (row, *_) = rows(replay(*folders(volumes), [1], out=tmp_path / "r.csv", **arguments))
    ((cases, train_ids, settings, pool_ids),) = given
    assert row["strategy"] == "red-mild"
    assert (settings.strategy, settings.options) == ("red", {"red_strength": "1%"})
    assert len(pool_ids) == 1 and not set(pool_ids) & {
        *train_ids,
        *(r["case"] for r in rows(tmp_path / "r.csv")),
    }
    assert pool_ids == cases.pool


def test_sizes_and_draws_have_luck_of_their_own_and_strategies_share_it(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: dict[str, list[int]] = {"none": [], "baseline": []}
    real = replay_module.train

    def seen(cases, train_ids, settings, **keywords):
        seeds[settings.strategy].append(settings.seed)
        return real(cases, train_ids, settings, **keywords)

    monkeypatch.setattr(replay_module, "train", seen)
    arguments = {"strategies": list(seeds), "draws": 2, "n_test": 2, "steps": 1, "capacity": 4}
    replay(*folders(volumes), [1, 2], out=tmp_path / "r.csv", **arguments)
    assert seeds["none"] == seeds["baseline"] and len(set(seeds["none"])) == 4


def test_a_replay_goes_on_where_a_kill_left_it(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []

    def counted(run: ReplayRun, **_) -> list[dict[str, object]]:
        made.append((run.n, run.seed))
        return stand_in(run)

    monkeypatch.setattr(replay_module, "run_once", counted)
    arguments = {"seeds": 2, "n_test": 2, "out": tmp_path / "runs.csv"}
    out = replay(*folders(volumes), [1, 2], **arguments)
    whole = out.read_text()
    assert made == [(1, 0), (2, 0), (1, 1), (2, 1)]
    replay(*folders(volumes), [1, 2], **arguments)
    assert len(made) == 4
    out.write_text(whole[: len(whole) - 30])  # the last run is left half written
    replay(*folders(volumes), [1, 2], **arguments)
    assert made[4:] == [(2, 1)]
    assert out.read_text() == whole


@pytest.mark.slow_training
def test_a_replay_whose_steps_follow_the_cases_trains_no_run_twice(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_settings, "steps_for", lambda cases: cases + 1)
    made: list[int] = []

    def counted(run: ReplayRun, **more) -> list[dict[str, object]]:
        made.append(run.n)
        return run_once(run, **more)

    monkeypatch.setattr(replay_module, "run_once", counted)
    arguments = {"n_test": 2, "out": tmp_path / "runs.csv", "networks": ["resunet"]}
    for _ in "ab":
        out = replay(*folders(volumes), [1, 2], **arguments)
    assert made == [1, 2]
    with out.open() as file:
        told = {(row["n"], row["steps"], row["trained_steps"]) for row in csv.DictReader(file)}
    assert told == {("1", "auto", "2"), ("2", "auto", "3")}


HOLDER = """
import sys, time
from pathlib import Path
from scaling_app.experiments.runs_table import RunsTable
with RunsTable(Path(sys.argv[1]), {}).held():
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_replay_at_a_time_writes_a_table_and_a_killed_one_holds_nothing(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"n_test": 2, "out": tmp_path / "new" / "r.csv"}
    command = [sys.executable, "-c", HOLDER, str(arguments["out"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CohortError, match=r"another replay is writing .*r\.csv: wait for its end, or"):
            replay(*folders(volumes), [1], **arguments)
        assert not arguments["out"].exists()
        other.kill()
    assert len(rows(replay(*folders(volumes), [1], **arguments))) == 2 * 2
    assert not list(arguments["out"].parent.glob("*.lock"))


def test_a_disk_that_fills_up_within_a_run_leaves_the_table_without_it(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    out = replay(*folders(volumes), [1], n_test=2, out=tmp_path / "r.csv")
    whole, size = out.read_bytes(), out.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, hard))  # as much as fits on the disk
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            replay(*folders(volumes), [1, 2], n_test=2, out=out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert out.read_bytes() == whole and caught.value.filename == str(out)
    assert len(rows(replay(*folders(volumes), [1, 2], n_test=2, out=out))) == 2 * 2 * 2


def test_a_table_that_two_replays_wrote_is_read_and_mended(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"n_test": 2, "out": tmp_path / "r.csv"}
    out = replay(*folders(volumes), [1, 2], **arguments)
    once = out.read_text()
    _, *lines = once.splitlines(keepends=True)
    out.write_text(once + "".join(lines).replace(",1,400,", ",2,400,"))
    monkeypatch.setattr(replay_module, "run_once", lambda *_, **_more: pytest.fail("trained"))
    replay(*folders(volumes), [1, 2], **arguments)
    assert out.read_text() == once
    assert "8 scores twice" in caplog.text


def test_a_table_of_fewer_columns_is_continued_and_what_its_rows_will_not_say_is_told(
    volumes: list[CaseFiles],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    arguments = {"n_test": 2, "out": tmp_path / "r.csv"}
    before = rows(replay(*folders(volumes), [1], **arguments))
    with arguments["out"].open("w") as text:
        table = csv.DictWriter(text, FORMER_COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(before)
    after = rows(replay(*folders(volumes), [1, 2], **arguments))
    assert [{name: row[name] for name in FORMER_COLUMNS} for row in after[:4]] == [
        {name: row[name] for name in FORMER_COLUMNS} for row in before
    ]
    assert [row["n"] for row in after] == ["1"] * 4 + ["2"] * 4 and tuple(after[0]) == COLUMNS
    (told,) = caplog.messages
    assert "r.csv is of an earlier version, and will not say of its 1 run: patient, carried" in told
    caplog.clear()
    replay(*folders(volumes), [1, 2, 3], **arguments)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({}, {}),
        ({"strategy_carried": 3, "strategy_carried_dice": 0.81}, {"carried": "3", "carried_dice": "0.81"}),
        (
            {"strategy_real_carried": 0, "strategy_real_carried_dice": 0.2, "strategy_synthesis": "on"},
            {"carried": "0", "carried_dice": "0.2", "synthesis": "on"},
        ),
        ({"strategy_fallback": "too few,\nshapes"}, {"fallback": "too few, shapes"}),
    ],
)
def test_the_table_says_what_the_strategy_did_and_whose_a_case_is(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: dict, told: dict
) -> None:
    real = replay_module.train

    def reporting(*arguments, **keywords):
        model = real(*arguments, **keywords)
        model.report |= report
        return model

    monkeypatch.setattr(replay_module, "train", reporting)
    arguments = {"n_test": 1, "steps": 1, "capacity": 4, "out": tmp_path / "r.csv"}
    (row, *_) = rows(replay(*folders(volumes), [1], patient_pattern=r"\d$", **arguments))
    assert row["patient"] == row["case"][-1]
    expected = {"carried": "", "carried_dice": "", "fallback": "", "synthesis": ""} | told
    assert {name: row[name] for name in expected} == expected


def test_strategies_share_their_training_sets(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets: dict[tuple[str, int, int], tuple[str, ...]] = {}

    def noted(run: ReplayRun, **_) -> list[dict[str, object]]:
        sets[run.strategy, run.n, run.draw] = tuple(case.case_id for case in run.training)
        return stand_in(run)

    monkeypatch.setattr(replay_module, "run_once", noted)
    replay(*folders(volumes), [1, 3], ["none", "baseline"], draws=2, n_test=2, out=tmp_path / "r.csv")
    for n in (1, 3):
        for draw in (0, 1):
            assert sets["none", n, draw] == sets["baseline", n, draw]
    assert set(sets["none", 1, 0]) < set(sets["none", 3, 0])


def test_a_replay_in_another_process_gives_the_same_rows(volumes: list[CaseFiles], tmp_path: Path) -> None:
    arguments = {"sizes": [1], "n_test": 1, "steps": 2, "capacity": 4}
    here = rows(replay(*folders(volumes), out=tmp_path / "a.csv", **arguments))
    there = rows(replay(*folders(volumes), out=tmp_path / "b.csv", workers=2, **arguments))
    for one, other in zip(here, there, strict=True):
        assert float(one["bce"]) == pytest.approx(float(other["bce"]), rel=0.05)
        assert one["case"] == other["case"]


def test_runs_go_to_a_dask_cluster(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        arguments = {"n_test": 2, "out": tmp_path / "r.csv", "scheduler": cluster.scheduler_address}
        table = rows(replay(*folders(volumes), [1, 2, 3], **arguments))
    assert len(table) == 3 * 2 * 2


def test_a_cluster_that_does_not_answer_is_named(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(workplace, "ANSWER_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        replay(*folders(volumes), [1], n_test=1, out=tmp_path / "r.csv", scheduler="tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("how", "shared"), [({}, False), ({"workers": 2}, True), ({"scheduler": "tcp://a:1"}, True)]
)
def test_prepared_cases_are_shared_where_runs_are_made_side_by_side(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict, shared: bool
) -> None:
    made: list[ReplayRun] = []
    monkeypatch.setattr(replay_module, "_Replaying", lambda missing, *_: made.extend(missing) or Mock())
    replay(*folders(volumes), [1], n_test=1, out=tmp_path / "r.csv", **how)
    assert [run.shared_cache for run in made] == [shared]


def test_runs_side_by_side_are_no_more_than_gpus_and_share_the_ram(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int | None] = []
    ram: list[int] = []

    @contextmanager
    def two_here(workers: int | None = None) -> Iterator[workplace.Workplace]:
        taken.append(workers)
        yield workplace.Workplace(
            workplace.AtOnce(), "here", lambda: 1, lambda: 2, is_cluster=False, shared=False
        )

    def noted(run: ReplayRun, **_) -> list[dict[str, object]]:
        ram.append(run.memory_bytes)
        return stand_in(run)

    monkeypatch.setattr(workplace, "_gpus", lambda: 2)
    monkeypatch.setattr(replay_module, "here", two_here)
    monkeypatch.setattr(replay_module, "run_once", noted)
    monkeypatch.setattr(replay_module.psutil, "virtual_memory", lambda: Mock(available=2**30))
    replay(*folders(volumes), [1, 2], n_test=1, out=tmp_path / "r.csv", workers=8)
    assert (taken, ram) == ([2], [2**27] * 2)


def test_patients_named_by_the_pattern_are_not_split(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    name = volumes[0].case_id
    with pytest.raises(CohortError, match=r"cases of 1 patient are too few.*patient pattern"):
        replay(*folders(volumes), [1], n_test=1, out=tmp_path / "r.csv", patient_pattern=f"^{name[:3]}")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"strategies": ["magic"]}, "baseline"),
        ({"networks": ["vnet"]}, "resunet"),
        ({"sizes": [500]}, "too few"),
        ({"capacity": "huge"}, "large"),
        ({"sizes": []}, "at least 1"),
    ],
)
def test_replays_that_make_no_sense_are_refused(
    volumes: list[CaseFiles], tmp_path: Path, change: dict, word: str
) -> None:
    arguments = {"sizes": [1], "n_test": 1, "out": tmp_path / "r.csv"} | change
    with pytest.raises(ValueError, match=word):
        replay(*folders(volumes), **arguments)
    assert not (tmp_path / "r.csv").exists()


def test_a_file_that_is_no_table_is_left_alone(volumes: list[CaseFiles], tmp_path: Path) -> None:
    other = tmp_path / "notes.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(CohortError, match="no table"):
        replay(*folders(volumes), [1], n_test=1, out=other)
    assert other.read_text() == "a,b\n1,2\n"


def test_files_that_cannot_be_used_are_named_before_any_training(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, folder in zip(("images", "labels"), folders(volumes), strict=True):
        shutil.copytree(folder, tmp_path / kind)
    one, two, three, *_ = sorted(path.name for path in (tmp_path / "images").iterdir())
    (tmp_path / "images" / one).write_bytes(b"no image")
    reference = read_image(tmp_path / "images" / two)
    write_label(
        np.arange(reference[0].numel()).reshape(reference.shape) % 250, reference, tmp_path / "labels" / two
    )
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "labels" / three)
    monkeypatch.setattr(replay_module, "run_once", lambda *_, **_more: pytest.fail("trained"))
    arguments = {"sizes": [3], "n_test": 3, "out": tmp_path / "new" / "r.csv"}
    with pytest.raises(CohortError, match="3 of 6 cases") as refused:
        replay(tmp_path / "images", tmp_path / "labels", **arguments)
    for name, what in ((one, "cannot be read"), (two, "250 different values"), (three, "4 x 4 x 4 voxels")):
        assert re.search(rf"{stem_of(name)}: [^;]*{what}", str(refused.value))
    assert not (tmp_path / "new").exists()


def test_every_case_is_looked_at_once_and_with_its_label(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[CaseFiles] = []
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    monkeypatch.setattr(replay_module, "check_cases", lambda cases, _: looked_at.extend(cases))
    replay(*folders(volumes), [1, 3], n_test=2, draws=3, pool=2, out=tmp_path / "r.csv")
    assert sorted(case.case_id for case in looked_at) == sorted(case.case_id for case in volumes)
    assert all(case.label is not None for case in looked_at)


def test_nothing_is_trained_twice_when_it_is_asked_for_twice(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    out = replay(*folders(volumes), [1, 2, 1], ["none", "none"], n_test=2, out=tmp_path / "r.csv")
    assert len(rows(out)) == 2 * 2 * 2


def test_finished_runs_are_not_dropped_when_larger_training_sets_hold_more_structures(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "run_once", stand_in)
    monkeypatch.setattr(
        replay_module, "_structures", lambda _, largest: {f"s{k}": k for k in range(1, largest)}
    )
    out = replay(*folders(volumes), [1, 2], n_test=2, out=tmp_path / "r.csv")
    before = out.read_text()
    with pytest.raises(CohortError, match="structures"):
        replay(*folders(volumes), [1, 2, 3], n_test=2, out=out)
    assert out.read_text() == before


def test_a_folder_is_no_table(volumes: list[CaseFiles], tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="is a folder"):
        replay(*folders(volumes), [1], n_test=1, out=tmp_path)


def test_no_training_of_a_set_is_refused(volumes: list[CaseFiles], tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="at least once"):
        replay(*folders(volumes), [1], seeds=0, n_test=2, out=tmp_path / "r.csv")
