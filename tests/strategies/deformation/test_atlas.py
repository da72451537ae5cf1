"""Registration, templates, subspaces and coverage on cases whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation import atlas_store
from scaling_app.strategies.deformation.alignment import (
    Frame,
    Placement,
    common_parts,
    look_at,
    make_frame,
    moments,
    place,
    sort_structures,
)
from scaling_app.strategies.deformation.atlas import build_atlas, register_labelled, register_unlabelled
from scaling_app.strategies.deformation.atlas_store import AtlasStore, content_hash
from scaling_app.strategies.deformation.group import gather
from scaling_app.strategies.deformation.registration import warp
from scaling_app.strategies.deformation.shape_coverage import coverage, shape_coverage
from scaling_app.strategies.deformation.subspace import embed, fit_subspace, logarithm_of_pair
from scaling_app.strategies.deformation.velocity import Flow, Lattice

pytestmark = pytest.mark.slow_training

SPACING = (1.0, 1.0, 1.9)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return AtlasStore(tmp_path_factory.mktemp("atlas"), SPACING, STRUCTURES)


@pytest.fixture(scope="module")
def placed(store, volumes):
    """The atlas of four volumes, with the fifth registered without its label."""
    key, atlas, around = store.atlas(volumes[:4])
    return atlas, around, store.unlabelled(key, atlas, volumes[4])


def dice(a: torch.Tensor, b: torch.Tensor) -> float:
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def carried(placed, i, j, source, target, *, deform: bool) -> float:
    """Dice of case i's organ carried onto case j by exp(-v_i) o exp(v_j), on j's voxels."""
    atlas, around, _ = placed
    a, b = around[i.case_id], around[j.case_id]
    points = torch.stack(
        torch.meshgrid(*[torch.arange(float(n)) for n in target.shape], indexing="ij"), dim=-1
    )
    mm = points @ b.placement.matrix.T + torch.tensor(b.placement.offset_mm)
    if deform:
        mm = Flow.of(b.velocity, atlas.frame.nodes)(mm)
        mm = Flow.of(a.velocity, atlas.frame.nodes).inverse()(mm)
    index = a.placement.to_voxels(mm).round().long().clamp(min=0)
    index = torch.minimum(index, torch.tensor(source.shape) - 1)
    return dice(source[tuple(index.unbind(-1))], target)


def test_pairs_by_composition_through_the_template(placed, volumes) -> None:
    before, after = [], []
    for i in volumes[:4]:
        for j in volumes[:4]:
            if i is not j:
                masks = i.label[0] > 0, j.label[0] > 0
                before.append(carried(placed, i, j, *masks, deform=False))
                after.append(carried(placed, i, j, *masks, deform=True))
    assert sum(after) / len(after) > sum(before) / len(before) + 0.05


def overlap(atlas, case, placement, velocity) -> float:
    """Dice of the template's organ, carried onto a case by a velocity, with the case's own."""
    found = warp(atlas.template.signed, velocity, atlas.frame.nodes, atlas.frame.grid.shape) < 0
    real = look_at(case, placement, atlas.frame, atlas.shared).signed < 0
    return dice(found[0], real[0])


def test_an_image_without_its_label_finds_its_place(placed, volumes) -> None:
    atlas, _, found = placed
    still = overlap(atlas, volumes[4], found.placement, torch.zeros_like(found.velocity))
    assert overlap(atlas, volumes[4], found.placement, found.velocity) > still + 0.1


def test_a_models_prediction_helps_to_place_an_image(placed, volumes) -> None:
    atlas, _, alone = placed
    chances = torch.nn.functional.one_hot(volumes[4].label[0].long(), 3).movedim(-1, 0).float()
    found = register_unlabelled(atlas, volumes[4], SPACING, lambda image: chances)
    assert (
        overlap(atlas, volumes[4], found.placement, found.velocity)
        > overlap(atlas, volumes[4], alone.placement, alone.velocity) + 0.1
    )


def test_the_template_is_unbiased_and_knows_only_its_fold(placed, store, volumes, bare) -> None:
    atlas, around, _ = placed
    mean = torch.stack([around[c.case_id].velocity for c in volumes[:4]]).mean(dim=0)
    assert float(mean.abs().max()) < 1e-4
    again = build_atlas(volumes[:4], SPACING, STRUCTURES)
    assert torch.allclose(again.template.image, atlas.template.image, atol=1e-5)
    with pytest.raises(ValueError, match="label"):
        build_atlas([bare(volumes[0])], SPACING, STRUCTURES)


@pytest.mark.usefixtures("coarse_registrations")
def test_registrations_are_kept_reused_and_extended(tmp_path, pictures, monkeypatch) -> None:
    made, added = [], []
    build, register = atlas_store.build_atlas, atlas_store.register_labelled
    monkeypatch.setattr(
        atlas_store, "build_atlas", lambda cases, *a: made.append(len(cases)) or build(cases, *a)
    )
    monkeypatch.setattr(atlas_store, "register_labelled", lambda *a: added.append(1) or register(*a))
    cases, spacing = pictures[:6], (1.0, 1.0)

    def place(some):
        return AtlasStore(tmp_path, spacing, STRUCTURES).atlas(some)

    key, _, first = place(cases[:5])
    assert (made, added) == ([5], [])
    same, _, again = place([replace(c, case_id=c.case_id + "x") for c in reversed(cases[:5])])
    assert (made, added) == ([5], []), "content decides, not names or order"
    assert same == key and torch.equal(again["case0x"].velocity, first["case0"].velocity)
    grown, _, _ = place(cases[:6])
    assert grown == key and (made, added) == ([5], [1]), "one more case is one more registration"
    place(cases[:6])
    assert (made, added) == ([5], [1])
    place(cases[1:5])
    assert made == [5, 4], "a template with a case from outside the fold is not used"


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.usefixtures("coarse_registrations")
def test_nothing_that_ran_before_changes_a_folds_atlas_least_of_all_a_case_held_out_of_it(
    tmp_path, pictures, bare, context, pooled
) -> None:
    """Other folds, for which it is a training case or an image of the pool, and smaller runs have left all they make."""
    fold, held_out, other = pictures[:6], pictures[6], pictures[7]
    pool = [bare(other)] if pooled else []

    def gathered(cases, folder, images=()):
        return gather(cases, context(2, cache_dir=folder, pool=[*pool, *images]), with_pool=True, checked=2)

    alone = gathered(fold, tmp_path / "fresh")
    for cases in ([*fold, held_out], [*fold[1:], held_out], [*fold[:3], held_out], [held_out, *fold[:5]]):
        gathered(cases, tmp_path / "used")
    gathered(fold[1:], tmp_path / "used")
    gathered([*fold[:3], other], tmp_path / "used", [bare(held_out)])
    after = gathered(fold, tmp_path / "used")
    assert torch.equal(after.atlas.template.image, alone.atlas.template.image)
    assert torch.equal(after.codes, alone.codes)
    checked = [{name: found for name, (_, found) in group.left_out.items()} for group in (after, alone)]
    assert checked[0]
    for mine, theirs in ((after.labelled, alone.labelled), (after.unlabelled, alone.unlabelled), checked):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name].velocity, theirs[name].velocity) for name in theirs)


@pytest.mark.usefixtures("coarse_registrations")
def test_a_broken_file_in_the_cache_costs_time_only(tmp_path, pictures) -> None:
    key, _, _ = AtlasStore(tmp_path, (1.0, 1.0), STRUCTURES).atlas(pictures[:2])
    path = next(tmp_path.glob(f"deformation/{key}.atlas.pt"))
    path.write_bytes(path.read_bytes()[:100])
    again, _, around = AtlasStore(tmp_path, (1.0, 1.0), STRUCTURES).atlas(pictures[:2])
    assert again == key and len(around) == 2


def test_the_content_decides_the_hash(pictures) -> None:
    case = pictures[0]
    assert content_hash(case, with_label=True) == content_hash(replace(case, case_id="x"), with_label=True)
    assert content_hash(case, with_label=True) != content_hash(case, with_label=False)
    assert content_hash(case, with_label=True) != content_hash(
        replace(case, image=case.image + 1), with_label=True
    )


def test_structures_that_some_cases_lack_are_not_compared() -> None:
    labels = [torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1, 1]])]
    assert sort_structures(labels, {"organ": 1, "lesion": 2}) == ((1,), (2,))


def lesion_at(case: PreparedCase, corner: tuple[int, int] | None, value: int) -> PreparedCase:
    """The case with a square lesion of that value, in the image too, instead of any it has."""
    image, label = case.image.clone(), case.label.where(case.label != value, torch.tensor(0))
    if corner is not None:
        box = (0, *(slice(start, start + 5) for start in corner))
        image[box], label[box] = 4.0, value
    return replace(case, image=image, label=label.to(torch.uint8))


@pytest.mark.usefixtures("coarse_registrations")
def test_cases_with_and_without_a_lesion_are_placed_alike(pictures) -> None:
    """Where no structure is in every label, a lesion must not say how large the whole case is."""
    bare = [replace(case, label=torch.zeros_like(case.label)) for case in pictures[:4]]
    corners = [(4, 6), None, (20, 22), None]
    cases = [lesion_at(case, corner, 1) for case, corner in zip(bare, corners, strict=True)]
    small = replace(bare[0], case_id="small", image=cases[0].image[:, 4:], label=cases[0].label[:, 4:])
    atlas = build_atlas([*cases, small], (1.0, 1.0), STRUCTURES)
    assert (atlas.shared, atlas.masked) == ((), (1,))
    new = replace(lesion_at(pictures[5], (2, 2), 1), case_id="new")
    added = register_labelled(atlas, new, (1.0, 1.0))
    for placement in [found.placement for found in (*atlas.members.values(), added)]:
        assert placement.scale == 1.0
        assert torch.equal(torch.tensor(placement.rotation), torch.eye(2))
    for case in [*cases, small]:
        middle = (torch.tensor(case.image.shape[1:]) - 1) / 2
        assert torch.allclose(atlas.members[case.case_id].placement.to_voxels(torch.zeros(2)), middle)


@pytest.mark.parametrize("first_have_it", [True, False])
@pytest.mark.usefixtures("coarse_registrations")
def test_a_new_case_that_changes_what_labels_share_makes_a_new_atlas(
    tmp_path, pictures, first_have_it
) -> None:
    cases = [lesion_at(case, (13, 13) if first_have_it else None, 2) for case in pictures[:6]]
    cases[5] = lesion_at(pictures[5], None if first_have_it else (13, 13), 2)
    store = AtlasStore(tmp_path, (1.0, 1.0), STRUCTURES)
    first, _, _ = store.atlas(cases[:5])
    key, atlas, around = store.atlas(cases)
    assert key != first and len(around) == 6
    assert (atlas.shared, atlas.masked) == ((1,), (2,))


@pytest.mark.parametrize("at", range(20, 24))
def test_a_structure_that_fills_no_node_of_the_common_grid_half_is_still_compared(at: int) -> None:
    label = torch.zeros((1, 80, 80), dtype=torch.uint8)
    label[0, at, 10:70] = 1
    label[0, 30:70, 10:70] = 2
    case = PreparedCase("a", "a", label.float(), label)
    grid = Lattice((0.0, 0.0), (4.0, 4.0), (20, 20))
    placement = Placement.centring([0.0, 0.0], (1.0, 1.0), 1.0, torch.eye(2))
    signed = look_at(case, placement, Frame(grid, grid), (1, 2)).signed
    thin, thick = signed < 0
    assert 15 <= int(thin.any(dim=0).sum()) <= 17 and int(thin.sum(dim=0).max()) <= 2
    both = look_at(replace(case, label=label.where(label == 2, 0)), placement, Frame(grid, grid), (2,)).signed
    assert torch.equal(both[0] < 0, thick)


def test_moments_are_those_of_the_single_voxels(volumes) -> None:
    label, spacing = volumes[0].label[0], torch.tensor(SPACING)
    found = moments(label, (1, 2, 7), SPACING)
    places = [(label == value).nonzero() * spacing for value in (1, 2)]
    everything = torch.cat(places)
    centre = everything.mean(dim=0)
    assert torch.allclose(torch.tensor(found.centre_mm), centre, atol=1e-4)
    assert found.radius_mm == pytest.approx(
        float((everything - centre).norm(dim=1).square().mean().sqrt()), rel=1e-4
    )
    assert torch.allclose(torch.tensor(found.reach_mm), (everything - centre).abs().amax(dim=0), atol=1e-4)
    seen = torch.stack([*(p.mean(dim=0) - centre for p in places), torch.zeros(3)])
    assert torch.allclose(found.parts, seen, atol=1e-4)
    assert moments(label, (7,), SPACING) is None


def test_moments_make_no_copy_of_a_volume() -> None:
    label = torch.ones((128, 40, 40), dtype=torch.uint8)
    with torch.profiler.profile(profile_memory=True) as watched:
        moments(label, (1,), SPACING)
    assert max(event.self_cpu_memory_usage for event in watched.events()) < label.numel()


def test_many_structures_are_looked_at_in_the_memory_of_one() -> None:
    shape, values = (128, 96, 80), tuple(range(1, 9))
    label = torch.zeros((1, *shape), dtype=torch.uint8)
    for value in values:
        label[0, 14 * value : 14 * value + 10, 20:80, 16:60] = value
    case = PreparedCase("case", "patient", torch.rand(1, *shape), label)
    found = moments(label[0], values, SPACING)
    frame = make_frame([found], [shape], SPACING, found.radius_mm)
    placement = place(found, SPACING, found.radius_mm, common_parts([found], found.radius_mm))
    with torch.profiler.profile(profile_memory=True) as watched:
        view = look_at(case, placement, frame, values)
    assert view.signed.shape == (8, *frame.grid.shape)
    assert max(event.self_cpu_memory_usage for event in watched.events()) <= 3 * 4 * label.numel()


def smooth_fields(count: int) -> tuple[list[torch.Tensor], Lattice]:
    from scaling_app.strategies.deformation.random_field import random_velocity

    lattice = Lattice.over_voxels((30, 30), (1.0, 1.0), 3.0)
    rng = torch.Generator().manual_seed(0)
    return [random_velocity(lattice, 1.0, 30.0, rng) for _ in range(count)], lattice


def test_the_logarithm_of_a_pair_is_that_of_the_composition() -> None:
    (a, b), lattice = smooth_fields(2)
    points = torch.rand(300, 2, generator=torch.Generator().manual_seed(1)) * 24 + 3
    exact = Flow.of(a, lattice).inverse()(Flow.of(b, lattice)(points))
    third = Flow.of(logarithm_of_pair(a, b, lattice), lattice)(points)
    first = Flow.of(b - a, lattice)(points)
    assert float((third - exact).norm(dim=-1).mean()) < 0.6 * float((first - exact).norm(dim=-1).mean())
    assert float((third - exact).norm(dim=-1).mean()) < 0.1


def test_modes_are_orthonormal_and_rebuild_what_they_were_made_from() -> None:
    fields, lattice = smooth_fields(5)
    space = fit_subspace(fields, lattice)
    vectors = embed(space.modes, lattice)
    assert torch.allclose(vectors @ vectors.T, torch.eye(4), atol=1e-4)
    assert torch.allclose(space.field(space.coefficients[2]), fields[2], atol=1e-4)
    assert torch.allclose(space.project(fields[3]), space.coefficients[3], atol=1e-4)
    assert 1 <= space.modes_90 <= 4 and 0.0 <= space.shrinkage <= 1.0


def test_more_samples_need_less_shrinkage() -> None:
    fields, lattice = smooth_fields(3)
    few = fit_subspace([fields[0], fields[1], -fields[0]], lattice)
    rng = torch.Generator().manual_seed(0)
    many = [sum(float(torch.randn((), generator=rng)) * f for f in fields) for _ in range(40)]
    assert fit_subspace(many, lattice).shrinkage < 0.2 < few.shrinkage


def test_fields_that_agree_span_nothing() -> None:
    (field,), lattice = smooth_fields(1)
    space = fit_subspace([field, field.clone()], lattice)
    assert space.modes_90 == 0 and torch.equal(space.project(field), torch.zeros(0))


def test_more_shapes_explain_an_unseen_one_better(pictures, tmp_path) -> None:
    store = AtlasStore(tmp_path, (1.0, 1.0), STRUCTURES)

    def covered(cases) -> float:
        _, atlas, around = store.atlas(cases)
        return shape_coverage(atlas, around, cases)

    fours = [covered(pictures[start : start + 4]) for start in (0, 4, 8)]
    assert 0.3 < sum(fours) / 3 < covered(pictures[:12]) <= 1.0
    _, atlas, around = store.atlas(pictures[:4])
    assert shape_coverage(atlas, around, pictures[:2]) is None


def test_structures_that_lie_turned_are_turned_back() -> None:
    """Two discs side by side, each case's pair turned by its own angle: placed, the pairs agree."""
    shape, apart = 64, 14.0
    grid = torch.stack(torch.meshgrid(torch.arange(shape), torch.arange(shape), indexing="ij"), -1).float()

    def pair(angle: float) -> torch.Tensor:
        arm = apart * torch.tensor([math.sin(angle), math.cos(angle)])
        discs = [((grid - 31.5 - side * arm).norm(dim=-1) < radius) for side, radius in ((1, 9), (-1, 5))]
        return discs[0].int() + 2 * discs[1].int()

    found = [moments(pair(angle), (1, 2), (1.0, 1.0)) for angle in (-0.5, 0.0, 0.5)]
    radius = sum(m.radius_mm for m in found) / 3
    parts = common_parts(found, radius)
    seen = []
    for m in found:
        placement = place(m, (1.0, 1.0), radius, parts)
        centres = torch.tensor(m.centre_mm) + m.parts
        seen.append(centres @ placement.matrix.T + torch.tensor(placement.offset_mm))
        again = placement.to_voxels(seen[-1])
        assert torch.allclose(again, centres, atol=1e-4)
    turned = [math.atan2(*(s[0] - s[1]).tolist()) for s in seen]
    assert max(turned) - min(turned) < 0.3  # held back, but most of the radian is gone
    assert all(torch.det(torch.tensor(place(m, (1.0, 1.0), radius, parts).rotation)) > 0.999 for m in found)


def test_a_squeezed_image_lies_further_outside_than_before(pictures, tmp_path) -> None:
    cases = {c.case_id: c for c in pictures[:10]}
    image = pictures[9].image
    width, height = image.shape[1:]
    for name, share in (("half", 2), ("third", 3)):
        flat = torch.nn.functional.interpolate(image[None], size=(width // share, height), mode="bilinear")[0]
        rest = width - width // share
        squeezed = torch.nn.functional.pad(flat, (0, 0, rest // 2, rest - rest // 2), mode="replicate")
        cases[name] = replace(pictures[9], case_id=name, label=None, image=squeezed)
    answer = coverage(
        cases,
        [f"case{i}" for i in range(6)],
        ["case9", "half", "third"],
        spacing_mm=(1.0, 1.0),
        structures=STRUCTURES,
        cache_dir=tmp_path,
    )
    distance = {c.case_id: c.distance for c in answer}
    assert distance["case9"] < min(distance["half"], distance["third"])
    assert [c.distance for c in answer] == sorted(distance.values(), reverse=True)


@pytest.mark.usefixtures("coarse_registrations")
def test_a_case_without_any_structure_changes_no_coverage(pictures, tmp_path) -> None:
    cases = {case.case_id: case for case in pictures[:8]}
    cases["healthy"] = replace(pictures[6], case_id="healthy", label=torch.zeros_like(pictures[6].label))
    labelled = [f"case{i}" for i in range(4)]
    known = {"spacing_mm": (1.0, 1.0), "structures": STRUCTURES, "cache_dir": tmp_path}
    expected = coverage(cases, labelled, ["case7"], **known)
    assert expected and coverage(cases, ["healthy", *labelled], ["case7"], **known) == expected


def test_two_labels_say_nothing_about_coverage(pictures) -> None:
    assert (
        coverage(
            {c.case_id: c for c in pictures},
            ["case0", "case1"],
            ["case2"],
            spacing_mm=(1.0, 1.0),
            structures=STRUCTURES,
        )
        == []
    )
