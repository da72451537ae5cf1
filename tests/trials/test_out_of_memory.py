"""Memory that runs out anywhere in a step costs that step and half of the patches, and leaves nothing half made."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from scaling_app.imaging.whole_steps import whole_step
from scaling_app.strategies import catalogue
from scaling_app.strategies.base import Batch, Strategy, StrategyContext
from scaling_app.strategies.generative import stages
from scaling_app.trials import training
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.failures import TrainingError
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.optimising import Descent, WeightMean
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.training import train

SETTINGS = RunSettings(strategy="none", steps=6, seed=3, average=0.5)


class RunsOut:
    """Raises once, in the place it is put to, from that step on; what is called there may be done before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
        self.monkeypatch, self.step, self.first, self.raised = monkeypatch, -1, first, False
        real = training._Run._one_step

        def one_step(run: training._Run, *arguments: object) -> None:
            self.step = run.step
            real(run, *arguments)

        monkeypatch.setattr(training._Run, "_one_step", one_step)

    def now(self) -> None:
        if not self.raised and self.step >= self.first:
            self.raised = True
            raise torch.OutOfMemoryError("out of memory")

    def put(self, place: object, name: str, *, after: bool, calls: int = 1) -> None:
        real, counted = getattr(place, name), [0]

        def called(*arguments: object, **more: object) -> object:
            counted[0] += self.step >= self.first
            if counted[0] == calls and not after:
                self.now()
            given = real(*arguments, **more)
            if counted[0] == calls:
                self.now()
            return given

        self.monkeypatch.setattr(place, name, called)


def weights(model: TrainedModel) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.network.parameters()])


def without_memory(
    prepared: PreparedCases, where: str, first: int, settings: RunSettings = SETTINGS
) -> TrainedModel:
    places = {
        "forward": (training._Run, "_loss", {"after": True}),
        "backward": (Tensor, "backward", {"after": True}),
        "unscaling": (torch.amp.GradScaler, "unscale_", {"after": True}),
        "clipping": (nn.utils, "clip_grad_norm_", {"after": True}),
        "what the optimiser keeps": (torch, "zeros_like", {"after": False, "calls": 8}),
        "averaging": (WeightMean, "update_parameters", {"after": False}),
    }
    with pytest.MonkeyPatch.context() as patched:
        memory = RunsOut(patched, first)
        place, name, how = places[where]
        if name == "zeros_like":  # of the optimiser's alone
            real = torch.optim.Adam._init_group

            def keeping(*arguments: object, **more: object) -> object:
                with pytest.MonkeyPatch.context() as within:
                    memory.monkeypatch = within
                    memory.put(place, name, **how)
                    return real(*arguments, **more)

            patched.setattr(torch.optim.Adam, "_init_group", keeping)
        else:
            memory.put(place, name, **how)
        model = train(prepared, prepared.labelled[:2], settings)
        assert memory.raised
    return model


@pytest.mark.parametrize(
    ("where", "step"),
    [
        ("backward", 0),
        ("backward", 3),
        ("unscaling", 0),
        ("unscaling", 3),
        ("clipping", 0),
        ("clipping", 3),
        ("what the optimiser keeps", 0),
        ("averaging", 1),
        ("averaging", 3),
    ],
)
def test_wherever_memory_runs_out_the_training_is_that_without_the_step(
    prepared: PreparedCases, caplog: pytest.LogCaptureFixture, where: str, step: int
) -> None:
    left_out = without_memory(prepared, "forward", step)
    model = without_memory(prepared, where, step)
    report = model.report
    assert (report["batch"], report["skipped_steps"], report["steps"]) == (2, 1, 6)
    assert caplog.text.count("out of memory with 4 patches a step: 2 from now on") == 2
    assert torch.equal(weights(model), weights(left_out))
    assert report["loss"] == left_out.report["loss"]


class Carrying(Strategy):
    """Adds a case, as `regda+pool` adds carried ones."""

    name: ClassVar[str] = "carrying"
    seen: ClassVar[list[tuple[str, ...]]] = []

    def prepare(self, cases, context: StrategyContext) -> None:
        self.added = [replace(cases[0], case_id="added")]

    def added_cases(self):
        return self.added

    def loss(self, network, loss, batch: Batch, step: int) -> Tensor:
        if len(batch.case_ids) > 1:
            raise torch.OutOfMemoryError("out of memory")
        self.seen.append(batch.case_ids)
        return super().loss(network, loss, batch, step)


def test_one_patch_a_step_is_in_turn_of_every_case_and_a_resumed_run_takes_the_same(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(catalogue._ADDED, Carrying.name, Carrying)
    ids, settings = prepared.labelled[:2], RunSettings(strategy=Carrying.name, steps=14, seed=3)
    Carrying.seen.clear()
    whole = train(prepared, ids, settings)
    unbroken = Carrying.seen[:]
    counts = Counter(case for (case,) in unbroken)
    assert counts["added"] == 6 and min(counts[case] for case in ids) >= 2
    assert (whole.report["batch"], whole.report["skipped_steps"]) == (1, 2)
    Carrying.seen.clear()
    asked = iter([False] * 7 + [True])
    checkpoint = tmp_path / "run.pt"
    train(prepared, ids, settings, checkpoint=checkpoint, should_stop=lambda: next(asked, True))
    resumed = train(prepared, ids, settings, checkpoint=checkpoint)
    assert Carrying.seen == unbroken
    assert torch.equal(weights(resumed), weights(whole))


def test_no_memory_for_the_mean_after_the_last_step_is_made_and_the_mean_is_whole(
    prepared: PreparedCases,
) -> None:
    usual = train(prepared, prepared.labelled[:2], SETTINGS)
    with pytest.MonkeyPatch.context() as patched:
        memory = RunsOut(patched, SETTINGS.steps - 1)
        memory.put(WeightMean, "update_parameters", after=False, calls=2)
        model = train(prepared, prepared.labelled[:2], SETTINGS)
        assert memory.raised
    assert model.report["skipped_steps"] == 0
    assert torch.equal(weights(model), weights(usual))


def test_an_optimiser_that_never_finds_room_is_told_of(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_arguments: object, **_more: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", no_room)
    with pytest.raises(TrainingError, match="does not fit the device's memory"):
        train(prepared, prepared.labelled[:2], SETTINGS)


@pytest.mark.parametrize("fused", [False, True], ids=["as on a processor", "as on a GPU"])
def test_an_optimiser_keeps_nothing_of_a_first_step_that_failed(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    descents = []
    for _ in "ab":
        torch.manual_seed(0)
        descents.append(
            Descent(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), 0.1, 0.5, torch.device("cpu"))
        )
        own = descents[-1]
        own.optimiser = torch.optim.AdamW(own.network.parameters(), lr=0.1, fused=fused)
    steady, shaken = descents
    made = [0]
    real = torch.zeros_like

    def zeros_like(*arguments: object, **more: object) -> Tensor:
        made[0] += 1
        if made[0] == 6:
            raise torch.OutOfMemoryError("out of memory")
        return real(*arguments, **more)

    def step(descent: Descent) -> None:
        descent.forget_gradient()
        loss = descent.network(torch.ones(4, 3)).square().mean()
        descent.backward(loss)
        descent.step(loss, 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "zeros_like", zeros_like)
        with pytest.raises(torch.OutOfMemoryError):
            step(shaken)
    assert not shaken.optimiser.state
    shaken.skip()
    for _ in range(3):
        step(shaken)
        step(steady)
    for descent in descents:
        descent.settle()
    for one, other in zip(steady.average.parameters(), shaken.average.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_was_kept_before_a_failed_step_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (nn.Parameter(torch.ones(2)) for _ in "ab")
    optimiser = torch.optim.Adam([first, second])
    stages._step(optimiser, [first], [torch.ones(2)])
    kept = optimiser.state[first]["exp_avg"].clone()
    with pytest.raises(torch.OutOfMemoryError), whole_step(optimiser):
        optimiser.state[second]["step"] = torch.zeros(())
        raise torch.OutOfMemoryError("out of memory")
    assert set(optimiser.state) == {first} and torch.equal(optimiser.state[first]["exp_avg"], kept)
    stages._step(optimiser, [first, second], [torch.ones(2), torch.ones(2)])
    assert len(optimiser.state) == 2
