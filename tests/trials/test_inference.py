"""Segmentations lie on the image's own grid, however it is stored, and large ones fit in memory."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scaling_app.imaging.geometry import read_image, same_grid
from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.trials import inference
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import TrainedModel, new_network
from scaling_app.trials.plan import Plan, make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.testing import test
from scaling_app.trials.training import train

CPU = torch.device("cpu")


class Threshold(nn.Module):
    """Class 1 where the normalised image is above 0, class 2 above 1: an exact network."""

    def forward(self, image: Tensor) -> Tensor:
        x = image[:, :1]
        return 20 * torch.cat([torch.zeros_like(x), x, 2 * x - 1], dim=1)


@pytest.fixture
def exact(volume_plan: Plan) -> TrainedModel:
    """A model that thresholds, whose classes have the values 3 and 9."""
    return TrainedModel(replace(volume_plan, structures={"a": 3, "b": 9}), Threshold(), (), {}, CPU)


def test_labels_lie_on_the_grid_of_the_image_with_the_values_of_the_files(
    exact: TrainedModel, volumes: list[CaseFiles]
) -> None:
    image = read_image(volumes[0].image)
    label = exact.segment(volumes[0].image)
    assert same_grid(image, label) is None
    assert label.dtype == torch.uint8
    assert set(label.unique().tolist()) <= {0, 3, 9}
    high = image[0] > image.mean() + 0.3 * image.std()
    assert float((label[0] > 0)[high].float().mean()) > 0.8
    assert float((label[0] > 0)[~high].float().mean()) < 0.2


def test_another_orientation_and_spacing_give_the_same_segmentation(
    exact: TrainedModel, volumes: list[CaseFiles], tmp_path: Path
) -> None:
    loaded = nib.load(volumes[0].image)
    straight = exact.segment(volumes[0].image)
    turned = loaded.as_reoriented(nib.orientations.axcodes2ornt(("S", "L", "P")))
    nib.save(turned, tmp_path / "turned.nii.gz")
    label = exact.segment(tmp_path / "turned.nii.gz")
    assert label.shape[1:] == turned.shape
    back = nib.Nifti1Image(label[0].numpy(), np.asarray(label.affine)).as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(np.asarray(label.affine)),
            nib.orientations.io_orientation(loaded.affine),
        )
    )
    assert (np.asanyarray(back.dataobj) == straight[0].numpy()).mean() > 0.999
    fine = nib.Nifti1Image(
        np.repeat(np.asanyarray(loaded.dataobj), 2, axis=0), loaded.affine @ np.diag([0.5, 1, 1, 1])
    )
    nib.save(fine, tmp_path / "fine.nii.gz")
    doubled = exact.segment(tmp_path / "fine.nii.gz")
    assert doubled.shape[1] == 2 * straight.shape[1]
    assert float((doubled[:, ::2] == straight.as_tensor()).float().mean()) > 0.92


def test_probabilities_sum_to_one_and_agree_with_the_labels(
    exact: TrainedModel, volumes: list[CaseFiles]
) -> None:
    probabilities = exact.probabilities(volumes[1].image).float()
    label = exact.segment(volumes[1].image)
    assert probabilities.shape == (3, *label.shape[1:])
    assert torch.allclose(probabilities.sum(0), torch.ones(()), atol=1e-2)
    sure = probabilities.amax(0) > 0.6
    values = torch.tensor([0, 3, 9])[probabilities.argmax(0)]
    assert torch.equal(values[sure], label[0][sure].long())


def test_slabs_give_what_one_piece_gives(volume_plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(volume_plan, patch=(8, 8, 8))
    image = torch.randn((1, 50, 12, 10), generator=torch.Generator().manual_seed(0))
    whole = inference.predict(Threshold(), plan, image, CPU)
    monkeypatch.setattr(inference, "_SLAB_BYTES", 1)
    monkeypatch.setattr(inference, "_IN_RAM_BYTES", 1)
    slabs = inference.predict(Threshold(), plan, image, CPU)
    assert torch.allclose(whole.float(), slabs.float(), atol=2e-2)


def logits_taken(monkeypatch: pytest.MonkeyPatch, bound: int) -> list[int]:
    """The bytes of all logits that are in RAM at a time from now on, where so many may be."""
    taken: list[int] = []
    slide = inference._slide

    def noting(*arguments: object) -> Tensor:
        logits = slide(*arguments)
        taken.append(logits.nbytes)
        return logits

    monkeypatch.setattr(inference, "_slide", noting)
    monkeypatch.setattr(inference, "_IN_RAM_BYTES", bound)
    return taken


@pytest.mark.parametrize("shape", [(60, 60, 30), (30, 64, 64), (16, 16, 100), (9, 9, 9)])
def test_many_classes_on_a_wide_volume_take_no_more_ram_than_one_may(
    volume_plan: Plan, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    plan = replace(volume_plan, patch=(8, 8, 8))
    image = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))
    whole = inference.predict(Threshold(), plan, image, CPU)
    bound = 4 * 3 * 24**3  # the logits of a core of two patches a side, and half a patch around it
    taken = logits_taken(monkeypatch, bound)
    assert torch.allclose(inference.predict(Threshold(), plan, image, CPU).float(), whole.float(), atol=2e-2)
    assert max(taken) <= bound


@pytest.mark.parametrize("slices_in_bound", [5, 0.2], ids=["some slices", "less than a slice"])
def test_many_classes_on_wide_slices_take_no_more_ram_than_one_may(
    volume_plan: Plan, monkeypatch: pytest.MonkeyPatch, slices_in_bound: float
) -> None:
    plan = replace(volume_plan, spatial_dims=2, spacing=(1.0, 1.0), patch=(8, 8), slice_axis=1, mirrored=())
    image = torch.randn((1, 40, 11, 48), generator=torch.Generator().manual_seed(0))
    whole = inference.predict(Threshold(), plan, image, CPU)
    bound = int(slices_in_bound * 4 * 3 * 40 * 48)
    taken = logits_taken(monkeypatch, bound)
    assert torch.allclose(inference.predict(Threshold(), plan, image, CPU).float(), whole.float(), atol=2e-2)
    assert max(taken) <= bound


class Holds(Threshold):
    """Runs out of memory with more windows than it holds."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, image: Tensor) -> Tensor:
        if len(image) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(image)


def test_no_memory_for_all_windows_of_a_batch_segments_fewer_at_a_time(
    volume_plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    plan = replace(volume_plan, patch=(8, 8, 8), batch=4)
    image = torch.randn((1, 20, 20, 20), generator=torch.Generator().manual_seed(0))
    found = inference.predict(Holds(1), plan, image, CPU)
    assert torch.equal(found, inference.predict(Threshold(), plan, image, CPU))
    assert "out of memory with 4 windows at a time: 2 for this part" in caplog.text
    with pytest.raises(torch.OutOfMemoryError):
        inference.predict(Holds(0), plan, image, CPU)


def test_the_passes_over_mirrored_sides_are_not_held_together(
    volume_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[weakref.ref[Tensor]] = []
    held: list[int] = []
    flip = Tensor.flip

    def flipped(tensor: Tensor, side: tuple[int, ...]) -> Tensor:
        turned = flip(tensor, side)
        if tensor.shape[1] == 3:  # the network's answer, turned back
            passes.append(weakref.ref(turned))
        else:
            held.append(sum(one() is not None for one in passes))
        return turned

    monkeypatch.setattr(Tensor, "flip", flipped)
    plan = replace(volume_plan, spatial_dims=2, spacing=(1.0, 1.0), patch=(8, 8), batch=1, mirrored=(0, 1))
    inference.predict(Threshold(), plan, torch.randn(1, 8, 8), CPU)
    assert len(held) == 4 and max(held) == 1


class WholeWindow(nn.Module):
    """Class 1 where the window's mean is above 2.5: like a norm, it feels what a window is filled up with."""

    def forward(self, image: Tensor) -> Tensor:
        mean = image[:, :1].mean(dim=(2, 3, 4), keepdim=True).expand_as(image[:, :1])
        return 4 * torch.cat([torch.zeros_like(mean), mean - 2.5, 0 * mean - 20], dim=1)


def test_a_last_slab_thinner_than_a_window_is_not_filled_up_with_zeros(
    volume_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(volume_plan, patch=(32, 8, 8))
    image = torch.full((1, 68, 8, 8), 3.0)
    whole = inference.predict(WholeWindow(), plan, image, CPU)
    monkeypatch.setattr(inference, "_SLAB_BYTES", 1)
    slabs = inference.predict(WholeWindow(), plan, image, CPU)
    assert torch.allclose(whole.float(), slabs.float(), atol=2e-2)


def test_two_dimensional_plans_segment_volumes_slice_by_slice(
    volumes: list[CaseFiles], tmp_path: Path
) -> None:
    plan = make_plan(volumes, STRUCTURES, spatial_dims=2, capacity=4)
    cases = PreparedCases(plan, volumes, tmp_path, 2**28)
    model = train(cases, cases.labelled[:4], RunSettings(steps=40))
    scores = test(model, volumes[4:])
    assert same_grid(read_image(volumes[4].image), model.segment(volumes[4].image)) is None
    assert max(score.dice for scored in scores for score in scored.scores) > 0.4


def test_colour_pictures_are_trained_on_and_segmented(pictures: list[CaseFiles], tmp_path: Path) -> None:
    plan = make_plan(pictures, STRUCTURES, capacity=4)
    cases = PreparedCases(plan, pictures, tmp_path, 2**28)
    model = train(cases, cases.labelled[:3], RunSettings(steps=40))
    label = model.segment(pictures[3].image)
    assert label.shape == (1, *read_image(pictures[3].image).shape[1:])
    (scored,) = test(model, pictures[3:])
    assert scored.scores[0].dice > 0.4
    assert all(score.bce is not None and score.bce > 0 for score in scored.scores)


def test_testing_stops_when_asked(exact: TrainedModel, volumes: list[CaseFiles]) -> None:
    answers = iter([False, False, True])
    assert len(test(exact, volumes, should_stop=lambda: next(answers))) == 2


PATCHES = ((16, 16, 16), (16, 16, 4), (8, 8, 4), (24, 24, 24), (24, 8, 8), (12, 20, 20))


def dirty_memory() -> None:
    """Leaves large numbers where the next allocations will lie."""
    blocks = [torch.full((2**exponent,), 1e33) for exponent in range(8, 20)]
    del blocks


OF_SLICES = ((64, 64, 1), (64, 64, 2), (64, 2, 64), (2, 64, 64), (64, 64, 3), (64, 64, 8))


@pytest.mark.parametrize(
    ("network_name", "patch"),
    [*(("resunet", patch) for patch in PATCHES), *(("resenc", patch) for patch in PATCHES + OF_SLICES)],
)
def test_reduced_precision_gives_the_gradients_of_full_precision_whatever_the_patch(
    volume_plan: Plan, network_name: str, patch: tuple[int, ...]
) -> None:
    plan = replace(volume_plan, network=network_name, patch=patch, spacing=(1.0, 1.0, 1.0), capacity=8)
    torch.manual_seed(0)
    network = new_network(plan).to(memory_format=torch.channels_last_3d)
    image = torch.randn((2, 1, *patch)).to(memory_format=torch.channels_last_3d)
    wanted = torch.randn((2, len(plan.class_values), *patch))
    found = []
    for precision in (nullcontext(), inference.reduced_precision(CPU, plan)):
        network.zero_grad(set_to_none=True)
        dirty_memory()
        with precision:
            logits = network(image)
        dirty_memory()
        (logits.float() * wanted).mean().backward()
        found.append([w.grad.clone() for w in network.parameters() if w.ndim == 5])
    for full, reduced in zip(*found, strict=True):
        assert float((full - reduced).norm()) < 0.1 * float(full.norm())


def test_gpus_that_only_emulate_bfloat16_do_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not inference.gains_from_bfloat16.__wrapped__("cuda")


def test_processors_leave_bfloat16_alone_where_its_gradients_are_garbage(
    volume_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "gains_from_bfloat16", lambda _: True)
    cube = replace(volume_plan, spacing=(1.0, 1.0, 1.0), patch=(16, 16, 16))
    assert not inference.uses_bfloat16(CPU, cube)
    assert not inference.uses_bfloat16(CPU, replace(cube, patch=(64, 64, 64), network="swinunetr"))
    assert inference.uses_bfloat16(CPU, replace(cube, patch=(24, 24, 24)))
    assert inference.uses_bfloat16(CPU, replace(cube, spatial_dims=2, spacing=(1.0, 1.0), patch=(32, 32)))
    assert inference.uses_bfloat16(torch.device("cuda"), cube)
    flat = replace(cube, spatial_dims=2, spacing=(1.0, 1.0), network="deeplab")
    assert not inference.uses_bfloat16(CPU, replace(flat, patch=(8, 8)))
    assert inference.uses_bfloat16(CPU, replace(flat, patch=(16, 16)))
    for patch, right in (
        ((64, 64, 2), False),
        ((64, 2, 64), False),
        ((64, 64, 3), True),
        ((2, 64, 64), False),
    ):
        few_slices = replace(cube, network="resenc", patch=patch, spacing=(1.0, 1.0, 1.0))
        assert inference.uses_bfloat16(CPU, few_slices) == right
