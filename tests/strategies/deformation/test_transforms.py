"""The dictionary transforms, used as MONAI users use transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd

from scaling_app.strategies.deformation.folds import voxel_grid
from scaling_app.strategies.deformation.interpolation import FieldReader, read_on_grid
from scaling_app.strategies.deformation.transforms import RandGenDAd, RandRegDAd, RandVelocityElasticd
from scaling_app.strategies.deformation.warping import warp_volumes

PAIR = {"keys": ["image", "label"], "mode": ["bilinear", "nearest"]}


def data(*shape: int, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "image": torch.rand(2, *shape, generator=rng),
        "label": torch.randint(0, 5, (1, *shape), generator=rng, dtype=torch.uint8) * 3,
        "name": "kept",
    }


def elastic(seed: int = 0, **changes) -> RandVelocityElasticd:
    transform = RandVelocityElasticd(**(PAIR | changes))
    transform.set_random_state(seed=seed)
    return transform


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 24), min_size=2, max_size=3), st.integers(0, 2**31 - 1), st.floats(0.1, 20.0))
def test_labels_stay_in_their_set_and_types_stay(shape, seed, strength) -> None:
    before = data(*shape, seed=seed % 7)
    after = elastic(seed, strength=f"{strength:.2f}%")(before)
    assert set(after["label"].unique().tolist()) <= set(before["label"].unique().tolist())
    assert after["label"].dtype == torch.uint8 and after["image"].dtype == torch.float32
    assert after["image"].shape == before["image"].shape and after["name"] == "kept"
    assert after["image"].min() >= before["image"].min() - 1e-5


@pytest.mark.parametrize("shape", [(20, 17, 14), (30, 25), (16, 16, 1)])
def test_blockwise_reading_is_grid_sampling(shape) -> None:
    transform, before = elastic(), data(*shape)
    after = transform(before)
    points = transform.deformation(voxel_grid(shape))
    sizes = torch.tensor([max(n - 1, 1) for n in shape])
    grid = (2 * points / sizes - 1).flip(-1)[None]
    read = torch.nn.functional.grid_sample(
        before["image"][None], grid, align_corners=True, padding_mode="border"
    )[0]
    assert torch.allclose(after["image"], read, atol=1e-3)
    nearest = points.round().long().clamp(min=0)
    nearest = torch.minimum(nearest, torch.tensor(shape) - 1)
    agree = (before["label"][0][tuple(nearest.unbind(-1))] == after["label"][0]).float().mean()
    assert agree > 0.999


@pytest.mark.parametrize("shape", [(12, 12), (9, 8, 7)])
def test_whole_numbers_read_linearly_are_rounded(shape) -> None:
    exact = 100 * data(*shape)["image"]
    stored = elastic(mode="bilinear", keys=["image"])({"image": exact.to(torch.int16).float()})["image"]
    whole = elastic(mode="bilinear", keys=["image"])({"image": exact.to(torch.int16)})["image"]
    assert whole.dtype == torch.int16 and torch.equal(whole, stored.round().to(torch.int16))


def test_a_seed_decides_and_every_call_differs() -> None:
    before = data(16, 16)
    first, second = elastic(3), elastic(3)
    one, two = first(before), first(before)
    assert torch.equal(one["image"], second(before)["image"])
    assert not torch.equal(one["image"], two["image"])


def test_probability_zero_leaves_everything() -> None:
    before = data(16, 16)
    after = elastic(prob=0.0)(before)
    assert after["image"] is before["image"]


def test_strength_in_mm_follows_the_metadata() -> None:
    image = torch.rand(1, 24, 24)

    def moved(spacing: float) -> float:
        affine = torch.diag(torch.tensor([spacing, spacing, 1.0, 1.0]))
        transform = elastic(2, strength="0.5 mm", keys=["image"], mode="bilinear")
        transform({"image": MetaTensor(image, affine=affine)})
        grid = voxel_grid((24, 24))
        return float((transform.deformation(grid) - grid).abs().max())

    assert moved(2.0) < 0.75 * moved(1.0)


def test_metadata_numpy_and_lazy_composition() -> None:
    before = data(16, 12, 10)
    meta = {
        "image": MetaTensor(before["image"], affine=torch.diag(torch.tensor([2.0, 2, 2, 1]))),
        "label": before["label"].numpy(),
    }
    flip = Flipd(["image"], spatial_axis=0)
    plain, lazy = (
        Compose([flip, elastic()], lazy=lazy).set_random_state(seed=0)(meta) for lazy in (False, True)
    )
    assert isinstance(plain["image"], MetaTensor) and isinstance(plain["label"], np.ndarray)
    assert torch.allclose(plain["image"].as_tensor(), lazy["image"].as_tensor(), atol=1e-3)
    assert torch.equal(plain["image"].affine, flip(meta)["image"].affine)


def test_missing_keys_and_different_shapes() -> None:
    before = data(12, 12)
    del before["label"]
    assert elastic(allow_missing_keys=True)(before)["image"].shape == (2, 12, 12)
    with pytest.raises(KeyError):
        elastic()(before)
    before["label"] = torch.zeros(1, 13, 12)
    with pytest.raises(ValueError, match="one shape"):
        elastic()(before)
    with pytest.raises(ValueError, match="bilinear or nearest"):
        elastic(mode="cubic")


@pytest.mark.parametrize("kind", [RandRegDAd, RandGenDAd])
@pytest.mark.usefixtures("coarse_registrations")
def test_learned_transforms_work_alone(pictures, context, kind) -> None:
    transform = kind(["image", "label"], pictures[:4], context(2), mode=["bilinear", "nearest"])
    transform.set_random_state(seed=0)
    case = pictures[1]
    before = {"image": case.image, "label": case.label, "case_id": case.case_id}
    after = transform(before)
    assert not torch.equal(after["image"], case.image)
    assert set(after["label"].unique().tolist()) <= {0, 1, 2}
    with pytest.raises(ValueError, match="registered cases"):
        transform(before | {"case_id": "stranger"})


@pytest.mark.parametrize("kind", [RandRegDAd, RandGenDAd])
@pytest.mark.usefixtures("coarse_registrations")
def test_samples_that_keep_their_shape_are_handed_on_unchanged(pictures, context, kind) -> None:
    known = context(2, options={"deformed_share": "0.5"})
    transform = kind(["image", "label"], pictures[:2], known, mode=["bilinear", "nearest"])
    transform.set_random_state(seed=0)
    before = {"image": pictures[1].image, "label": pictures[1].label, "case_id": pictures[1].case_id}
    kept = [transform(before)["image"] is before["image"] for _ in range(20)]
    assert 0 < sum(kept) < 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same() -> None:
    before = data(20, 18, 16)
    on_gpu = {k: v.cuda() if torch.is_tensor(v) else v for k, v in before.items()}
    here, there = elastic(1)(before), elastic(1)(on_gpu)
    assert there["image"].is_cuda
    assert torch.allclose(here["image"], there["image"].cpu(), atol=1e-3)


@pytest.mark.parametrize("shape", [(5, 7, 6), (1, 4, 3), (6, 5)])
def test_the_fast_reader_is_grid_sample(shape) -> None:
    rng = torch.Generator().manual_seed(0)
    field = torch.randn(3, *shape, generator=rng)
    points = torch.rand(len(shape), 500, generator=rng) * 2.6 - 1.3
    grid = points.T.reshape(1, *([1] * (len(shape) - 1)), -1, len(shape))
    expected = torch.nn.functional.grid_sample(field[None], grid, padding_mode="border", align_corners=True)
    assert torch.allclose(FieldReader(field)(points), expected.reshape(3, -1), atol=1e-4)


def test_reading_on_a_rectangular_grid_is_reading_at_its_points() -> None:
    field = torch.randn(2, 5, 6, 4, generator=torch.Generator().manual_seed(0))
    axes = [torch.linspace(-1.2, 1.1, n) for n in (7, 3, 5)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1]).flatten(1)
    assert torch.allclose(read_on_grid(field, axes).flatten(1), FieldReader(field)(points), atol=1e-5)


def test_volumes_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        warp_volumes([torch.zeros(1, 4, 4), torch.zeros(1, 5, 4)], [True, True], None)


def test_a_tall_volume_is_read_as_exactly_as_a_small_one() -> None:
    rng = torch.Generator().manual_seed(0)
    field = torch.rand(1, 1500, 1500, 3, generator=rng)
    points = torch.rand(3, 400, generator=rng) * 2 - 1
    points[1, ::2] = -1.0
    grid = points.T.reshape(1, 1, 1, -1, 3).double()
    expected = torch.nn.functional.grid_sample(
        field[None].double(), grid, padding_mode="border", align_corners=True
    )
    assert torch.allclose(FieldReader(field)(points).double(), expected.reshape(1, -1), atol=2e-3)


@pytest.mark.usefixtures("coarse_registrations")
def test_a_spacing_in_whole_numbers_will_do(pictures, context) -> None:
    transform = RandRegDAd(["image"], pictures[:3], context(2, spacing=(1, 1)))
    transform.set_random_state(seed=0)
    case = pictures[1]
    assert not torch.equal(transform({"image": case.image, "case_id": case.case_id})["image"], case.image)
