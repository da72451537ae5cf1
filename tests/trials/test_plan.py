"""Plans follow from the cases and the memory, and only from them."""

from __future__ import annotations

import math
import pickle
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scaling_app.imaging.geometry import read_image
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.networks import (
    build_network,
    padded_shape,
    parameter_count,
    patch_multiples,
    planned_weights,
)
from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.trials import fingerprint
from scaling_app.trials import plan as planning
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.fingerprint import Fingerprint, Intensity, found_structures
from scaling_app.trials.memory import NoRoomError, step_bytes
from scaling_app.trials.plan import Plan, make_plan


def write(
    folder: Path, name: str, image: np.ndarray, label: np.ndarray, spacing: tuple[float, ...]
) -> CaseFiles:
    affine = np.diag([*spacing, 1.0])
    paths = [folder / f"{name}_{kind}.nii.gz" for kind in ("image", "label")]
    for path, array in zip(paths, (image, label), strict=True):
        nib.save(nib.Nifti1Image(array, affine), path)
    return CaseFiles(name, name, *paths)


def block(shape: tuple[int, ...], share: float = 0.5) -> np.ndarray:
    label = np.zeros(shape, dtype=np.uint8)
    label[tuple(slice(0, max(1, int(n * share))) for n in shape)] = 1
    return label


def test_a_plan_survives_json(volume_plan: Plan) -> None:
    assert Plan.from_json(volume_plan.to_json()) == volume_plan


def test_json_of_another_version_or_kind_is_refused(volume_plan: Plan) -> None:
    with pytest.raises(ValueError, match="version"):
        Plan.from_json(replace(volume_plan, version=99).to_json())
    with pytest.raises(ValueError, match="not a plan"):
        Plan.from_json('{"a": 1}')


def test_the_grid_is_the_median_of_the_cases(volumes: list[CaseFiles], volume_plan: Plan) -> None:
    spacings = sorted(np.abs(np.diag(nib.load(case.image).affine)[:3]).tolist() for case in volumes)
    median = np.median(np.array([np.abs(np.diag(nib.load(c.image).affine))[:3] for c in volumes]), axis=0)
    assert len(spacings) == 6
    assert volume_plan.spacing == pytest.approx(median, abs=1e-3)
    assert all(p >= n for p, n in zip(volume_plan.patch, volume_plan.median_shape, strict=True))


@pytest.mark.parametrize("network", NETWORKS)
def test_patches_divide_as_the_network_needs(volumes: list[CaseFiles], network: str) -> None:
    plan = make_plan(volumes, STRUCTURES, network=network, capacity=4)
    multiples = patch_multiples(network, plan.spatial_dims, plan.strides)
    assert all(p % m == 0 for p, m in zip(plan.patch, multiples, strict=True))
    assert plan.network == network
    assert plan.batch >= (1 if network == "swinunetr" else 2)


def test_ct_is_recognised_by_its_air_and_clipped_by_its_structures(tmp_path: Path) -> None:
    image = np.full((16, 16, 16), -1000, dtype=np.int16)
    image[:8, :8, :8] = np.random.default_rng(0).normal(50, 20, (8, 8, 8))
    plan = make_plan([write(tmp_path, "ct", image, block(image.shape), (1, 1, 1))])
    assert plan.intensity.kind == "ct"
    assert -40 < plan.intensity.lower < 50 < plan.intensity.upper < 140
    assert plan.intensity.mean == pytest.approx(50, abs=5)


def test_images_masked_with_zeros_are_normalised_over_the_rest(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 16), dtype=np.float32)
    image[:8] = 100 + np.random.default_rng(0).normal(size=(8, 16, 16))
    plan = make_plan([write(tmp_path, "mr", image, block(image.shape), (1, 1, 1))])
    assert (plan.intensity.kind, plan.intensity.nonzero) == ("per_image", True)


def test_thick_slices_keep_a_coarse_axis_that_is_never_halved(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(96, 100, 9)).astype(np.float32)
    plan = make_plan([write(tmp_path, "cine", image, block(image.shape), (1.4, 1.4, 10.0))])
    assert plan.coarse_axis == 2
    assert plan.believed_spacing == plan.spacing
    assert all(step[2] == 1 for step in plan.strides)
    assert plan.patch[2] >= 9


def test_few_slices_of_unstated_thickness_are_never_merged_at_full_resolution(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(100, 10, (108, 128, 9)).astype(np.float32)
    cases = [write(tmp_path, "a", image, block(image.shape), (2.0, 2.0, 1.0))]
    plan = make_plan(cases, network="resenc", memory_bytes=2**31)
    assert plan.spacing == (2.0, 2.0, 1.0)
    assert plan.strides == ((2, 2, 1),) * 3
    assert plan.batch == 2
    assert plan.patch[2] == 9
    assert plan.believed_spacing[:2] == (2.0, 2.0)
    assert 8 < plan.believed_spacing[2] < 12


def test_a_thick_volume_is_believed_to_be_as_it_says(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(36, 40, 32)).astype(np.float32)
    plan = make_plan([write(tmp_path, "a", image, block(image.shape), (1.0, 1.0, 1.4))])
    assert plan.believed_spacing == plan.spacing


def test_a_large_scan_gets_a_coarser_grid_but_a_small_structure_stops_it(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(160, 160, 120)).astype(np.int16)
    large = make_plan([write(tmp_path, "a", image, block(image.shape), (1, 1, 1))], memory_bytes=2**28)
    few = [write(tmp_path, "b", image, block(image.shape, 0.05), (1, 1, 1))]
    small = make_plan(few, memory_bytes=2**28, coarse_to_fine=False)
    assert math.prod(large.patch) >= math.prod(large.median_shape) / 4
    assert large.spacing[0] > 1.2 > small.spacing[0]


@pytest.mark.parametrize(
    ("side", "share", "finest", "coarsest"),
    [
        (192, 0.5, 1.8, 2.0),  # up to twice
        (192, 0.08, 1.3, 1.5),  # a square of 15 pixels is 7.5 thick, and keeps five of them
        (192, 0.05, 1.0, 1.0),  # one of 9 has none to give
        (80, 0.5, 1.1, 1.25),  # 64 pixels of a picture stay
    ],
)
def test_pixels_grow_while_all_structures_are_well_seen(
    tmp_path: Path, side: int, share: float, finest: float, coarsest: float
) -> None:
    image = np.random.default_rng(0).normal(size=(side, side, 1)).astype(np.int16)
    plan = make_plan([write(tmp_path, "a", image, block(image.shape, share), (1, 1, 5))])
    assert plan.spatial_dims == 2
    assert finest <= plan.spacing[0] <= coarsest
    assert min(plan.median_shape) >= 64


def test_less_memory_gives_smaller_batches(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(100, 100, 100)).astype(np.float32)
    case = write(tmp_path, "a", image, block(image.shape, 0.1), (1, 1, 1))
    voxels = [
        plan.batch * math.prod(plan.patch)
        for plan in (make_plan([case], memory_bytes=mb * 2**20) for mb in (20, 80, 2000))
    ]
    assert voxels == sorted(voxels)
    assert voxels[0] < voxels[-1]


def _on_gpu_of(gigabytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    total = gigabytes * 2**30
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (total // 3, total))


def test_a_gpu_keeps_the_cases_own_voxels_and_its_memory_decides_the_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).integers(-500, 500, (256, 256, 150)).astype(np.int16)
    cases = [write(tmp_path, "ct", image, block(image.shape, 0.2), (0.78, 0.78, 1.0))]
    patches = []
    for gigabytes in (8, 24, 80):
        _on_gpu_of(gigabytes, monkeypatch)
        plan = make_plan(cases, network="resenc")
        assert plan.spacing == (0.78, 0.78, 1.0) and plan.capacity == "large"
        assert plan.memory_mb == int(0.8 * gigabytes * 1024)
        step = NETWORKS["resenc"].bytes_per_voxel * 32 * plan.batch * math.prod(plan.patch)
        assert (
            0.5 * plan.memory_mb * 2**20 < step <= plan.memory_mb * 2**20 or plan.patch >= plan.median_shape
        )
        patches.append(math.prod(plan.patch))
    assert 64**3 < patches[0] < patches[1] <= patches[2]


def test_train_and_replay_plan_alike_on_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert step_bytes() == step_bytes(4 * 2**30) == 2 * 2**30
    assert step_bytes(2**30) == 2**29
    _on_gpu_of(24, monkeypatch)
    assert step_bytes(2**30) == step_bytes() == int(0.8 * 24 * 2**30)


@pytest.mark.parametrize("network", ["resunet", "resenc"])
def test_a_larger_network_never_gets_a_coarser_grid(tmp_path: Path, network: str) -> None:
    image = np.random.default_rng(0).normal(size=(160, 160, 120)).astype(np.int16)
    cases = [write(tmp_path, "a", image, block(image.shape), (1, 1, 1))]
    plans = [
        make_plan(cases, network=network, capacity=capacity, memory_bytes=2**29)
        for capacity in ("small", "medium", "large", 64)
    ]
    assert len({plan.spacing for plan in plans}) == 1
    voxels = [math.prod(plan.patch) for plan in plans]
    assert voxels == sorted(voxels, reverse=True) and voxels[-1] < voxels[0]


Task = tuple[tuple[int, ...], tuple[float, ...], float, tuple[float, ...]]
"""Shape, voxel size, thickness of the thinnest structure and box about all of them, in mm, of a median case."""

ODD_TASKS: list[Task] = [
    ((223, 223, 14), (0.05, 0.01, 0.01), 0.1, (0.2, 2.2, 0.04)),
    ((68, 68, 14), (25.0, 1.25, 5.0), 15.0, (34.0, 1.7, 70.0)),
    ((583, 583), (0.86, 0.25), 10.0, (500.0, 43.0)),
    ((285, 285), (0.08, 0.27), 0.43, (6.5, 7.6)),
    ((640, 640, 1), (0.5, 0.5, 1.0), 20.0, (30.0, 30.0, 1.0)),
]


def _random_tasks(count: int) -> list[Task]:
    rng = np.random.default_rng(19)
    tasks = []
    for _ in range(count):
        dims = 2 if rng.random() < 0.3 else 3
        shape = tuple(int(n) for n in 2 ** rng.uniform(1, 9.3, dims))
        spacing = tuple(rng.choice([1, 1, 1.2, 2, 3.5, 8, 40], dims) * 2 ** rng.uniform(-6, 3))
        box = tuple(
            rng.choice([0.02, 0.1, 0.3, 1]) * n * size for n, size in zip(shape, spacing, strict=True)
        )
        tasks.append((shape, spacing, min(spacing) * 2 ** rng.uniform(-3, 6), box))
    return tasks


@pytest.mark.parametrize("network", ["resenc", "unet"])
def test_neither_more_memory_nor_more_capacity_ever_makes_the_finest_voxels_coarser(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CaseFiles("a", "a", Path("a"), Path("a"))
    for shape, spacing, thinnest, box in ODD_TASKS + _random_tasks(8):
        extent = tuple(n * size for n, size in zip(shape, spacing, strict=True))
        prints = Fingerprint(
            spacing, spacing, shape, extent, 1, Intensity("per_image"), thinnest, box, mirrored=()
        )
        monkeypatch.setattr(planning, "take_fingerprints", lambda *_, prints=prints: prints)
        for structures in ({"one": 1}, {f"part {n}": n for n in range(1, 300)}):
            by_memory = [
                _finest(case, structures, network, "small", megabytes) for megabytes in (64, 128, 2048)
            ]
            by_width = [_finest(case, structures, network, width, 256) for width in (2, 4, 8, 32)]
            for finest in (by_memory, by_width):
                known = [size for size in finest if size is not None]
                assert known == sorted(known, reverse=True), (shape, spacing, thinnest, box, finest)


def _finest(
    case: CaseFiles, structures: dict[str, int], network: str, width: str | int, megabytes: int
) -> float | None:
    """The finest voxels of a plan; None where its smallest step finds no room."""
    try:
        plan = make_plan([case], structures, network=network, capacity=width, memory_bytes=megabytes * 2**20)
    except ValueError as error:
        assert "MiB are allowed" in str(error)
        return None
    return min(min(look.spacing) for look in (plan, plan.fine) if look is not None)


def test_many_structures_get_smaller_patches_of_the_same_memory(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(60, 60, 60)).astype(np.float32)
    case = write(tmp_path, "a", image, block(image.shape), (1, 1, 1))
    sizes = {
        count: make_plan([case], {f"part {n}": n for n in range(1, count + 1)}, memory_bytes=64 * 2**20)
        for count in (1, 8, 300)
    }
    voxels = {count: plan.batch * math.prod(plan.patch) for count, plan in sizes.items()}
    assert voxels[300] < voxels[8] / 4
    assert sizes[8].patch == sizes[1].patch
    assert voxels[300] * 300 * 4 * 4 < 64 * 2**20  # logits, their exponentials, true classes, the gradient


@pytest.mark.parametrize("shape", [(9, 8, 7), (1, 9, 8), (12, 10), (1, 1, 1)])
def test_all_structures_are_measured_at_once_as_one_at_a_time(shape: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(1).integers(0, 5, shape).astype(np.uint8)
    spacing = (0.5, 1.0, 3.0)[: len(shape)]
    together = fingerprint._thicknesses(numbers, 5, spacing)
    alone = [fingerprint._thicknesses((numbers == n).astype(np.uint8), 1, spacing)[0] for n in range(1, 6)]
    assert together == alone and together[4] == 0


def test_a_plate_is_as_thick_as_it_is() -> None:
    plate = np.zeros((200, 200, 9), np.uint8)
    plate[:, :, 3:6] = 1
    assert fingerprint._thicknesses(plate, 1, (1.0, 1.0, 0.7))[0] == pytest.approx(3 * 0.7, rel=0.03)


def test_memory_for_no_patch_is_refused_with_the_number_that_would_do(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    cases = [write(tmp_path, "a", image, block(image.shape), (1, 1, 1))]
    with pytest.raises(ValueError, match=r"takes \d+ MiB and 1 MiB are allowed") as refused:
        make_plan(cases, network="resenc", capacity="large", memory_bytes=2**20)
    for nothing in (0, -(2**20)):
        with pytest.raises(ValueError, match=r"takes 1 MiB and -?\d MiB are allowed"):
            make_plan(cases, network="resenc", memory_bytes=nothing)
    elsewhere = pickle.loads(pickle.dumps(refused.value))  # of a run in another process
    assert (str(elsewhere), elsewhere.ram_bytes) == (str(refused.value), refused.value.ram_bytes)
    assert ": allow more memory, or take a smaller capacity" in str(refused.value)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        with pytest.raises(ValueError, match="take a GPU with more memory, or take a smaller") as on_gpu:
            make_plan(cases, network="resenc", capacity="large", memory_bytes=2**20)
        assert on_gpu.value.ram_bytes is None
    needed = int(re.search(r"takes (\d+) MiB", str(refused.value)).group(1))
    assert make_plan(cases, network="resenc", capacity="large", memory_bytes=needed * 2**20)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("megabytes", [64, 512, 2048, 2**20])
def test_no_step_on_a_processor_is_larger_than_the_bound_or_else_than_one_smallest_patch(
    network: str, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, entry = CaseFiles("a", "a", Path("a"), Path("a")), NETWORKS[network]
    small = [((n, n, n), (1.0, 1.0, 1.0), 5.0, (n / 2, n / 2, n / 2)) for n in (16.0, 32.0, 64.0)]
    held = 0
    for shape, spacing, thinnest, box in small + ODD_TASKS + _random_tasks(12):
        shape = tuple(int(n) for n in shape)
        extent = tuple(n * size for n, size in zip(shape, spacing, strict=True))
        prints = Fingerprint(
            spacing, spacing, shape, extent, 1, Intensity("per_image"), thinnest, box, mirrored=()
        )
        monkeypatch.setattr(planning, "take_fingerprints", lambda *_, prints=prints: prints)
        try:
            plan = make_plan([case], {"one": 1}, network=network, memory_bytes=megabytes * 2**20)
        except ValueError as error:
            assert "MiB are allowed" in str(error)
            continue
        for look in filter(None, (plan, plan.fine)):
            multiples = patch_multiples(network, look.spatial_dims, look.strides)
            step = look.batch * math.prod(padded_shape(look.patch, multiples))
            assert step * entry.bytes_per_voxel * 8 <= megabytes * 2**20
            bound = planning._CPU_VOXELS[look.spatial_dims] * entry.speed
            assert step <= bound or step == 2 * math.prod(multiples), (shape, spacing, look)
            held += 1
    assert held > 5 or megabytes == 64


def test_the_smallest_patch_is_one_that_is_not_filled_up_where_the_case_has_as_much(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(80, 70, 60)).astype(np.float32)
    plan = make_plan([write(tmp_path, "a", image, block(image.shape), (1, 1, 1))], network="swinunetr")
    assert (sorted(plan.patch), plan.batch) == ([32, 32, 64], 1)


def test_a_case_of_the_smallest_patch_gets_a_smaller_batch_before_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on_gpu_of(8, monkeypatch)  # there the memory alone decides
    image = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    cases = [write(tmp_path, "a", image, block(image.shape), (1, 1, 1))]
    entry, batches = NETWORKS["swinunetr"], []
    weights = 20 * planned_weights("swinunetr", 3, 1, 2, "small", ((2, 2, 2),) * 3) - 16 * 2**20
    weights = -(-weights // 2**20) * 2**20  # the plan's memory is told in whole MiB
    for of_patch in (4, 3, 2, 1):
        step = of_patch * 64 * 32**2 * entry.bytes_per_voxel * 8 + weights
        plan = make_plan(cases, network="swinunetr", capacity="small", memory_bytes=step)
        assert plan.patch == (32, 32, 32)
        batches.append(plan.batch)
    assert batches == [4, 3, 2, 1]
    with pytest.raises(ValueError, match=r"takes 462 MiB and 461 MiB"):
        make_plan(cases, network="swinunetr", capacity="small", memory_bytes=step - 1)


def test_weights_count_in_the_memory_of_a_step(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.int16)
    cases = [write(tmp_path, "a", image, block(image.shape), (1, 1, 1))]
    for network in ("resenc", "dynunet"):
        narrow, wide = (
            make_plan(cases, network=network, capacity=32, memory_bytes=memory) for memory in (2**28, 2**33)
        )
        weights = 20 * parameter_count(build_network(network, 3, 1, 2, 32, strides=narrow.strides))
        step = narrow.batch * math.prod(narrow.patch) * NETWORKS[network].bytes_per_voxel * 32
        assert weights + step <= 2**28 + 16 * 2**20
        assert math.prod(narrow.patch) < math.prod(wide.patch)
        with pytest.raises(NoRoomError, match=r"takes \d{4} MiB and 1024 MiB are allowed"):
            make_plan(cases, network=network, capacity=256, memory_bytes=2**30)


def test_large_patches_of_the_full_resolution_network_get_more_levels(volume_plan) -> None:
    small = replace(volume_plan, network="resenc", patch=(64, 64, 64), spacing=(1.0, 1.0, 1.0))
    assert len(small.strides) == 3
    assert len(replace(small, patch=(128, 128, 128)).strides) == 4
    assert len(replace(small, patch=(320, 320, 256)).strides) == 5
    assert len(replace(small, network="resunet", patch=(320, 320, 256)).strides) == 3


def test_pictures_are_planned_in_two_dimensions_and_colour(pictures: list[CaseFiles]) -> None:
    plan = make_plan(pictures, STRUCTURES)
    assert (plan.spatial_dims, plan.channels, plan.slice_axis) == (2, 3, None)
    with pytest.raises(ValueError, match="dimension 2"):
        make_plan(pictures, STRUCTURES, spatial_dims=3)


def test_a_two_dimensional_plan_of_volumes_works_across_the_coarsest_axis(volumes: list[CaseFiles]) -> None:
    plan = make_plan(volumes, STRUCTURES, spatial_dims=2)
    assert (plan.spatial_dims, plan.slice_axis, len(plan.spacing), len(plan.patch)) == (2, 2, 2, 2)


def test_a_case_is_read_once_for_many_plans_and_again_when_its_label_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(5).normal(size=(20, 20, 20)).astype(np.float32)
    cases = [write(tmp_path, name, image, block(image.shape), (1, 1, 1)) for name in ("once", "twice")]
    opened: list[Path] = []
    monkeypatch.setattr(fingerprint, "read_image", lambda path: opened.append(path) or read_image(path))
    plans = [make_plan(cases, {"block": 1}) for _ in range(3)]
    assert plans[0] == plans[2] and opened == [case.image for case in cases]
    write(tmp_path, "twice", image, np.zeros(image.shape, np.uint8), (1, 1, 1))
    make_plan(cases, {"block": 1})
    assert opened[2:] == [cases[1].image]


@pytest.mark.parametrize("shape", [(64, 64, 20), (16, 256, 20), (2, 100, 410), (20, 64, 64)])
def test_voxels_that_intensities_are_read_off_come_from_all_along_every_axis(shape: tuple[int, ...]) -> None:
    for axis, size in enumerate(shape):
        places = torch.arange(size).view([-1 if a == axis else 1 for a in range(len(shape))]).expand(shape)
        found = fingerprint.thinned(places, math.prod(shape) // 20)
        assert len(found) > math.prod(shape) // 40
        assert torch.equal(found.unique(), torch.arange(size))


def test_few_voxels_are_all_read() -> None:
    values = torch.arange(60).reshape(3, 4, 5)
    assert torch.equal(fingerprint.thinned(values, 31), values.flatten())
    assert fingerprint.thinned(values[:0]).numel() == 0


def test_voxels_of_a_few_nanometres_are_planned_at_their_size(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    plan = make_plan([write(tmp_path, "em", image, block(image.shape), (5e-5, 5e-5, 7e-5))])
    assert plan.spacing == pytest.approx((5e-5, 5e-5, 7e-5)) and plan.median_shape == (16, 16, 16)


def test_structures_are_found_and_keep_the_values_of_the_files(tmp_path: Path) -> None:
    label = block((8, 8, 8)) * 7
    label[7, 7, 7] = 200
    case = write(tmp_path, "a", np.ones((8, 8, 8), dtype=np.float32), label, (1, 1, 1))
    assert found_structures([case]) == {"structure_7": 7, "structure_200": 200}
    plan = make_plan([case])
    assert plan.class_values == (0, 7, 200)
    assert plan.classes == {"structure_7": 1, "structure_200": 2}


def test_what_cannot_be_planned_is_refused(
    volumes: list[CaseFiles], pictures: list[CaseFiles], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make_plan([])
    with pytest.raises(ValueError, match="resunet"):
        make_plan(volumes, STRUCTURES, network="vnet")
    with pytest.raises(ValueError, match="different kinds"):
        make_plan([*volumes, *pictures], STRUCTURES)
    empty = write(
        tmp_path, "a", np.ones((8, 8, 8), dtype=np.float32), np.zeros((8, 8, 8), np.uint8), (1, 1, 1)
    )
    with pytest.raises(ValueError, match="no label holds"):
        make_plan([empty])
    other = replace(volumes[0], label=volumes[1].label)
    with pytest.raises(ValueError, match=volumes[0].case_id):
        make_plan([other], STRUCTURES)
