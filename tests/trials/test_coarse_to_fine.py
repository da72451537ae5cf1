"""Small structures in large cases: a coarse look finds them, a fine network segments there, and one file holds both."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scaling_app.imaging.geometry import read_image
from scaling_app.trials import coarse_to_fine, inference, training, two_trainings
from scaling_app.trials import plan as plan_module
from scaling_app.trials.boxes import about_all, box_about, on_grid, parts_of, widened
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.failures import TrainingError
from scaling_app.trials.model import TrainedModel, length_of, read_safely, write_whole
from scaling_app.trials.pace import Pace
from scaling_app.trials.plan import Plan, make_plan
from scaling_app.trials.preparation import prepare_image
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import StepReport
from scaling_app.trials.training import train

CPU = torch.device("cpu")
SMALL_STEP = {2: 8000, 3: 52_000}
QUICK = RunSettings(strategy="none", steps=5, seed=3)
SHAPE = (96, 96, 64)
ALL = tuple(slice(0, n) for n in SHAPE)
SMALL, FAR = ((20, 36), (30, 46), (12, 28)), ((70, 86), (72, 88), (44, 60))


Ranges = tuple[tuple[int, int], ...]


def written(folder: Path, index: int, *boxes: Ranges, dimmer: Ranges | None = None) -> CaseFiles:
    """A case with bright boxes, and one that is none; those of odd cases lie further along the first axis."""
    rng = np.random.default_rng(index)
    label = np.zeros(SHAPE, np.uint8)
    for box in boxes:
        label[tuple(slice(a + 3 * (index % 2) * (axis == 0), b) for axis, (a, b) in enumerate(box))] = 1
    image = (100 * label + rng.normal(0, 5, SHAPE)).astype(np.float32)
    if dimmer is not None:
        image[tuple(slice(*side) for side in dimmer)] = 60
    paths = [folder / f"{index}_{kind}.nii.gz" for kind in ("image", "label")]
    for path, array in zip(paths, (image, label), strict=True):
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return CaseFiles(f"case{index}", f"case{index}", *paths)


@pytest.fixture(scope="module", autouse=True)
def small_steps() -> Iterator[None]:
    """So few voxels a step that these small cases are large ones."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan_module, "_CPU_VOXELS", SMALL_STEP)
        yield


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> list[CaseFiles]:
    folder = tmp_path_factory.mktemp("sparse")
    return [written(folder, index, SMALL) for index in range(2)]


@pytest.fixture(scope="module")
def plan(sparse: list[CaseFiles]) -> Plan:
    return make_plan(sparse, {"thing": 1}, network="resunet", capacity=4)


@pytest.fixture(scope="module")
def cases(plan: Plan, sparse: list[CaseFiles], tmp_path_factory: pytest.TempPathFactory) -> PreparedCases:
    return PreparedCases(plan, sparse, tmp_path_factory.mktemp("cache"), 2**28)


def weights(model: TrainedModel) -> Tensor:
    assert model.fine is not None
    both = [*model.network.parameters(), *model.fine.network.parameters()]
    return torch.cat([weight.detach().flatten() for weight in both])


def after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


def test_where_structures_fill_little_the_fine_voxels_follow_them_and_the_coarse_ones_the_case(
    sparse: list[CaseFiles], plan: Plan
) -> None:
    one = make_plan(sparse, {"thing": 1}, network="resunet", capacity=4, coarse_to_fine=False)
    assert one.fine is None
    assert plan.fine is not None and plan.fine.fine is None
    assert min(plan.fine.spacing) <= min(one.spacing) <= min(plan.spacing)
    assert min(plan.spacing) >= 1.5 * min(plan.fine.spacing)
    assert Plan.from_json(plan.to_json()) == plan


def test_where_structures_fill_the_case_the_plan_is_that_of_one_network(tmp_path: Path) -> None:
    filled = [written(tmp_path, 0, ((10, 80), (10, 80), (8, 50)))]
    plans = [
        make_plan(filled, {"thing": 1}, network="resunet", coarse_to_fine=wanted) for wanted in (True, False)
    ]
    assert plans[0] == plans[1]


def test_the_fine_cases_are_boxes_about_the_structures_normalised_as_parts_of_the_whole(
    cases: PreparedCases, sparse: list[CaseFiles], plan: Plan
) -> None:
    assert plan.fine is not None
    case = cases.at(plan.fine)["case0"]
    image, label = (nib.load(path).get_fdata() for path in (sparse[0].image, sparse[0].known_label))
    assert case.image[0].numel() < image.size / 2
    assert int(case.known_label.sum()) == int(label.sum())
    assert all(n >= side for n, side in zip(case.image.shape[1:], plan.fine.patch, strict=True))
    inside = case.image[0][case.known_label[0] > 0].mean()
    assert float(inside) == pytest.approx((image[label > 0].mean() - image.mean()) / image.std(), rel=0.3)


class Bright(nn.Module):
    """The structure where the normalised image is above a threshold; counts the voxels that it is shown."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold, self.seen = threshold, 0

    def forward(self, image: Tensor) -> Tensor:
        self.seen += image.numel()
        return 20 * torch.cat([torch.zeros_like(image), image - self.threshold], dim=1)


def test_a_plate_thinner_than_half_a_coarse_voxel_is_learned_and_found(tmp_path: Path, plan: Plan) -> None:
    """The median case may be thicker: the grid follows that one."""
    look = replace(plan, spacing=(6.0,) * 3, patch=(16, 16, 8), median_shape=(16, 16, 11), fine=None)
    plates = [
        written(tmp_path, index, ((18, 78), (30 + 11 * index, 32 + 11 * index), (8, 56)))
        for index in range(3)
    ]
    cases = PreparedCases(look, plates, tmp_path / "cache", 2**28)
    assert all(70 <= int(cases[plate.case_id].known_label.sum()) <= 200 for plate in plates)
    model = train(cases, cases.labelled[:2], RunSettings(strategy="none", steps=80, seed=0))
    for plate in plates:
        ((_, probability),) = [pair for pair in model.maps(read_image(plate.image)) if pair[0] == 1]
        true = torch.from_numpy(nib.load(plate.known_label).get_fdata()) > 0
        assert float((probability[true] > 0.5).float().mean()) > 0.5


def model_of(plan: Plan, coarse: float, fine: float) -> TrainedModel:
    assert plan.fine is not None
    inner = TrainedModel(plan.fine, Bright(fine), (), {}, CPU)
    return TrainedModel(plan, Bright(coarse), (), {}, CPU, fine=inner)


def test_every_part_that_the_coarse_look_found_is_segmented_finely(plan: Plan, tmp_path: Path) -> None:
    two = written(tmp_path, 0, SMALL, FAR)
    model = model_of(plan, coarse=4.0, fine=4.0)
    truth = nib.load(two.known_label).get_fdata()
    assert np.array_equal(model.segment(two.image)[0].numpy(), truth)
    alone = replace(model, fine=None).segment(two.image)[0].numpy()
    assert not np.array_equal(alone, truth)
    total = sum(probability.float() for _, probability in model.maps(read_image(two.image)))
    assert torch.allclose(total, torch.ones(SHAPE), atol=0.01)


def test_many_boxes_take_no_more_ram_than_one_may(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = written(tmp_path, 0, SMALL, FAR)
    model = model_of(plan, coarse=4.0, fine=4.0)
    usual = model.segment(two.image)
    assert model.fine is not None
    boxes: list[int] = []
    predict = coarse_to_fine.predict

    def noting(network: nn.Module, *more: object) -> Tensor:
        found = predict(network, *more)
        boxes.append(found.nbytes)
        return found

    spilled: list[int] = []
    on_disk = inference._on_disk
    monkeypatch.setattr(coarse_to_fine, "predict", noting)
    monkeypatch.setattr(inference, "_on_disk", lambda shape: spilled.append(shape) or on_disk(shape))
    assert torch.equal(model.segment(two.image), usual)
    assert len(boxes) == 3 and not spilled
    monkeypatch.setattr(inference, "_IN_RAM_BYTES", max(boxes))
    assert torch.equal(model.segment(two.image), usual)
    assert len(spilled) == 1


@pytest.mark.parametrize("patch", [(32, 32, 24), (24, 24, 24), (96, 96, 64)])
@pytest.mark.parametrize("shape", [(96, 96, 64), (20, 31, 40), (130, 24, 24)])
def test_the_voxels_shown_to_a_network_are_known_before(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    assert plan.fine is not None
    fine = replace(plan.fine, patch=patch)
    for slab_bytes in (inference._SLAB_BYTES, 4 * 2 * 30 * 60**2):
        monkeypatch.setattr(inference, "_SLAB_BYTES", slab_bytes)
        network = Bright(0.0)
        inference.predict(network, fine, torch.zeros(1, *shape), CPU)
        assert network.seen == inference.voxels_shown(fine, shape)


MARKS = {
    "everything": lambda places: torch.ones_like(places[0], dtype=torch.bool),
    "all but a border": lambda places: torch.stack([p % (int(p.max()) or 1) > 0 for p in places]).all(0),
    "every fourth voxel": lambda places: torch.stack([p % 4 == 0 for p in places]).all(0),
    "every eighth voxel": lambda places: torch.stack([p % 8 == 3 for p in places]).all(0),
    "a checkerboard": lambda places: sum(p // 3 for p in places) % 2 == 0,
    "noise": lambda places: torch.rand(places[0].shape, generator=torch.Generator().manual_seed(0)) < 0.02,
}


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("patch", [(16, 16, 16), (32, 32, 24), None])
def test_whatever_the_coarse_look_suspects_costs_no_more_than_one_pass_over_the_case(
    plan: Plan,
    sparse: list[CaseFiles],
    monkeypatch: pytest.MonkeyPatch,
    marks: str,
    patch: tuple[int, ...] | None,
) -> None:
    assert plan.fine is not None
    fine = replace(plan.fine, patch=patch or plan.fine.patch)
    model = model_of(replace(plan, fine=fine), coarse=4.0, fine=4.0)
    assert model.fine is not None
    predict = coarse_to_fine.predict

    def suspecting(network: nn.Module, plan: Plan, prepared: Tensor, device: torch.device) -> Tensor:
        if network is not model.network:
            return predict(network, plan, prepared, device)
        places = torch.meshgrid(*(torch.arange(n) for n in prepared.shape[1:]), indexing="ij")
        marked = MARKS[marks](places).half()
        return torch.stack([1 - marked, marked])

    monkeypatch.setattr(coarse_to_fine, "predict", suspecting)
    model.segment(sparse[0].image)
    everything = prepare_image(fine, read_image(sparse[0].image), ALL)
    whole = Bright(4.0)
    inference.predict(whole, fine, everything, CPU)
    assert 0 < model.fine.network.seen <= whole.seen < 8 * everything[0].numel()


def test_parts_that_only_the_fine_look_saw_are_not_believed(plan: Plan, tmp_path: Path) -> None:
    case = written(tmp_path, 0, SMALL, dimmer=((39, 42), (36, 40), (18, 22)))
    model = model_of(plan, coarse=8.0, fine=4.0)
    assert np.array_equal(model.segment(case.image)[0].numpy(), nib.load(case.known_label).get_fdata())
    found = model.fine.predict(prepare_image(plan.fine, read_image(case.image), ALL))
    assert bool((found[1][39:42, 36:40, 18:22] > 0.5).all())


def test_where_nothing_was_found_the_coarse_answer_stands_and_nothing_is_looked_at_again(
    plan: Plan, sparse: list[CaseFiles]
) -> None:
    model = model_of(plan, coarse=1e6, fine=-1e6)
    assert not bool(model.segment(sparse[0].image).any())
    assert model.fine is not None and model.fine.network.seen == 0


def test_both_networks_share_the_steps_and_lie_in_one_file(cases: PreparedCases, tmp_path: Path) -> None:
    told: list[StepReport] = []
    model = train(cases, cases.labelled, QUICK, on_step=told.append)
    assert [report.step for report in told if report.phase == "training"] == [1, 2, 3, 4, 5]
    assert {report.steps for report in told} == {5}
    assert [report.phase for report in told].count("done") == 1
    assert (model.report["steps"], model.report["coarse_steps"]) == (5, round(5 * two_trainings.COARSE_SHARE))
    shares = (two_trainings.COARSE_SHARE, 1 - two_trainings.COARSE_SHARE)
    assert model.fine is not None
    fine = model.fine.report["seconds"]
    parts = (model.report["seconds"] - fine, fine)
    needed = max(part / share for part, share in zip(parts, shares, strict=True)) / 60
    assert length_of(model.report)["minutes"] == pytest.approx(needed, rel=0.05), (
        "each has its share of the minutes"
    )
    again = TrainedModel.load(model.save(tmp_path / "m.pt"), "cpu")
    assert torch.equal(weights(again), weights(model))
    assert again.fine is not None and again.fine.plan == again.plan.fine == cases.plan.fine


def test_what_is_told_of_both_networks_counts_the_minutes_of_the_fine_one_and_the_steps_that_were_made(
    cases: PreparedCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of one second a look at it: the minutes end both after a part of their steps."""
    clock = itertools.count()
    seen = SimpleNamespace(perf_counter=lambda: float(next(clock)), thread_time=time.thread_time)
    monkeypatch.setattr(training, "time", seen)
    told: list[StepReport] = []
    model = train(cases, cases.labelled, replace(QUICK, steps=400, max_minutes=1.0), on_step=told.append)
    coarse, made = model.report["coarse_steps"], model.report["steps"]
    assert model.report["ended"] == "time" and 1 < coarse < made < 100
    in_training = [report for report in told if report.phase == "training"]
    assert [report.step for report in in_training] == list(range(1, made + 1)), "no step is left out"
    assert (told[-1].phase, told[-1].step, told[-1].steps) == ("done", made, 400), "as is recorded"
    seconds = 60 * (1 - two_trainings.COARSE_SHARE)
    known = [report for report in told if report.eta_s is not None]
    before = [report for report in known if report.step <= coarse]
    assert min(report.eta_s for report in before) == seconds, "the fine one has all of its minutes"
    assert all(60 <= report.seconds + report.eta_s <= 65 for report in known)
    shares = [report.share for report in known]
    assert shares == sorted(shares) and shares[-1] > 0.95
    assert told[-1].share == 1.0


@pytest.mark.parametrize("steps", [1, 3], ids=["in the coarse look", "in the fine one"])
def test_a_training_stopped_in_either_look_goes_on_to_the_same_weights(
    cases: PreparedCases, tmp_path: Path, steps: int
) -> None:
    whole = train(cases, cases.labelled, QUICK)
    checkpoint = tmp_path / "run.pt"
    stopped = train(cases, cases.labelled, QUICK, checkpoint=checkpoint, should_stop=after(steps))
    assert (stopped.report["ended"], stopped.report["steps"]) == ("asked", steps)
    told: list[StepReport] = []
    resumed = train(cases, cases.labelled, QUICK, checkpoint=checkpoint, on_step=told.append)
    assert min(report.step for report in told if report.phase == "training") == steps + 1
    assert torch.allclose(weights(resumed), weights(whole), atol=1e-6)


@pytest.mark.parametrize("lost", ["coarse", "weights"])
def test_a_checkpoint_of_the_fine_look_without_a_part_of_it_costs_no_more_than_its_training(
    cases: PreparedCases, tmp_path: Path, lost: str
) -> None:
    checkpoint = tmp_path / "run.pt"
    train(cases, cases.labelled, QUICK, checkpoint=checkpoint, should_stop=after(3))
    content = read_safely(checkpoint)
    del content[lost]
    write_whole(content, checkpoint)
    again = train(cases, cases.labelled, QUICK, checkpoint=checkpoint)
    assert torch.equal(weights(again), weights(train(cases, cases.labelled, QUICK)))


@pytest.mark.parametrize("strategy", ["baseline", "red", "genda"])
def test_strategies_work_in_the_boxes_too(cases: PreparedCases, strategy: str) -> None:
    model = train(cases, cases.labelled, replace(QUICK, strategy=strategy, steps=4))
    assert model.fine is not None
    assert model.fine.report["strategy"] == strategy
    assert bool(torch.isfinite(weights(model)).all())


def test_the_record_tells_of_the_images_under_carried_labels_in_the_coarse_look(
    plan: Plan, tmp_path: Path
) -> None:
    """The fine look has no pool: boxes lie about labels. So it has nothing to say of it."""
    files = [written(tmp_path, index, SMALL) for index in range(4)]
    labelled, pool = files[:3], replace(files[3], label=None)
    cases = PreparedCases(plan, [*labelled, pool], tmp_path / "cache", 2**30)
    ids = [case.case_id for case in labelled]
    model = train(cases, ids, replace(QUICK, strategy="regda+pool", steps=4), pool_ids=[pool.case_id])
    assert model.report["strategy_carried"] == 1
    assert model.fine is not None and "strategy_carried" not in model.fine.report


def test_a_later_training_starts_each_network_from_its_own(cases: PreparedCases, tmp_path: Path) -> None:
    before = train(cases, cases.labelled, QUICK)
    file = before.save(tmp_path / "m.pt")
    slow = replace(QUICK, steps=2, learning_rate=1e-9)
    later = train(cases, cases.labelled, slow, warm_start=file)
    assert torch.allclose(weights(later), weights(before), atol=1e-4)


@pytest.mark.parametrize("share", [two_trainings.COARSE_SHARE, 1 - two_trainings.COARSE_SHARE])
def test_minutes_that_leave_either_network_as_it_began_make_no_model(
    cases: PreparedCases, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Its own minutes are over before its first step."""
    own = pytest.approx(10 * share)
    monkeypatch.setattr(Pace, "is_out_of_time", lambda pace, seconds: pace.max_minutes == own)
    with pytest.raises(TrainingError, match="not one training step fits into the minutes"):
        train(cases, cases.labelled, replace(QUICK, max_minutes=10.0))


def test_one_step_is_one_network_s(cases: PreparedCases) -> None:
    model = train(cases, cases.labelled, replace(QUICK, steps=1))
    assert model.fine is None and model.report["steps"] == 1


def test_boxes_hold_what_they_are_about_stay_inside_and_become_one_where_that_costs_nothing() -> None:
    mask = torch.zeros((40, 30), dtype=torch.bool)
    mask[2:4, 3:9] = mask[30:33, 20:22] = True
    assert box_about(mask) == (slice(2, 33), slice(3, 22))
    assert box_about(torch.zeros_like(mask)) is None
    assert widened((slice(2, 4), slice(3, 9)), (3, 3), (12, 4), mask.shape) == (slice(0, 12), slice(0, 12))
    assert parts_of(mask, (1, 1), (1, 1)) == [(slice(1, 5), slice(2, 10)), (slice(29, 34), slice(19, 23))]
    assert parts_of(mask, (20, 20), (1, 1)) == [(slice(0, 40), slice(0, 30))]
    assert on_grid((slice(1, 3), slice(0, 4)), (4, 4), (10, 8)) == (slice(2, 8), slice(0, 8))


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_of_boxes_about_specks_no_two_would_be_cheaper_together_and_none_lies_in_another(
    share: float,
) -> None:
    mask = torch.rand((60, 50, 40), generator=torch.Generator().manual_seed(1)) < share
    boxes = parts_of(mask, (3, 3, 3), (12, 12, 12), 200)
    volumes = [math.prod(side.stop - side.start for side in box) for box in boxes]
    for one, other in itertools.combinations(range(len(boxes)), 2):
        both = about_all([boxes[one], boxes[other]])
        assert math.prod(side.stop - side.start for side in both) > volumes[one] + volumes[other]
