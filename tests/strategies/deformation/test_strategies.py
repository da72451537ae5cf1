"""What every deformation strategy promises the trainer, in 2D and 3D, with few and odd cases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scaling_app.strategies.base import PreparedCase, Strategy
from scaling_app.strategies.deformation.folds import cell_determinants, count_folds, voxel_grid
from scaling_app.strategies.deformation.velocity import Deformation
from scaling_app.strategies.making import make_strategy

pytestmark = pytest.mark.slow_training

NAMES = ("red", "regda", "genda")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("registrations")


@pytest.fixture(scope="module")
def prepared(volumes, pictures, context, cache, bare):
    """Strategies that learned from labelled cases and a pool, by (name, dimension)."""
    ready: dict[tuple[str, int], Strategy] = {}
    for dims, cases in ((3, volumes[:4]), (2, pictures)):
        pool = [bare(case) for case in (volumes[4:5] if dims == 3 else [])]
        for name in NAMES:
            strategy = make_strategy(name)
            strategy.prepare(cases, context(dims, cache_dir=cache, pool=pool))
            ready[name, dims] = strategy
        adversarial = make_strategy("genda")
        adversarial.prepare(
            cases, context(dims, cache_dir=cache, pool=pool, options={"genda_generator": "adversarial"})
        )
        ready["genda-adversarial", dims] = adversarial
    return ready


@pytest.mark.parametrize("name", [*NAMES, "genda-adversarial"])
@pytest.mark.parametrize("dims", [3, 2])
def test_no_sample_folds(prepared, volumes, pictures, name: str, dims: int) -> None:
    """A thousand fields of each dimension, over the four generators."""
    strategy, cases = prepared[name, dims], volumes[:4] if dims == 3 else pictures[:8]
    generator = torch.Generator().manual_seed(1)
    corner = 8
    for index in range(250):
        case = cases[index % len(cases)]
        deformation = strategy.deformation(case, generator)
        assert deformation.certified
        low = [int(torch.randint(max(1, n - corner), (), generator=generator)) for n in case.image.shape[1:]]
        points = voxel_grid((corner,) * dims) + torch.tensor(low)
        assert count_folds(cell_determinants(deformation(points))) == 0, f"field {index}"


@pytest.mark.parametrize("name", [*NAMES, "genda-adversarial"])
@pytest.mark.parametrize("dims", [2, 3])
def test_samples_move_points_inverses_bring_them_back_and_seeds_decide(
    prepared, volumes, pictures, name: str, dims: int
) -> None:
    strategy, case = prepared[name, dims], (volumes if dims == 3 else pictures)[0]
    points = voxel_grid(tuple(case.image.shape[1:]))
    first, again, other = (
        strategy.deformation(case, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)
    )
    moved = first(points)
    assert torch.equal(moved, again(points))
    assert not torch.equal(moved, other(points))
    assert float((moved - points).abs().max()) > 0.1
    assert float((first.inverse()(moved) - points).abs().max()) < 1e-3
    assert isinstance(first, Deformation)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_a_share_of_the_samples_keeps_its_shape(pictures, context, cache, name: str) -> None:
    strategy = make_strategy(name)
    strategy.prepare(pictures[:6], context(2, cache_dir=cache, options={"deformed_share": "0.25"}))
    generator = torch.Generator().manual_seed(0)
    drawn = [strategy.deformation(pictures[0], generator) for _ in range(200)]
    assert 30 <= sum(deformation is not None for deformation in drawn) <= 70


def test_only_the_points_asked_for_matter(prepared, volumes) -> None:
    deformation = prepared["genda", 3].deformation(volumes[0], torch.Generator().manual_seed(0))
    points = voxel_grid(tuple(volumes[0].image.shape[1:]))
    assert torch.allclose(deformation(points)[3, 4], deformation(points[3, 4]), atol=1e-4)


def test_the_report_is_plain_and_says_what_was_learned(prepared) -> None:
    report = prepared["genda", 3].report()
    assert report["certified"] is True and report["shapes"] == 5 and report["shapes_unlabelled"] == 1
    assert report["generator"] == "gaussian" and report["modes"] >= 1
    assert all(isinstance(value, (bool, int, float, str)) for value in report.values())
    assert prepared["genda-adversarial", 2].report()["generator"] == "adversarial"
    assert "energy_score_adversarial" in prepared["genda", 2].report(), "sixteen shapes are compared"


@pytest.mark.usefixtures("coarse_registrations")
def test_learned_labels_only(volumes, context, cache, bare) -> None:
    strategy = make_strategy("regda")
    pool = [bare(volumes[4])]
    strategy.prepare(
        volumes[:4], context(3, cache_dir=cache, pool=pool, options={"regda_targets": "labelled"})
    )
    assert strategy.report()["shapes"] == 4


@pytest.mark.parametrize("name", NAMES)
def test_intensities_change_underneath(prepared, name: str) -> None:
    image = torch.rand(8, 1, 12, 12)
    changed = prepared[name, 2].appearance(image, torch.Generator().manual_seed(0))
    assert changed.shape == image.shape and not torch.equal(changed, image)


def deforms(strategy: Strategy, case: PreparedCase) -> bool:
    points = voxel_grid(tuple(case.image.shape[1:]))
    generator = torch.Generator().manual_seed(0)
    moved = [strategy.deformation(case, generator)(points) for _ in range(3)]
    assert all(torch.isfinite(m).all() for m in moved)
    return any(float((m - points).abs().max()) > 1e-3 for m in moved)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_one_case_alone(volumes, context, cache, name: str) -> None:
    strategy = make_strategy(name)
    strategy.prepare(volumes[:1], context(3, cache_dir=cache))
    assert deforms(strategy, volumes[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_identical_images_under_different_names(pictures, context, cache, name: str) -> None:
    cases = [replace(pictures[0], case_id=f"copy{i}") for i in range(5)]
    strategy = make_strategy(name)
    strategy.prepare(cases, context(2, cache_dir=cache))
    assert all(
        torch.isfinite(strategy.deformation(c, torch.Generator().manual_seed(0))(torch.ones(4, 2))).all()
        for c in cases
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_a_structure_that_only_one_case_has(pictures, context, cache, name: str) -> None:
    cases = [replace(c, label=torch.where(c.label == 2, 1, c.label)) for c in pictures[:3]]
    cases.append(pictures[3])
    strategy = make_strategy(name)
    strategy.prepare(cases, context(2, cache_dir=cache))
    assert deforms(strategy, cases[0]) and deforms(strategy, cases[3])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_empty_labels(pictures, context, cache, name: str) -> None:
    cases = [replace(c, label=torch.zeros_like(c.label)) for c in pictures[:3]]
    strategy = make_strategy(name)
    strategy.prepare(cases, context(2, cache_dir=cache))
    assert deforms(strategy, cases[0])


@pytest.mark.parametrize("name", ["regda", "genda"])
@pytest.mark.usefixtures("coarse_registrations")
def test_a_case_without_any_structure_does_not_change_how_the_others_are_aligned(
    pictures, context, cache, name: str
) -> None:
    healthy = replace(pictures[0], case_id="healthy", label=torch.zeros_like(pictures[0].label))
    alone, joined = make_strategy(name), make_strategy(name)
    alone.prepare(pictures[:4], context(2, cache_dir=cache))
    joined.prepare([healthy, *pictures[:4]], context(2, cache_dir=cache))
    assert joined.group.atlas.shared == alone.group.atlas.shared == (1, 2)
    assert joined.group.labelled.keys() == alone.group.labelled.keys()
    assert joined.report()["cases_without_structure"] == 1
    assert "cases_without_structure" not in alone.report()
    assert deforms(joined, healthy) and deforms(joined, pictures[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_one_slice_where_volumes_are_planned(volumes, context, cache, name: str) -> None:
    flat = replace(volumes[1], image=volumes[1].image[..., 4:5], label=volumes[1].label[..., 4:5])
    strategy = make_strategy(name)
    strategy.prepare([volumes[0], flat], context(3, cache_dir=cache))
    assert deforms(strategy, volumes[0]) and deforms(strategy, flat)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("coarse_registrations")
def test_fields_of_view_that_differ_wildly(pictures, context, cache, name: str) -> None:
    wide = torch.nn.functional.pad(pictures[1].image, (60, 5, 3, 70))
    label = torch.nn.functional.pad(pictures[1].label, (60, 5, 3, 70))
    tight = pictures[2].image[:, 6:-6, 6:-6]
    cases = [
        pictures[0],
        replace(pictures[1], image=wide, label=label),
        replace(pictures[2], image=tight, label=pictures[2].label[:, 6:-6, 6:-6]),
    ]
    strategy = make_strategy(name)
    strategy.prepare(cases, context(2, cache_dir=cache))
    assert all(deforms(strategy, case) for case in cases)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("regda", {"regda_targets": "everything"}),
        ("genda", {"genda_generator": "diffusion"}),
        ("red", {"red_strength": "very"}),
    ],
)
def test_an_option_that_does_not_exist_is_refused_before_training(pictures, context, name, options) -> None:
    with pytest.raises(ValueError):
        make_strategy(name).prepare(pictures[:1], context(2, options=options))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((40, 5, 5), (0.5, 10.0, 10.0)), ((3, 12, 12), (10.0, 10.0, 0.5)), ((40, 40, 2), (0.5, 10.0, 3.0))],
)
def test_red_does_not_fold_on_voxels_that_are_rods_either(context, shape, spacing) -> None:
    strategy = make_strategy("red")
    strategy.prepare([], context(3, spacing=spacing, options={"red_strength": "100 mm"}))
    case = PreparedCase("case", "patient", torch.zeros(1, *shape), None)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        deformation = strategy.deformation(case, generator)
        moved = deformation(voxel_grid(shape))
        assert deformation.certified and count_folds(cell_determinants(moved)) == 0
        assert float((moved - voxel_grid(shape)).abs().max()) > 0.01
