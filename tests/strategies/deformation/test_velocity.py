"""Laws of velocity fields, whatever the field: certificates, inverses, units."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from scaling_app.strategies.deformation import velocity as velocity_module
from scaling_app.strategies.deformation.folds import cell_determinants, count_folds, voxel_grid
from scaling_app.strategies.deformation.random_field import Strength, fade_normal, random_velocity, tempered
from scaling_app.strategies.deformation.strategies import STRONGEST_LEARNED, random_flow, sampled_unfolded
from scaling_app.strategies.deformation.velocity import (
    Deformation,
    Flow,
    Lattice,
    derivative_bound,
    exponential,
)


@st.composite
def fields(draw, strongest: float = 6.0):
    """A velocity field of any roughness, on any lattice, with its bound anywhere up to `strongest`."""
    dims = draw(st.sampled_from([2, 3]))
    shape = tuple(draw(st.integers(4, 9)) for _ in range(dims))
    step = tuple(draw(st.floats(0.3, 12.0)) for _ in range(dims))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    lattice = Lattice(tuple(-h for h in step), step, shape)
    field = torch.randn(dims, *shape, generator=generator)
    rho = draw(st.floats(0.05, strongest))
    return field * (rho / derivative_bound(field, step)), lattice


def covering(lattice: Lattice, per_step: int = 2) -> torch.Tensor:
    """Points `(*S, D)` in mm, denser than the nodes and reaching beyond them."""
    axes = [
        torch.linspace(o - h, o + n * h, per_step * (n + 1) + 1)
        for o, h, n in zip(lattice.origin_mm, lattice.step_mm, lattice.shape, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def in_steps(points: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Positions in steps of the grid `like`, for the fold test."""
    return points / torch.stack([_first_step(like, axis) for axis in range(points.shape[-1])])


def _first_step(like: torch.Tensor, axis: int) -> torch.Tensor:
    column = like[..., axis].movedim(axis, 0).flatten(1)[:, 0]
    return column[1] - column[0]


@settings(max_examples=60, deadline=None)
@given(fields(strongest=0.679))  # float32 rounds 0.68 up
def test_a_certified_factor_never_folds_not_even_between_the_nodes(field_on_lattice) -> None:
    velocity, lattice = field_on_lattice
    flow = Flow.of(velocity, lattice)
    assert flow.repeats == 1 and flow.factor_bound < 1.0
    points = covering(lattice)
    assert count_folds(cell_determinants(in_steps(flow(points), points))) == 0


@settings(max_examples=60, deadline=None)
@given(fields())
def test_a_strong_field_is_cut_into_certified_factors_and_undone_exactly(field_on_lattice) -> None:
    velocity, lattice = field_on_lattice
    flow = Flow.of(velocity, lattice)
    assert flow.certified
    assert flow.repeats >= derivative_bound(velocity, lattice.step_mm) / 0.69
    points = covering(lattice).double()
    back = flow.inverse()(flow(points))
    assert float(((back - points) / torch.tensor(lattice.step_mm)).abs().max()) < 1e-3


@settings(max_examples=40, deadline=None)
@given(fields())
def test_a_factors_bound_keeps_to_the_theorem(field_on_lattice) -> None:
    velocity, lattice = field_on_lattice
    velocity = velocity * (0.68 / derivative_bound(velocity, lattice.step_mm))
    rho = derivative_bound(velocity, lattice.step_mm)
    moved = derivative_bound(exponential(velocity, lattice), lattice.step_mm)
    assert moved <= np.exp(rho) - 1 + 1e-4


def smooth_field(dims: int = 3, amplitude: float = 0.7, seed: int = 0) -> tuple[torch.Tensor, Lattice]:
    lattice = Lattice.over_voxels((40,) * dims, (1.0,) * dims, 2.5)
    return random_velocity(lattice, amplitude, 40.0, torch.Generator().manual_seed(seed)), lattice


@pytest.mark.parametrize("dims", [2, 3])
def test_the_flow_of_minus_v_is_the_inverse(dims: int) -> None:
    velocity, lattice = smooth_field(dims)
    points = voxel_grid((40,) * dims)
    back = Flow.of(-velocity, lattice)(Flow.of(velocity, lattice)(points))
    assert float((back - points).abs().max()) < 0.2, "two exponentials, each to the lattice's accuracy"
    assert float((Flow.of(velocity, lattice)(points) - points).abs().max()) > 1.5


def test_an_inverse_ends_where_its_numbers_end(monkeypatch) -> None:
    reads = []
    read = velocity_module.FieldReader.__call__
    monkeypatch.setattr(
        velocity_module.FieldReader, "__call__", lambda self, points: reads.append(1) or read(self, points)
    )
    velocity, lattice = smooth_field(3, amplitude=1.5)
    flow = Flow.of(velocity, lattice)
    points = voxel_grid((40,) * 3).reshape(-1, 3)
    moved = flow(points)
    reads.clear()
    assert float((flow.inverse()(moved) - points).abs().max()) < 1e-3
    assert len(reads) < 50 * flow.repeats


def test_the_exponential_solves_the_differential_equation() -> None:
    """Oracle: a general ODE solver on the interpolated field."""
    velocity, lattice = smooth_field(2)
    flow, field = Flow.of(velocity, lattice), Flow(lattice, velocity, 1, 0.0)
    start = torch.rand(20, 2, generator=torch.Generator().manual_seed(1)) * 30 + 5

    def speed(_: float, x: np.ndarray) -> np.ndarray:
        scale, shift = field.unit_affine(start)
        unit = (torch.from_numpy(x.reshape(-1, 2)).float().flip(-1) * scale + shift).T
        return field.reader(start)(unit).T.reshape(-1).numpy()

    solved = solve_ivp(speed, (0, 1), start.flatten().numpy(), rtol=1e-6, atol=1e-6).y[:, -1].reshape(-1, 2)
    assert np.abs(flow(start).numpy() - solved).max() < 0.08
    assert np.abs(start.numpy() - solved).max() > 1.0


def test_simpleitk_agrees_on_the_warped_image_and_on_the_inverse() -> None:
    sitk = pytest.importorskip("SimpleITK")
    from scaling_app.strategies.deformation.warping import warp_volumes

    shape, spacing = (30, 26, 22), (1.0, 1.5, 2.0)
    flow = random_flow(shape, spacing, Strength(4.0), torch.Generator().manual_seed(3))
    deformation = Deformation.in_voxels([flow], spacing)
    points = voxel_grid(shape)
    image = torch.sin(points / 4).sum(dim=-1)[None]
    (ours,) = warp_volumes([image], [True], deformation)
    vectors = ((deformation(points) - points) * torch.tensor(spacing)).double()
    field = sitk.GetImageFromArray(vectors.permute(2, 1, 0, 3).numpy(), isVector=True)
    picture = sitk.GetImageFromArray(image[0].permute(2, 1, 0).numpy())
    field.SetSpacing(spacing)
    picture.SetSpacing(spacing)
    inverse = sitk.InvertDisplacementField(
        field,
        maximumNumberOfIterations=100,
        maxErrorToleranceThreshold=1e-4,
        meanErrorToleranceThreshold=1e-6,
        enforceBoundaryCondition=False,
    )
    undone = torch.from_numpy(sitk.GetArrayFromImage(inverse)).permute(2, 1, 0, 3)
    theirs = sitk.Resample(picture, picture, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 99.0)
    theirs = torch.from_numpy(sitk.GetArrayFromImage(theirs)).permute(2, 1, 0)
    seen = theirs < 90
    assert float((theirs - ours[0])[seen].abs().max()) < 1e-3
    assert float(seen.float().mean()) > 0.8
    exact = (deformation.inverse()(points) - points) * torch.tensor(spacing)
    core = (slice(5, -5),) * 3
    assert float((undone - exact)[core].abs().max()) < 0.1


def test_the_same_field_in_mm_on_a_finer_grid() -> None:
    coarse = random_flow((20, 24, 12), (2.0, 1.0, 3.0), Strength(4.0), torch.Generator().manual_seed(5))
    fine = random_flow((40, 48, 24), (1.0, 0.5, 1.5), Strength(4.0), torch.Generator().manual_seed(5))
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([19.0, 23.0, 11.0])
    moved = Deformation.in_voxels([coarse], (2.0, 1.0, 3.0))(points)
    finer = Deformation.in_voxels([fine], (1.0, 0.5, 1.5))(2 * points + 0.5)
    assert torch.allclose(finer, 2 * moved + 0.5, atol=1e-3)
    assert float((moved - points).abs().max()) > 0.3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_image_is_deformed_as_the_mirror_image(axis: int) -> None:
    velocity, lattice = smooth_field()
    mirrored = velocity.flip(axis + 1).clone()
    mirrored[axis] *= -1
    points = voxel_grid((40,) * 3)[::5, ::5, ::5]
    flip = torch.ones(3)
    flip[axis] = -1
    offset = (1 - flip) / 2 * 39
    moved = Flow.of(mirrored, lattice)(points * flip + offset)
    assert torch.allclose((moved - offset) * flip, Flow.of(velocity, lattice)(points), atol=1e-3)


def test_fading_maps_the_box_onto_itself() -> None:
    field = fade_normal(torch.ones(2, 9, 7), Lattice((0.0, 0.0), (1.0, 1.0), (9, 7)))
    assert field[0, [0, -1]].abs().max() < 1e-6 and field[1][:, [0, -1]].abs().max() < 1e-6
    assert field[0, 4, 0] == 1.0, "points may slide along a face"


def test_the_bound_refuses_what_is_no_vector_field() -> None:
    with pytest.raises(ValueError, match="needs 2 components"):
        derivative_bound(torch.zeros(3, 5, 5), (1.0, 1.0))
    with pytest.raises(ValueError, match="finite"):
        Flow.of(torch.full((2, 5, 5), float("nan")), Lattice((0.0, 0.0), (1.0, 1.0), (5, 5)))


def test_flows_on_different_lattices_do_not_mix() -> None:
    a, b = (random_flow((8, n), (1.0, 1.0), Strength(3.0), torch.Generator().manual_seed(0)) for n in (8, 9))
    with pytest.raises(ValueError, match="share their lattice"):
        Deformation.in_voxels([a, b], (1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "size", "mm"), [("4%", 50.0, 2.0), ("6 mm", 50.0, 6.0), ("2.5", 100.0, 2.5)]
)
def test_a_strength_is_one_number(text: str, size: float, mm: float) -> None:
    assert Strength.parse(text).in_mm(size) == pytest.approx(mm)


@pytest.mark.parametrize("text", ["", "strong", "-3%", "4 cm"])
def test_a_strength_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="written like"):
        Strength.parse(text)


def test_the_identity_has_determinants_of_one_and_a_turned_cell_has_not() -> None:
    for dims, count in ((2, 4), (3, 10)):
        grid = voxel_grid((4,) * dims)
        assert torch.equal(cell_determinants(grid), torch.ones(count, *(3,) * dims))
        assert count_folds(cell_determinants(grid * torch.tensor([-1.0, *[1.0] * (dims - 1)]))) == 3**dims


@pytest.mark.parametrize("dims", [2, 3])
def test_determinants_are_those_of_the_edges_at_each_corner(dims: int) -> None:
    grid = voxel_grid((3, 4, 5)[:dims])
    grid = grid + 0.3 * torch.randn(grid.shape, generator=torch.Generator().manual_seed(0))
    found = cell_determinants(grid)
    for index, corner in enumerate(product((0, 1), repeat=dims)):
        for cell in product(*(range(n) for n in found.shape[1:])):
            here = [c + b for c, b in zip(cell, corner, strict=True)]
            edges = []
            for axis in range(dims):
                there = [*here]
                there[axis] += 1 - 2 * corner[axis]
                edges.append((grid[tuple(there)] - grid[tuple(here)]) * (1 - 2 * corner[axis]))
            expected = float(torch.linalg.det(torch.stack(edges)))
            assert float(found[(index, *cell)]) == pytest.approx(expected, abs=1e-5)


def test_a_fold_that_central_differences_do_not_see_is_found() -> None:
    grid = voxel_grid((5, 5))
    grid[2, 2, 0] += 1.5  # beyond its neighbour, while the neighbours' distance stays two
    central = (grid[3, 2] - grid[1, 2])[0] * (grid[2, 3] - grid[2, 1])[1]
    assert central > 0 and count_folds(cell_determinants(grid)) > 0


def test_a_twisted_cell_is_found_by_the_middle_simplices_alone() -> None:
    grid = voxel_grid((2, 2, 2))
    for corner, lift in (((0, 0, 0), 0.9), ((1, 1, 0), 0.9), ((1, 0, 1), -0.9), ((0, 1, 1), -0.9)):
        grid[corner][2] += lift
    found = cell_determinants(grid).flatten()
    assert (found[8:] <= 0).any()


def test_a_learned_flow_ends_just_before_its_samples_fold() -> None:
    nodes = Lattice((0.0, 0.0), (1.0, 1.0), (24, 24))
    generator = torch.Generator().manual_seed(0)
    ended = 0
    for _ in range(20):
        velocity = random_velocity(nodes, 4.0, 23.0, generator)
        flow, whole = (
            sampled_unfolded(velocity, nodes),
            Flow.of(tempered(velocity, nodes, STRONGEST_LEARNED), nodes),
        )
        assert flow.certified and min(2, whole.repeats) <= flow.repeats <= whole.repeats
        if flow.repeats == whole.repeats:
            continue
        ended += 1
        least = [
            float(cell_determinants(replace(whole, repeats=repeats)(nodes.nodes_mm())).min())
            for repeats in (flow.repeats, flow.repeats + 1)
        ]
        assert least[1] <= 0.3 and (flow.repeats == 2 or least[0] > 0.3)
    assert ended > 0
