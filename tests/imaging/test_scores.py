"""Scores are MONAI's, in millimetres, and undefined ones are None."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

from scaling_app.imaging.scores import binary_cross_entropy, mean_dice, score_case

STRUCTURES = {"organ": 2, "nodule": 5}


def blobs(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    noise = torch.randn((1, 1, *shape), generator=torch.Generator().manual_seed(seed))
    pool = torch.nn.functional.avg_pool3d if len(shape) == 3 else torch.nn.functional.avg_pool2d
    return (pool(noise, 5, stride=1, padding=2) > 0.05)[0]


@pytest.mark.parametrize(("shape", "spacing"), [((20, 24, 11), (0.7, 1.1, 3.0)), ((30, 33), (1.0, 2.0))])
@pytest.mark.filterwarnings("ignore")
def test_scores_equal_monai_on_the_whole_grid(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    prediction, reference = blobs(1, shape), blobs(2, shape)
    (score,) = score_case(prediction * 5, reference * 5, {"nodule": 5}, spacing, tolerance_mm=1.5)
    p, r = prediction[None].float(), reference[None].float()
    assert score.dice == pytest.approx(float(compute_dice(p, r)), abs=1e-6)
    nsd = compute_surface_dice(p, r, [1.5], include_background=True, spacing=list(spacing))
    assert score.nsd == pytest.approx(float(nsd), abs=1e-6)
    hd95 = compute_hausdorff_distance(p, r, include_background=True, percentile=95, spacing=list(spacing))
    assert score.hd95_mm == pytest.approx(float(hd95), rel=1e-5)


def test_a_known_shift_gives_known_distances() -> None:
    reference = torch.zeros((1, 20, 20, 20), dtype=torch.uint8)
    prediction = reference.clone()
    reference[0, 5:10, 5:10, 5:10] = 1
    prediction[0, 7:12, 5:10, 5:10] = 1
    (score,) = score_case(prediction, reference, {"cube": 1}, (1.5, 1.0, 1.0), tolerance_mm=3.0)
    assert score.dice == pytest.approx(0.6)
    assert score.hd95_mm == pytest.approx(3.0)
    assert score.nsd == 1.0
    (strict,) = score_case(prediction, reference, {"cube": 1}, (1.5, 1.0, 1.0), tolerance_mm=1.0)
    assert strict.nsd < 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_a_single_slice_is_scored_as_the_picture_that_it_is(axis: int) -> None:
    prediction, reference = blobs(1, (40, 50)), blobs(2, (40, 50))
    spacing = [0.8, 1.2]
    (picture,) = score_case(prediction, reference, {"organ": 1}, spacing, tolerance_mm=1.5)
    volumes = prediction.unsqueeze(1 + axis), reference.unsqueeze(1 + axis)
    (slice_,) = score_case(*volumes, {"organ": 1}, [*spacing[:axis], 6.0, *spacing[axis:]], tolerance_mm=1.5)
    assert slice_ == picture
    assert 0 < picture.nsd < 1


def test_a_structure_in_one_of_many_slices_keeps_its_upper_and_lower_face() -> None:
    reference = torch.zeros((1, 20, 20, 5), dtype=torch.uint8)
    reference[0, 4:16, 4:16, 2] = 1
    prediction = reference.clone()
    prediction[0, 4:7, 4:16, 2] = 0
    (volume,) = score_case(prediction, reference, {"organ": 1}, (1.0, 1.0, 1.0), tolerance_mm=0.5)
    assert volume.nsd == pytest.approx(2 * 108 / (108 + 144))
    line = torch.ones((1, 6, 1, 1), dtype=torch.uint8)
    (score,) = score_case(line, line, {"organ": 1}, (1.0, 1.0, 1.0))
    assert (score.nsd, score.hd95_mm) == (1.0, 0.0)


def test_missed_hallucinated_and_absent_structures() -> None:
    reference = torch.zeros((1, 8, 8), dtype=torch.uint8)
    prediction = reference.clone()
    reference[0, 2:4, 2:4] = 2
    prediction[0, 6, 6] = 5
    missed, hallucinated = score_case(prediction, reference, STRUCTURES, (1.0, 1.0))
    assert (missed.dice, missed.nsd, missed.hd95_mm, missed.missed) == (0.0, 0.0, None, True)
    assert (hallucinated.dice, hallucinated.nsd, hallucinated.hallucinated) == (None, None, True)
    absent = score_case(reference, reference, STRUCTURES, (1.0, 1.0))[1]
    assert (absent.dice, absent.missed, absent.hallucinated) == (None, False, False)
    assert mean_dice([missed, hallucinated]) == 0.0
    assert mean_dice([hallucinated]) is None


@given(seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)))
@settings(max_examples=20, deadline=None)
def test_scores_are_symmetric_and_perfect_only_with_oneself(seeds: tuple[int, int]) -> None:
    first, second = (blobs(seed, (9, 10, 8)).byte() * 2 for seed in seeds)
    (there,) = score_case(first, second, {"organ": 2}, (1.0, 1.0, 2.0))
    (back,) = score_case(second, first, {"organ": 2}, (1.0, 1.0, 2.0))
    assert (there.dice, there.hd95_mm) == (pytest.approx(back.dice), pytest.approx(back.hd95_mm))
    assert (there.dice == 1.0) == bool(torch.equal(first, second))


def test_cross_entropy_follows_the_probabilities() -> None:
    reference = torch.zeros((1, 4, 4), dtype=torch.uint8)
    reference[0, :2] = 2
    reference[0, 3] = 5
    sure = torch.stack([(reference[0] == value).float() for value in (0, 2, 5)])
    unsure = torch.full_like(sure, 1 / 3)
    by_name = {
        s.structure: s.bce for s in score_case(reference, reference, STRUCTURES, (1.0, 1.0), 2.0, sure)
    }
    assert by_name == {"organ": pytest.approx(0, abs=1e-5), "nodule": pytest.approx(0, abs=1e-5)}
    scored = score_case(reference, reference, STRUCTURES, (1.0, 1.0), 2.0, unsure)
    assert scored[0].bce == pytest.approx(binary_cross_entropy(unsure[1], reference[0] == 2))
    assert scored[0].bce > 0.4


def test_a_structure_in_a_large_volume_takes_seconds_not_minutes() -> None:
    reference = torch.zeros((1, 512, 512, 120), dtype=torch.uint8)
    prediction = reference.clone()
    reference[0, 100:180, 100:170, 20:60] = 1
    prediction[0, 103:183, 100:170, 20:60] = 1
    began = time.process_time()
    (score,) = score_case(prediction, reference, {"organ": 1}, (0.8, 0.8, 1.0))
    assert score.hd95_mm == pytest.approx(2.4)
    assert time.process_time() - began < 20


def test_shapes_and_spacings_that_do_not_fit_are_refused() -> None:
    label = torch.zeros((1, 4, 4), dtype=torch.uint8)
    with pytest.raises(ValueError, match="differ"):
        score_case(label, label[:, :3], STRUCTURES, (1.0, 1.0))
    with pytest.raises(ValueError, match="positive"):
        score_case(label, label, STRUCTURES, (1.0, 0.0))
    with pytest.raises(ValueError, match="do not fit"):
        score_case(label, label, STRUCTURES, (1.0, 1.0), 2.0, torch.zeros((2, 4, 4)))
