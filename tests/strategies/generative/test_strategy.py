"""GenSeg inside a training: phases, bad input, resuming, and what it says of itself."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
import weakref
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.generative import coupling as coupling_module
from scaling_app.strategies.generative.schedule import Phase
from scaling_app.strategies.making import make_strategy

from .trainings import (
    PATCH,
    STEPS,
    batch_of,
    context,
    dice_ce,
    disc_case,
    new_network,
    prepared,
    run,
)

pytestmark = pytest.mark.slow_training


@pytest.mark.parametrize("patch", [(32, 32), (16, 16, 12)], ids=["2D", "3D"])
def test_a_training_searches_moves_the_architecture_and_logs_it(patch, caplog) -> None:
    caplog.set_level("INFO")
    cases = [disc_case(i, patch) for i in range(4)]
    strategy = prepared(cases, patch, steps=80, interval="2", width="8")
    losses = run(strategy, new_network(len(patch)), cases, range(80), patch)
    report = strategy.report()
    assert all(math.isfinite(x) for x in losses)
    assert report["outer_steps"] >= 8
    assert report["architecture_max_change"] > 1e-2
    assert 0 < report["architecture_entropy"] < 1
    assert report["architecture"].count(",") == 2 * len(strategy.coupling.trainer.generator.strides) - 1
    assert bool(strategy.coupling.trainer.generator.chosen.any())  # discretised at the end
    assert "entropy" in caplog.text and "max change" in caplog.text
    assert all(isinstance(v, (str, bool)) or math.isfinite(v) for v in report.values())


@pytest.mark.usefixtures("coarse_registrations")
def test_the_pools_images_under_carried_labels_train_with_the_labelled_cases(cases) -> None:
    strategy = make_strategy("genda+genseg")
    pool = [dataclasses.replace(disc_case(i), label=None) for i in (10, 11)]
    strategy.prepare(
        cases,
        dataclasses.replace(context(interval="2", width="8"), pool=pool, options={"carry_labels": "first"}),
    )
    added = list(strategy.added_cases())
    assert [case.case_id for case in added] == ["case10", "case11"]
    assert strategy.draws_added(0) and not strategy.draws_added(STEPS - 1)
    losses = run(strategy, new_network(), [*cases, *added], range(STEPS))
    assert all(math.isfinite(x) for x in losses) and strategy.report()["outer_steps"] >= 2


def test_cases_are_not_kept_open_between_steps() -> None:
    """Each of many cases is a mapped file; only so many may be open at once."""
    opened = weakref.WeakSet()

    class Mapped(Sequence):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> PreparedCase:
            if not 0 <= index < 6:
                raise IndexError(index)
            case = disc_case(index)
            opened.add(case.image)
            return case

    mapped = Mapped()
    strategy = prepared(mapped, interval="2", width="8")
    gc.collect()
    assert len(opened) == 0
    run(strategy, new_network(), list(map(disc_case, range(6))), range(14))
    gc.collect()
    assert strategy.report()["outer_steps"] > 0 and len(opened) == 0


@pytest.mark.parametrize(("patients", "carried"), [(4, 2), (11, 0)])
@pytest.mark.usefixtures("coarse_registrations")
def test_few_labelled_patients_are_joined_by_the_pool_unless_it_is_not_wanted(
    tmp_path, patients, carried
) -> None:
    cases = [disc_case(i) for i in range(patients)]
    pool = [dataclasses.replace(disc_case(i), label=None) for i in (20, 21)]
    for options, count in (({}, carried), ({"carry_labels": "never"}, 0)):
        strategy = make_strategy("genda+genseg")
        strategy.prepare(
            cases, dataclasses.replace(context(), pool=pool, options=options, cache_dir=tmp_path)
        )
        assert len(strategy.added_cases()) == count


def test_fields_vary_every_image_that_the_segmenter_sees_and_their_strengths_are_searched(
    cases, monkeypatch
) -> None:
    strategy, seen = prepared(cases, interval="2", width="8", fields="true"), []
    network = new_network()
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    strategy.coupling.proof.patience = 1000
    run(strategy, network, cases, range(STEPS))
    shown = torch.cat([image[:4] for image in seen if len(image) == 4])
    plain = torch.cat([batch_of(cases, step).image for step in range(STEPS)])
    untouched = sum(any(torch.equal(one, other) for other in plain) for one in shown)
    assert untouched <= 0.3 * len(shown)  # an eighth escapes all three kinds
    report = strategy.report()
    assert {report[f"field_{kind}"] for kind in ("curve", "gain", "offset")} != {1.0}
    assert report["outer_steps"] >= 8


def test_without_fields_the_segmenter_sees_real_images_as_they_are(cases) -> None:
    strategy, batch = prepared(cases), batch_of(cases, 0)
    assert strategy.coupling.seen_through_fields(batch) is batch


def test_without_a_network_the_pairs_are_warped_real_images_under_fields(cases) -> None:
    strategy = make_strategy("genseg+fields")
    strategy.prepare(cases, context(interval="2"))
    painter = copy.deepcopy(strategy.coupling.trainer.generator.state_dict())
    run(strategy, new_network(), cases, range(STEPS))
    report, generator = strategy.report(), strategy.coupling.trainer.generator
    assert all(
        torch.equal(t, painter[name]) for name, t in generator.state_dict().items() if name != "chosen"
    )
    assert "architecture" not in report and "discriminator_accuracy" not in report
    assert report["outer_steps"] >= 5 and report["field_offset"] != 1.0
    plain = prepared(cases, network="false")
    made = plain.coupling.synthesise(3, [c.case_id for c in cases], lambda image, _: image)
    assert torch.equal(made.pairs.image, made.patches.image)


@pytest.mark.usefixtures("coarse_registrations")
def test_the_generator_learns_from_carried_labels_although_a_step_shows_it_few_samples(
    cases, monkeypatch
) -> None:
    strategy = make_strategy("genda+genseg")
    pool = [dataclasses.replace(disc_case(10), label=None)]
    strategy.prepare(
        cases,
        dataclasses.replace(context(interval="2", width="8"), pool=pool, options={"carry_labels": "always"}),
    )
    (added,) = strategy.added_cases()
    shown = []
    trainer = strategy.coupling.trainer
    learn = trainer.stage_one
    monkeypatch.setattr(
        trainer, "stage_one", lambda pairs, *a, **k: shown.append(pairs.image) or learn(pairs, *a, **k)
    )
    network = new_network()
    for step in range(6):
        batch = batch_of([cases[0], added], step)
        strategy.loss(network, dice_ce, batch, step)
    for sample in batch.image[:2]:
        assert any(torch.equal(seen, sample) for image in shown for seen in image)


def test_a_search_whose_time_to_settle_is_skipped_still_chooses_its_candidates(cases) -> None:
    strategy = prepared(cases, steps=16, interval="2", width="8")
    assert Phase.SETTLE not in {strategy._schedule.phase(step / 16) for step in range(16)}
    run(strategy, new_network(), cases, range(13))
    assert bool(strategy.coupling.trainer.generator.chosen.any())


def test_until_pairs_are_shown_to_do_more_than_unpainted_training_is_as_if_there_were_none(cases) -> None:
    plain, strategy = make_strategy("baseline"), prepared(cases, interval="2", proof="true")
    plain.prepare(cases, context())
    expected, network = new_network(), new_network()
    assert run(plain, expected, cases, range(STEPS)) == run(strategy, network, cases, range(STEPS))
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), network.parameters(), strict=True))
    report = strategy.report()
    assert report["omega"] == 0 and "not shown to do more than unpainted" in report["synthesis"]
    assert report["outer_steps"] >= 8 and report["architecture_max_change"] > 0  # the search goes on


def test_once_shown_pairs_train_the_segmenter_and_real_pairs_of_the_patient_left_out_do_not(cases) -> None:
    plain, strategy = make_strategy("baseline"), prepared(cases, interval="2", proof="true")
    plain.prepare(cases, context())
    expected, network = new_network(), new_network()
    batches: list[tuple[str, ...]] = []
    real_loss = strategy.real.loss
    strategy.real.loss = lambda n, f, batch, s: batches.append(batch.case_ids) or real_loss(n, f, batch, s)
    run(strategy, network, cases, range(12))
    guard = strategy.coupling.proof
    guard.shown, guard.mean, guard.magnitude = True, 1.0, 1.0
    run(strategy, network, cases, range(12, 14))
    run(plain, expected, cases, range(14))
    assert strategy.report()["synthesis"] == "on" and strategy.report()["omega"] > 0
    assert not all(
        torch.equal(a, b) for a, b in zip(expected.parameters(), network.parameters(), strict=True)
    )
    sizes = [len(ids) for ids in batches]
    assert sizes[:12] == [4] * 12  # looking ahead leaves the batch whole
    assert min(sizes[12:]) < 4


def test_one_case_alone_trains_without_synthesis_and_says_so(caplog) -> None:
    one = [disc_case(0)]
    strategy, plain = prepared(one), make_strategy("baseline")
    plain.prepare(one, context())
    network = new_network()
    batch = batch_of(one, 0)
    assert torch.equal(strategy.loss(network, dice_ce, batch, 20), plain.loss(network, dice_ce, batch, 20))
    assert "one patient only" in strategy.report()["synthesis"]
    assert "one patient only" in caplog.text


def test_the_run_ends_on_real_pairs_alone(cases) -> None:
    strategy = prepared(cases)
    network, batch = new_network(), batch_of(cases, 0)
    for step in (0, STEPS - 1):
        assert float(strategy.loss(network, dice_ce, batch, step)) == pytest.approx(
            float(dice_ce(network(batch.image), batch.label))
        )


def test_an_undefined_generator_loss_costs_its_own_step_only(cases) -> None:
    strategy = prepared(cases, interval="2")
    run(strategy, new_network(), cases, range(12))
    trainer = strategy.coupling.trainer
    weights = copy.deepcopy(trainer.generator.state_dict())
    head = trainer.generator.head.conv
    head.register_forward_hook(lambda *_: torch.full_like(_[2], float("nan")))
    network = new_network()
    losses = run(strategy, network, cases, range(12, 26))
    assert all(math.isfinite(x) for x in losses)
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())
    assert all(torch.equal(t, weights[n]) for n, t in trainer.generator.state_dict().items())
    assert strategy.report()["skipped_steps"] > 0
    assert "not finite" in strategy.report()["synthesis"]
    skipped = strategy.report()["skipped_steps"]
    resumed, later = prepared(cases, interval="2"), prepared(cases, interval="2")
    for other, step in ((resumed, 26), (later, 0)):
        other.load_state_dict(strategy.state_dict())
        run(other, new_network(), cases, [step])
    assert (resumed.report()["skipped_steps"], later.report()["skipped_steps"]) == (skipped, 0)


def test_constant_images_and_a_structure_missing_from_most_cases_train_on() -> None:
    cases = [disc_case(i, constant=True) for i in range(3)]
    for case in cases[1:]:
        case.label[case.label == 2] = 1
    strategy = prepared(cases, interval="2")
    losses = run(strategy, new_network(), cases, range(STEPS))
    assert all(math.isfinite(x) for x in losses)
    assert all(isinstance(v, (str, bool)) or math.isfinite(v) for v in strategy.report().values())


@pytest.mark.parametrize(("stop", "fields"), [(6, "false"), (17, "false"), (33, "false"), (17, "true")])
def test_a_resumed_run_goes_on_exactly_as_if_never_interrupted(cases, stop, fields, tmp_path) -> None:
    whole, network = prepared(cases, interval="2", fields=fields), new_network()
    expected = run(whole, network, cases, range(STEPS))
    first, network = prepared(cases, interval="2", fields=fields), new_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    begun = run(first, network, cases, range(stop), optimizer=optimizer)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    again = prepared(cases, interval="2", fields=fields)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    rest = run(again, network, cases, range(stop, STEPS), optimizer=optimizer)
    assert begun + rest == pytest.approx(expected, rel=1e-5)
    assert again.report()["architecture"] == whole.report()["architecture"]


def test_a_warm_start_keeps_the_generator_searches_anew_and_warms_up_shortly(cases) -> None:
    first = prepared(cases[:3])
    run(first, new_network(), cases[:3], range(STEPS))
    first.coupling.trainer._sure_steps = 1000  # its adversary has been too strong to learn from
    state = first.state_dict()
    warm = prepared(cases)
    warm.load_state_dict(state)
    run(warm, new_network(), cases, [0])
    trainer = warm.coupling.trainer
    assert trainer.steps > first.coupling.trainer.steps - 1
    assert not bool(trainer.generator.chosen.any())
    assert warm.coupling.outer_steps == 0
    assert trainer._discriminator_plays
    run(warm, new_network(), cases, range(1, STEPS // 4))
    assert warm.coupling.outer_steps > 0  # a cold run is still warming up here


def test_a_longer_search_is_given_up_later_and_after_a_warm_start_too(cases) -> None:
    short, long = make_strategy("genseg"), make_strategy("genseg")
    short.prepare(cases, context(400))
    long.prepare(cases, context(4000))
    assert long.coupling.proof.patience == 10 * short.coupling.proof.patience == 100
    long.coupling.start_anew()
    assert long.coupling.proof.patience == 100


def test_a_refused_warm_start_leaves_a_search_that_can_move(cases) -> None:
    earlier = prepared(cases)
    run(earlier, new_network(), cases, range(STEPS))
    assert bool(earlier.coupling.trainer.generator.chosen.any())
    for refused in (_of_other_classes(earlier.state_dict()), _of_other_optimiser(earlier.state_dict())):
        warm = prepared(cases)
        before = copy.deepcopy(warm.coupling.trainer.state_dict())
        warm.load_state_dict(refused)
        after = warm.coupling.trainer.state_dict()
        for part in ("generator", "discriminator"):
            assert all(torch.equal(before[part][name], tensor) for name, tensor in after[part].items())
        assert after["weight_optimizer"]["state"] == {}
    run(warm, new_network(), cases, range(STEPS))
    assert warm.report()["architecture_max_change"] > 0


def _of_other_classes(state: dict) -> dict:
    """As from a task of one more structure: the first convolution sees one more channel."""
    state = copy.deepcopy(state)
    generator = state["coupling"]["trainer"]["generator"]
    name = next(name for name, tensor in generator.items() if tensor.dim() == 2 + len(PATCH))
    generator[name] = torch.cat([generator[name], generator[name][:, :1]], dim=1)
    return state


def _of_other_optimiser(state: dict) -> dict:
    """As from a version whose optimiser moved fewer weights."""
    state = copy.deepcopy(state)
    state["coupling"]["trainer"]["discriminator_optimizer"]["param_groups"][0]["params"].pop()
    return state


def test_half_precision_stays_with_the_segmenter(monkeypatch) -> None:
    """Drawn patches, deformations and outer steps keep float32 inside a run's autocast."""
    cases = [disc_case(i, (16, 16, 12)) for i in range(3)]
    strategy = prepared(cases, (16, 16, 12), interval="2")
    box = torch.full((1, 1, 3, 3, 3), 1 / 27)
    strategy.real.appearance = lambda image, _: nn.functional.conv3d(image, box, padding=1)
    kinds = set()
    original = coupling_module.Coupling.synthesise

    def watched(self, *arguments, **options):
        made = original(self, *arguments, **options)
        kinds.add(made.pairs.image.dtype)
        return made

    monkeypatch.setattr(coupling_module.Coupling, "synthesise", watched)
    strategy.coupling.proof.mean = strategy.coupling.proof.magnitude = 1.0
    network = new_network(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = run(strategy, network, cases, range(STEPS), (16, 16, 12))
    assert kinds == {torch.float32}
    assert all(math.isfinite(x) for x in losses)


def test_the_wall_clock_ends_the_search_as_the_steps_do(cases, monkeypatch) -> None:
    from scaling_app.strategies.deformation import budget
    from scaling_app.strategies.generative import schedule

    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    plan = schedule.Schedule(steps=1_000_000, max_minutes=1.0)
    seen = []
    for _ in range(60):
        seen.append(plan.phase(plan.progress(0)))
        now[0] += 1.0
    assert [p for i, p in enumerate(seen) if i == 0 or p is not seen[i - 1]] == list(schedule.Phase)


def test_separate_training_never_lets_the_validation_loss_in(cases) -> None:
    strategy = prepared(cases, couple="false")
    run(strategy, new_network(), cases, range(30))
    assert strategy.report()["outer_steps"] == 0
    assert strategy.report()["architecture_max_change"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": "1"}, "genseg_speed"),
        ({"interval": "often"}, "genseg_interval"),
        ({"couple": "2"}, "true or"),
    ],
)
def test_unreadable_options_are_named(cases, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(cases, **options)
