"""A run learns, repeats itself, goes on after a kill, and says when it cannot."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scaling_app.imaging import synthetic
from scaling_app.imaging.geometry import read_image
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.strategies import catalogue
from scaling_app.strategies.base import Batch, Loss, Strategy
from scaling_app.trials import run_settings, training
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.failures import TrainingError
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.plan import make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import StepReport
from scaling_app.trials.testing import test
from scaling_app.trials.training import train

pytestmark = pytest.mark.slow_training

QUICK = RunSettings(strategy="none", steps=6, seed=3)


def weights(model: TrainedModel) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.network.parameters()])


def dice(model: TrainedModel, cases: list[CaseFiles]) -> float:
    return mean(s.dice for scored in test(model, cases) for s in scored.scores if s.structure == "organ")


def test_training_learns_the_organ(prepared: PreparedCases, volumes: list[CaseFiles]) -> None:
    settings = RunSettings(steps=60, seed=0)
    model = train(prepared, prepared.labelled[:4], settings)
    untrained = train(prepared, prepared.labelled[:4], replace(settings, steps=1))
    assert dice(model, volumes[4:]) > 0.5 > dice(untrained, volumes[4:]) + 0.2
    assert model.report["steps"] == 60
    assert model.report["ended"] == "finished"
    assert model.train_ids == tuple(prepared.labelled[:4])


def test_three_hundred_structures_are_learned_and_found_under_their_own_values(tmp_path: Path) -> None:
    values = range(1000, 1300)
    blocks = np.array([*values, *[0] * 43]).reshape(7, 7, 7).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    cases = [
        synthetic.write_case(
            synthetic.SyntheticCase(name, 0.01 * blocks + number, blocks.astype(np.int16), np.eye(4)),
            tmp_path / "images",
            tmp_path / "labels",
        )
        for number, name in enumerate("ab")
    ]
    files = [CaseFiles(image.name, image.name, image, tmp_path / "labels" / image.name) for image in cases]
    prepared = PreparedCases(make_plan(files), files, tmp_path / "cache", 2**30)
    assert prepared[files[0].case_id].label.max() == 300
    model = train(prepared, prepared.labelled[:1], replace(QUICK, steps=2))
    (scored,) = test(model, files[1:])
    assert [score.structure for score in scored.scores] == [f"structure_{value}" for value in values]
    found = set(model.segment(read_image(files[1].image)).unique().tolist())
    assert found - {0} and found <= {0, *values}


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(prepared: PreparedCases) -> None:
    state = torch.get_rng_state()
    first, second = (
        train(prepared, prepared.labelled[:2], replace(QUICK, strategy="baseline")) for _ in "ab"
    )
    other = train(prepared, prepared.labelled[:2], replace(QUICK, strategy="baseline", seed=4))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_depends_on_the_seed_and_the_step_alone(pictures: list[CaseFiles], tmp_path: Path) -> None:
    cases = PreparedCases(make_plan(pictures, {"organ": 1}, network="deeplab"), pictures, tmp_path, 2**28)
    settings = RunSettings(strategy="none", steps=2, seed=3)
    first = train(cases, cases.labelled[:2], settings)
    torch.rand(7)  # what other work draws in between
    assert torch.equal(weights(first), weights(train(cases, cases.labelled[:2], settings)))


def test_a_run_stopped_and_resumed_equals_one_that_was_not(prepared: PreparedCases, tmp_path: Path) -> None:
    ids, checkpoint = prepared.labelled[:2], tmp_path / "run.pt"
    whole = train(prepared, ids, QUICK)
    seen: list[int] = []

    def three_steps() -> bool:
        seen.append(1)
        return len(seen) > 3

    stopped = train(prepared, ids, QUICK, checkpoint=checkpoint, should_stop=three_steps)
    assert (stopped.report["steps"], stopped.report["ended"]) == (3, "asked")
    steps: list[int] = []
    resumed = train(prepared, ids, QUICK, checkpoint=checkpoint, on_step=lambda r: steps.append(r.step))
    assert steps[:2] == [0, 4]
    assert torch.allclose(weights(resumed), weights(whole), atol=1e-6)


def test_a_resumed_runs_record_tells_of_all_that_was_drawn_and_a_later_runs_of_its_own(
    prepared: PreparedCases, tmp_path: Path
) -> None:
    ids, checkpoint = prepared.labelled[:2], tmp_path / "run.pt"
    settings = replace(QUICK, strategy="red", steps=12)
    whole = train(prepared, ids, settings).report
    asked = iter([False] * 8 + [True])
    stopped = train(prepared, ids, settings, checkpoint=checkpoint, should_stop=lambda: next(asked))
    resumed = train(prepared, ids, settings, checkpoint=checkpoint).report
    batch, ahead = prepared.plan.batch, 5  # what lay ahead is drawn once more
    assert whole["strategy_fields"] == 12 * batch
    assert 12 * batch <= resumed["strategy_fields"] <= (12 + ahead) * batch
    assert resumed["strategy_fields"] == stopped.report["strategy_fields"] + 4 * batch
    later = train(prepared, ids, settings, warm_start=stopped.save(tmp_path / "model.pt")).report
    assert later["strategy_fields"] == whole["strategy_fields"]


def test_the_mean_of_the_weights_is_the_model_and_outlives_a_stop(
    prepared: PreparedCases, tmp_path: Path
) -> None:
    ids, checkpoint = prepared.labelled[:2], tmp_path / "run.pt"
    settings = replace(QUICK, average=0.9)
    last, whole = train(prepared, ids, QUICK), train(prepared, ids, settings)
    each = [train(prepared, ids, replace(QUICK, average=0.0), should_stop=_after(n)) for n in range(1, 7)]
    mean_of_all = weights(each[0])
    for count, model in enumerate(each[1:], start=1):
        mean_of_all = mean_of_all.lerp(weights(model), 1 - min(0.9, (1 + count) / (10 + count)))
    assert torch.allclose(weights(whole), mean_of_all, atol=1e-6)
    assert not torch.equal(weights(whole), weights(last))
    train(prepared, ids, settings, checkpoint=checkpoint, should_stop=_after(3))
    assert torch.allclose(
        weights(train(prepared, ids, settings, checkpoint=checkpoint)), weights(whole), atol=1e-6
    )


def _after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_taken_up(
    prepared: PreparedCases, tmp_path: Path
) -> None:
    ids, checkpoint = prepared.labelled[:2], tmp_path / "run.pt"
    train(prepared, ids, QUICK, checkpoint=checkpoint)
    fresh = train(prepared, ids, replace(QUICK, seed=9))
    other = train(prepared, ids, replace(QUICK, seed=9), checkpoint=checkpoint)
    assert torch.equal(weights(other), weights(fresh))
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    again = train(prepared, ids, replace(QUICK, seed=9), checkpoint=checkpoint)
    assert torch.equal(weights(again), weights(fresh))


def test_a_killed_process_resumes_from_its_checkpoint(
    prepared: PreparedCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(report: StepReport) -> None:
        if report.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    killed = multiprocessing.get_context(
        "fork"
    ).Process(  # loads no library anew
        target=train,
        args=(prepared, prepared.labelled[:2], QUICK),
        kwargs={"checkpoint": tmp_path / "run.pt", "on_step": kill},
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    steps: list[int] = []
    resumed = train(
        prepared,
        prepared.labelled[:2],
        QUICK,
        checkpoint=tmp_path / "run.pt",
        on_step=lambda report: steps.append(report.step),
    )
    assert steps[1] == 5
    assert torch.allclose(weights(resumed), weights(train(prepared, prepared.labelled[:2], QUICK)), atol=1e-6)


def test_progress_is_told_in_order_and_with_an_end(prepared: PreparedCases) -> None:
    reports: list[StepReport] = []
    train(prepared, prepared.labelled[:2], QUICK, on_step=reports.append)
    assert [report.phase for report in reports] == ["preparing", *["training"] * 6, "done"]
    assert [report.step for report in reports] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert reports[-2].eta_s == 0
    assert all(report.eta_s > 0 for report in reports[1:-2])


def test_a_time_limit_ends_the_run_with_an_annealed_model(prepared: PreparedCases) -> None:
    settings = RunSettings(strategy="none", steps=100_000, max_minutes=0.02)
    reports: list[StepReport] = []
    model = train(prepared, prepared.labelled[:2], settings, on_step=reports.append)
    assert model.report["ended"] == "time"
    assert 1 <= model.report["steps"] < 100_000
    assert 1.0 < model.report["seconds"] < 6
    assert all(report.eta_s <= 1.3 for report in reports if report.eta_s is not None)


def test_a_training_of_no_stated_length_is_as_long_as_its_cases_ask_for(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_settings, "steps_for", lambda cases: 2 * cases)
    said: list[StepReport] = []
    model = train(prepared, prepared.labelled[:2], replace(QUICK, steps=None), on_step=said.append)
    assert model.report["steps"] == said[-1].steps == 4
    longer = train(prepared, prepared.labelled[:1], replace(QUICK, steps=None, times=4))
    assert longer.report["steps"] == 8
    with pytest.raises(ValueError, match="must be positive"):
        train(prepared, prepared.labelled[:1], replace(QUICK, times=0))


class _HoldsTwo(Strategy):
    """Needs more memory than there is for more than two patches, or for any in those steps."""

    name: ClassVar[str] = "holds two"
    never: ClassVar[bool] = False

    def loss(self, network: nn.Module, loss: Loss, batch: Batch, step: int) -> Tensor:
        if self.never or len(batch.image) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return super().loss(network, loss, batch, step)


def test_out_of_memory_halves_the_batch_and_says_so(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training, "make_strategy", lambda name: _HoldsTwo())
    assert prepared.plan.batch == 4
    model = train(prepared, prepared.labelled[:2], QUICK)
    assert (model.report["batch"], model.report["skipped_steps"], model.report["steps"]) == (2, 1, 6)
    assert "out of memory with 4 patches a step: 2 from now on" in caplog.text
    monkeypatch.setattr(_HoldsTwo, "never", True)
    with pytest.raises(TrainingError, match="does not fit the device's memory"):
        train(prepared, prepared.labelled[:2], QUICK)


def test_the_report_measures_loading_against_the_step(prepared: PreparedCases) -> None:
    report = train(prepared, prepared.labelled[:2], replace(QUICK, strategy="baseline")).report
    assert report["loader_share"] == pytest.approx(
        report["loader_cpu_seconds"] / report["step_cpu_seconds"], rel=0.05
    )
    assert 0 <= report["loader_waited_seconds"] <= report["seconds"]
    assert report["precision"] in ("bfloat16", "float32")


def test_a_model_survives_its_file(prepared: PreparedCases, volumes: list[CaseFiles], tmp_path: Path) -> None:
    model = train(prepared, prepared.labelled[:2], QUICK)
    loaded = TrainedModel.load(model.save(tmp_path / "m.pt"), "cpu")
    assert (loaded.plan, loaded.train_ids, loaded.report) == (model.plan, model.train_ids, model.report)
    assert torch.equal(loaded.segment(volumes[5].image), model.segment(volumes[5].image))
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes((tmp_path / "m.pt").read_bytes()[:500])
    for path in (damaged, tmp_path / "nowhere.pt"):
        with pytest.raises(ValueError, match=path.stem):
            TrainedModel.load(path)


def test_how_fast_a_network_learns_and_what_becomes_the_model_stand_in_its_entry(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, name = prepared.labelled[:2], prepared.plan.network
    fast = train(prepared, ids, QUICK)
    assert torch.equal(weights(fast), weights(train(prepared, ids, replace(QUICK, learning_rate=1e-2))))
    entry = replace(NETWORKS[name], peak_rate=1e-3, average=0.9)
    monkeypatch.setitem(NETWORKS, name, entry)
    slow = train(prepared, ids, QUICK)
    spelled_out = train(prepared, ids, replace(QUICK, learning_rate=1e-3, average=0.9))
    assert torch.equal(weights(slow), weights(spelled_out))
    assert not torch.equal(weights(slow), weights(fast))


def test_a_warm_start_begins_with_the_old_weights(prepared: PreparedCases, tmp_path: Path) -> None:
    old = train(prepared, prepared.labelled[:2], QUICK)
    path = old.save(tmp_path / "old.pt")
    tiny = replace(QUICK, steps=1, learning_rate=1e-9, seed=5)
    warm = train(prepared, prepared.labelled[:3], tiny, warm_start=path)
    assert torch.allclose(weights(warm), weights(old), atol=1e-5)
    fresh = train(prepared, prepared.labelled[:3], tiny, warm_start=path, fresh_weights=True)
    assert torch.equal(weights(fresh), weights(train(prepared, prepared.labelled[:3], tiny)))
    wider = PreparedCases(replace(prepared.plan, capacity=6), prepared_files(prepared), tmp_path, 2**28)
    cold = train(wider, wider.labelled[:2], replace(QUICK, steps=1), warm_start=path)
    assert weights(cold).shape != weights(old).shape


class Undefined(Strategy):
    """A strategy whose loss is NaN from a step on, for some steps."""

    name: ClassVar[str] = "undefined"
    affine: ClassVar[bool] = False
    bad: ClassVar[range] = range(0)

    def loss(self, network: nn.Module, loss: Loss, batch: Batch, step: int) -> Tensor:
        value = super().loss(network, loss, batch, step)
        return value * float("nan") if step in self.bad else value

    def report(self) -> dict[str, float | int | str | bool]:
        return {"bad": len(self.bad)}


@pytest.fixture
def undefined(monkeypatch: pytest.MonkeyPatch) -> type[Undefined]:
    monkeypatch.setitem(catalogue._ADDED, "undefined", Undefined)
    return Undefined


def test_single_undefined_losses_are_skipped_and_counted(
    prepared: PreparedCases, undefined: type[Undefined], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undefined, "bad", range(2, 4))
    model = train(prepared, prepared.labelled[:2], replace(QUICK, strategy="undefined"))
    assert model.report["skipped_steps"] == 2
    assert model.report["strategy_bad"] == 2
    assert torch.isfinite(weights(model)).all()


def test_a_loss_that_stays_undefined_ends_the_run(
    prepared: PreparedCases, undefined: type[Undefined], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undefined, "bad", range(1000))
    with pytest.raises(TrainingError, match="20 steps in a row"):
        train(prepared, prepared.labelled[:2], replace(QUICK, strategy="undefined", steps=40))


@pytest.mark.parametrize(
    ("ids", "change", "word"),
    [
        ((), {}, "at least one"),
        (("nobody",), {}, "nobody"),
        (None, {"strategy": "magic"}, "baseline"),
        (None, {"steps": 0}, "positive"),
        (None, {"max_minutes": -1.0}, "positive"),
        (None, {"max_minutes": 0.0}, "positive"),
        (None, {"max_minutes": float("nan")}, "positive"),
        (None, {"learning_rate": float("nan")}, "positive"),
        (None, {"learning_rate": float("inf")}, "positive"),
        (None, {"average": 1.0}, "below 1"),
    ],
)
def test_runs_that_make_no_sense_are_refused(
    prepared: PreparedCases, ids: tuple[str, ...] | None, change: dict, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        train(prepared, prepared.labelled[:2] if ids is None else ids, replace(QUICK, **change))


def prepared_files(prepared: PreparedCases) -> list[CaseFiles]:
    return list(prepared._files.values())
