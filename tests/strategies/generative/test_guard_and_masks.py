"""The guard trusts what helps; masks are warped with their images, and their strengths can be learned."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.generative.masks import KINDS, MaskAugmentation, PatchSource, read_pair
from scaling_app.strategies.generative.proof import Proof, diversity, patience_for
from scaling_app.strategies.making import make_strategy

from .trainings import context


def square_case(shape=(40, 48), case_id="a") -> PreparedCase:
    label = torch.zeros(1, *shape, dtype=torch.uint8)
    label[(0, *(slice(n // 3, n // 2) for n in shape))] = 1
    return PreparedCase(case_id, case_id, label.float() * 3, label)


NOTHING = torch.zeros(1)
"""The alignment of an unpainted pair that the segmenter has learned by heart."""
SPREADS = {
    "normal": lambda x: 0.3 + x,
    "heavy": lambda x: (0.3 + x).sign() * (0.3 + x).abs() ** 3,
    "mostly nothing, seldom much harm": lambda x: 0.1 - torch.relu(x - 1.5) * 5,
    "mostly nothing, seldom much help": lambda x: torch.relu(x - 1.5) * 5 - 0.1,
}


def test_the_guard_gives_weight_to_consistent_help_and_turns_off_what_does_not_help() -> None:
    helpful, noisy = Proof(), Proof()
    g = torch.Generator().manual_seed(0)
    for _ in range(30):
        helpful.observe(torch.rand(4, generator=g) + 0.1, "abcd", NOTHING)
        noisy.observe(torch.randn(4, generator=g), "abcd", NOTHING)
    assert helpful.on and helpful.omega == pytest.approx(1)
    assert not noisy.on and noisy.omega == 0 and "did not help" in noisy.reason


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("pairs", [1, 4])
def test_pairs_that_painting_does_nothing_for_are_believed_once_in_twenty_trainings_at_most(
    pairs, spread
) -> None:
    g = torch.Generator().manual_seed(pairs)

    def alignments() -> torch.Tensor:
        of_mask = torch.randn(pairs, generator=g)  # one mask is easier than another, painted or not
        own = torch.randn(2, pairs, generator=g)
        return SPREADS[spread]((of_mask + own) / 2**0.5)

    shown = 0
    for _ in range(400):
        proof = Proof()
        for _ in range(60):
            painted, unpainted = alignments()
            proof.observe(painted, "abcd"[:pairs], unpainted)
        shown += proof.shown
    assert shown <= 30  # 20 expected at most, and 2.3 standard deviations


def test_pairs_that_do_more_than_unpainted_are_believed_and_stay_so() -> None:
    g = torch.Generator().manual_seed(0)
    proofs = [Proof() for _ in range(20)]
    for proof in proofs:
        for _ in range(60):
            proof.observe(0.8 + torch.randn(2, generator=g), "ab", torch.randn(2, generator=g))
    assert sum(proof.shown for proof in proofs) >= 18
    proof = proofs[0]
    assert proof.trusted and proof.state == "on" and proof.omega > 0
    for _ in range(3000):
        proof.observe(torch.ones(1), "a", NOTHING)
    assert proof.shown and math.isfinite(proof.evidence)


def test_small_differences_of_large_alignments_are_believed_too() -> None:
    g = torch.Generator().manual_seed(0)
    proofs = [Proof() for _ in range(20)]
    for proof in proofs:
        for _ in range(100):
            of_mask = 5 + 50 * torch.rand(2, generator=g)
            own = torch.randn(2, 2, generator=g)
            proof.observe(of_mask + 0.8 + own[0], "ab", of_mask + own[1])
    assert sum(proof.shown for proof in proofs) >= 18


def test_unproven_pairs_weigh_nothing_and_the_guard_says_what_is_missing() -> None:
    asked, unasked = Proof(), Proof(asked=False)
    for proof in (asked, unasked):
        proof.observe(torch.tensor([1.0, 0.5]), ("a", "b"), torch.tensor([1.0, 0.5]))
    assert asked.omega == 0 and float(asked.pair_weights(("a", "b")).abs().max()) == 0
    assert "not shown to do more than unpainted (1.0 of 20)" in asked.state
    assert unasked.omega == 1 and unasked.state == "on"


def test_harmful_pairs_count_nothing_and_helpful_ones_more() -> None:
    proof = Proof(asked=False)
    for _ in range(5):
        proof.observe(torch.tensor([1.0, -0.2, 0.5]), ("good", "bad", "fair"), NOTHING)
    weights = proof.pair_weights(("good", "bad", "fair"))
    assert weights[1] == 0
    assert weights[0] > weights[2] > 0
    own = proof.pair_weights(("good", "bad"), torch.tensor([-1.0, 1.0]))
    assert own[0] == 0 and own[1] > 0


def test_chance_ends_long_searches_no_more_often_than_short_ones() -> None:
    g = torch.Generator().manual_seed(0)

    def ended(outer_steps: int, patience: int) -> int:
        count = 0
        for _ in range(200):
            proof = Proof(patience=patience)
            for _ in range(outer_steps):
                proof.observe(torch.randn(2, generator=g) + 0.3, "ab", NOTHING)
            count += not proof.on
        return count

    short, long = ended(25, patience_for(25)), ended(140, patience_for(140))
    assert patience_for(25) == Proof().patience
    assert long <= short < ended(140, Proof().patience)


def test_a_collapsed_generator_is_turned_off() -> None:
    proof = Proof()
    mask = torch.ones(3, 1, 8, 8)
    real, same = torch.randn(3, 1, 8, 8), torch.randn(1, 1, 8, 8).expand(3, 1, 8, 8)
    proof.observe_diversity(diversity(real, mask), diversity(real, mask))
    assert proof.on
    proof.observe_diversity(diversity(same, mask), diversity(real, mask))
    assert not proof.on and "differ" in proof.reason


def test_the_guard_survives_a_round_trip() -> None:
    proof, other = Proof(), Proof()
    proof.observe(torch.tensor([0.3, 0.1]), ("a", "b"), NOTHING)
    other.load_state_dict(proof.state_dict())
    assert other == proof


def test_what_a_guard_asks_for_is_not_taken_over_from_an_earlier_training() -> None:
    earlier, proof = Proof(asked=False, patience=3), Proof()
    earlier.observe(torch.tensor([0.3]), ("a",), NOTHING)
    proof.load_state_dict(earlier.state_dict())
    assert proof.asked and proof.patience == Proof().patience and proof.observed == 1


def test_steps_of_one_kind_that_always_overflow_turn_synthesis_off_whatever_the_others_do() -> None:
    proof = Proof(asked=False)
    for _ in range(proof.patience):
        proof.observe(torch.ones(2), ("a", "b"), NOTHING)
        proof.observe_step("the outer step", finite=True)
        proof.observe_step("the generator", finite=False)
    assert not proof.on and "not finite" in proof.reason and "(the generator)" in proof.reason


@pytest.mark.parametrize("shape", [(40, 48), (30, 32, 24)])
def test_image_and_label_are_warped_alike(shape) -> None:
    case = square_case(shape)
    patch = tuple(n // 2 for n in shape)
    source = PatchSource([case], patch, 2)
    masks = MaskAugmentation(patch, (1.0,) * len(shape), mirrored=range(len(shape)))
    drawn = source.draw(4, torch.Generator().manual_seed(0), among=["a"], warp=masks.draw)
    inside = (drawn.image > 1.5).to(torch.uint8)
    assert drawn.label.sum() > 0
    assert (inside != drawn.label).float().mean() < 0.02
    assert not torch.equal(drawn.label[0], drawn.label[1])


def test_reading_at_whole_voxels_returns_them_and_zero_outside() -> None:
    case = PreparedCase(
        "a", "a", torch.arange(12.0).reshape(1, 3, 4) + 1, torch.ones(1, 3, 4, dtype=torch.uint8)
    )
    grid = torch.stack(torch.meshgrid(torch.arange(-2.0, 5), torch.arange(-2.0, 6), indexing="ij"), -1)
    image, label = read_pair(case, grid)
    assert torch.allclose(image[0, 2:5, 2:6], case.image[0], atol=1e-5)
    assert image[0, :2].abs().max() == 0 and label[0, :, 6:].max() == 0
    assert label[0, 2:5, 2:6].min() == 1


@pytest.mark.parametrize("shape", [(40, 48), (39, 48), (13, 15), (22, 23, 9)], ids=str)
def test_patches_that_nothing_moves_are_whole_voxels(shape) -> None:
    """Between voxels the image is blurred, and of the label every second row read twice."""
    patch = (16, 16, 8)[: len(shape)]
    g = torch.Generator().manual_seed(0)
    label = torch.randint(1, 200, (1, *shape), generator=g, dtype=torch.uint8)
    source = PatchSource([PreparedCase("a", "a", label.float(), label)], patch, 200)
    drawn = source.draw(8, g, among=["a"])
    assert drawn.label.any() and torch.allclose(drawn.image, drawn.label.float(), atol=0.1)
    around = torch.nn.functional.pad(label[0], [p for n in reversed(patch) for p in (n, n)])
    for axis, n in enumerate(patch):
        around = around.unfold(axis, n, 1)
    windows = around.flatten(0, len(shape) - 1)
    for patch_of_label in drawn.label[:, 0]:
        assert (windows == patch_of_label).flatten(1).all(1).any()


@pytest.mark.parametrize("axes", [(), (1,), (0, 1)], ids=str)
def test_masks_are_mirrored_along_the_axes_whose_sides_do_not_matter(axes) -> None:
    case = square_case()
    strategy = make_strategy("genseg")
    two = [case, PreparedCase("b", "b", case.image, case.known_label)]
    strategy.prepare(two, replace(context(), mirrored=axes))
    masks, g = strategy.coupling.masks, torch.Generator().manual_seed(0)
    drawn = [masks.draw(case, g).matrix.diagonal().sign().tolist() for _ in range(40)]
    for axis in range(2):
        assert {signs[axis] for signs in drawn} == ({1.0, -1.0} if axis in axes else {1.0})


def test_the_same_generator_state_draws_the_same_patches() -> None:
    source, masks = PatchSource([square_case()], (16, 16), 2), MaskAugmentation((16, 16), (1.0, 1.0))
    first, second = (
        source.draw(2, torch.Generator().manual_seed(3), among=["a"], warp=masks.draw) for _ in range(2)
    )
    assert torch.equal(first.image, second.image) and torch.equal(first.draws, second.draws)


def test_strengths_grow_where_strong_draws_are_rewarded_and_shrink_where_they_harm() -> None:
    masks = MaskAugmentation((16, 16), (1.0, 1.0))
    g = torch.Generator().manual_seed(0)
    for _ in range(200):
        draws = torch.randn(4, len(KINDS), generator=g)
        reward = 0.5 * (draws[:, 0] ** 2 - draws[:, 1] ** 2)
        masks.learn(reward, draws, rate=0.02)
    strengths = masks.strengths()
    assert strengths["rotation"] > 1.2
    assert strengths["scale"] < 0.8
    assert 0.6 < strengths["shear"] < 1.6


def test_thick_slices_are_not_rotated_into_each_other() -> None:
    masks = MaskAugmentation((16, 16, 8), (1.0, 1.0, 8.0))
    warp = masks.draw(square_case((20, 20, 8)), torch.Generator().manual_seed(0))
    assert warp.matrix[2, :2].abs().max() == 0 and warp.matrix[:2, 2].abs().max() == 0
    assert warp.matrix[0, 1].abs() > 0
