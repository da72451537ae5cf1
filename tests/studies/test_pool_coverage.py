"""How unlike the labelled cases the unlabelled images are: computed by the curve job, shown, served by."""

from __future__ import annotations

from collections import Counter
from itertools import count
from statistics import fmean

import pytest

from scaling_app.ledger import PoolCase, ShapeCoverage
from scaling_app.service.payloads import Payload
from scaling_app.studies import curve_run, next_case, shape_coverage_job
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.next_case import CoverageCase, RandomCase, picked_weight
from scaling_app.studies.shape_coverage import coverage_facts, distances_of
from scaling_app.studies.shape_coverage_job import look_at_pool
from scaling_app.studies.train_options import parse_options
from scaling_app.studies.train_runs import gather, train_and_publish

pytestmark = pytest.mark.slow_training


def options_for(desk, **request):
    return parse_options({"steps": 2, **request}, desk.studies.conf)


def shown(desk):
    """`coverage` of the server's answer."""
    return coverage_facts(desk.studies.ledger, set(desk.studies.datastore.get_unlabeled_images()))


def known(desk, distances: dict[str, float]) -> None:
    """Writes an answer into the ledger as the curve job does."""
    cases = tuple(PoolCase(i, d, d > 2) for i, d in sorted(distances.items(), key=lambda pair: -pair[1]))
    desk.studies.ledger.set_shape_coverage(ShapeCoverage("x", True, None, 5, cases))


def test_the_curve_job_looks_at_the_unlabelled_images_and_leaves_out_what_is_labelled_since(desk_of):
    desk = desk_of(6)
    images = sorted(desk.labels)
    desk.submit(*images[:4])
    assert shown(desk) is None
    run_curve_job(desk.studies, options_for(desk), 10)
    found = shown(desk)
    assert found["pool"] == 2 and found["n_labelled"] == 4
    assert set(distances_of(desk.studies.ledger)) == set(images[4:])
    sent = Payload.model_validate(
        {"status": "ready", "advice": {"action": "wait", "sentence": "x"}, "coverage": found}
    ).model_dump()
    assert sent["coverage"]["outside"] == len(sent["coverage"]["cases"]) <= 2
    desk.submit(images[4])
    assert shown(desk)["pool"] == 1
    assert images[4] not in [case["image"] for case in shown(desk)["cases"]]
    desk.submit(images[5])
    assert shown(desk) is None


@pytest.mark.parametrize("network", ["resunet", "deeplab"])
def test_volumes_worked_through_slice_by_slice_are_compared_as_volumes(desk_of, network):
    desk = desk_of(6, dimension="2", network=network)
    images = sorted(desk.labels)
    desk.submit(*images[:4])
    options = options_for(desk)
    look_at_pool(desk.studies, options, gather(desk.studies), seconds=60, report=lambda *_: None)
    assert set(distances_of(desk.studies.ledger)) == set(images[4:])
    train_and_publish(desk.studies, options)
    again = look_at_pool(desk.studies, options, gather(desk.studies), seconds=60, report=lambda *_: None)
    assert not again, "a model of slices changes nothing"


def test_only_cases_outside_are_named_the_worst_first(desk_of):
    desk = desk_of(4, size=8)
    images = sorted(desk.labels)
    known(desk, {images[0]: 2.5, images[1]: 1.0, images[2]: 9.0, "gone": 99.0})
    assert shown(desk) == {
        "outside": 2,
        "pool": 3,
        "n_labelled": 5,
        "cases": [{"image": images[2], "distance": 9.0}, {"image": images[0], "distance": 2.5}],
    }


def test_nothing_is_compared_again_until_labels_images_or_model_change(desk_of, monkeypatch):
    desk = desk_of(5)
    images = sorted(desk.labels)
    desk.submit(*images[:4])
    asked = []
    monkeypatch.setattr(
        shape_coverage_job, "coverage", lambda cases, labelled, pool, **more: _all(asked, pool)
    )
    for _ in range(2):
        run_curve_job(desk.studies, options_for(desk), 10)
    assert len(asked) == 1
    train_and_publish(desk.studies, options_for(desk))
    run_curve_job(desk.studies, options_for(desk), 10)
    assert len(asked) == 2 and desk.studies.ledger.shape_coverage().model is not None
    desk.submit(images[0], minutes=1)
    run_curve_job(desk.studies, options_for(desk), 10)
    assert len(asked) == 2


def _all(asked: list, pool):
    from scaling_app.strategies.deformation.shape_coverage import CaseCoverage

    asked.append(list(pool))
    return [CaseCoverage(i, 1.0, False) for i in asked[-1]]


def test_what_the_time_did_not_suffice_for_is_looked_at_by_the_next_job(desk_of, monkeypatch):
    desk = desk_of(6)
    desk.submit(*sorted(desk.labels)[:4])
    asked = []
    monkeypatch.setattr(
        shape_coverage_job, "coverage", lambda cases, labelled, pool, **more: _all(asked, pool)[:1]
    )
    run_curve_job(desk.studies, options_for(desk), 10)
    assert not desk.studies.ledger.shape_coverage().complete and shown(desk)["pool"] == 1
    monkeypatch.setattr(
        shape_coverage_job, "coverage", lambda cases, labelled, pool, **more: _all(asked, pool)
    )
    run_curve_job(desk.studies, options_for(desk), 10)
    assert desk.studies.ledger.shape_coverage().complete and shown(desk)["pool"] == 2


def test_an_error_in_the_look_at_the_pool_fails_no_job(desk_of, monkeypatch):
    desk = desk_of(7)
    desk.submit(*sorted(desk.labels)[:5])

    def explode(*_args, **_more):
        raise RuntimeError("no memory")

    monkeypatch.setattr(shape_coverage_job, "coverage", explode)
    result = run_curve_job(desk.studies, options_for(desk), 10)
    assert result["done"] == result["total"] > 0
    assert desk.studies.ledger.job()["state"] == "idle" and shown(desk) is None


def test_without_time_or_a_run_that_succeeded_the_pool_is_not_looked_at(desk_of, monkeypatch):
    desk = desk_of(7)
    desk.submit(*sorted(desk.labels)[:5])
    monkeypatch.setattr(shape_coverage_job, "coverage", lambda *_a, **_m: pytest.fail("begun all the same"))
    monkeypatch.setattr(curve_run, "train", lambda *_a, **_m: 1 / 0)
    assert run_curve_job(desk.studies, options_for(desk), 10)["done"] == 0
    monkeypatch.undo()
    monkeypatch.setattr(shape_coverage_job, "coverage", lambda *_a, **_m: pytest.fail("begun all the same"))
    assert run_curve_job(desk.studies, options_for(desk), 0.0001)["done"] == 1


def test_coverage_serves_the_worst_explained_three_times_in_four_and_else_any(desk_of, monkeypatch):
    desk = desk_of(8, size=8)
    images = sorted(desk.labels)
    known(desk, {images[2]: 1.0, images[5]: 4.0, images[6]: 3.0})
    served = Counter()
    for seed in range(400):
        monkeypatch.setattr(next_case, "uniform", lambda *key, seed=seed: next_uniform(seed, *key))
        served[handed_back(desk, CoverageCase)["id"]] += 1
    assert served[images[5]] / 400 == pytest.approx(0.75 + 0.25 / 8, abs=0.07)
    assert set(served) == set(images)


NEWCOMERS = count()


def handed_back(desk, strategy: type) -> dict:
    """What somebody who was handed nothing yet is handed, and gives back."""
    reader = f"reader {next(NEWCOMERS)}"
    sample = strategy(desk.studies)({next_case.READER: reader})
    assert desk.studies.leases.end(sample["id"], reader)
    return sample


def next_uniform(seed: int, *key: object) -> float:
    from scaling_app.studies.splits import uniform

    return uniform("draw", seed, *key)


def test_the_case_keeps_the_weight_with_which_it_was_picked(desk_of, monkeypatch):
    desk = desk_of(5, size=8)
    images = sorted(desk.labels)
    known(desk, {images[1]: 3.0})
    monkeypatch.setattr(next_case, "RANDOM_SHARE", 0.0)
    assert handed_back(desk, CoverageCase)["id"] == images[1]
    monkeypatch.undo()
    sample = handed_back(desk, CoverageCase)
    assert sample == handed_back(desk, CoverageCase), "the same images at hand, the same answer"
    weight = picked_weight(5, worst=sample["id"] == images[1])
    desk.submit(sample["id"])
    assert desk.studies.ledger.case(sample["id"]).sampling_weight == pytest.approx(weight)
    served = RandomCase(desk.studies)({})["id"]
    desk.submit(served)
    assert desk.studies.ledger.case(served).sampling_weight == 1.0
    (other, *_) = set(images) - {sample["id"], served}
    desk.submit(other)
    assert desk.studies.ledger.case(other).sampling_weight is None


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_weights_undo_the_preference(n):
    worst, other = 0.25 / n + 0.75, 0.25 / n
    assert worst + (n - 1) * other == pytest.approx(1)
    scores = list(range(n))  # the last is the worst explained
    mean = sum((worst if s == n - 1 else other) * picked_weight(n, worst=s == n - 1) * s for s in scores)
    assert mean == pytest.approx(fmean(scores))


def test_coverage_serves_as_random_does_and_says_so_before_anything_is_known(desk_of):
    desk = desk_of(6, size=8)
    expected = handed_back(desk, RandomCase)
    sample = CoverageCase(desk.studies)({})
    assert (sample["id"], sample["blind"]) == (expected["id"], expected["blind"])
    assert "served at random" in sample["message"]
    assert desk.studies.ledger.sampling_weight(sample["id"]) == 1.0
    desk.submit(*desk.labels)
    assert CoverageCase(desk.studies)({}) == {}


def test_as_many_cases_of_coverage_are_blind_as_of_random(desk_of):
    desk = desk_of(8, size=8)
    known(desk, {image: 1.0 + k for k, image in enumerate(sorted(desk.labels))})
    samples = []
    for _ in range(8):
        samples.append(CoverageCase(desk.studies)({}))
        desk.submit(samples[-1]["id"])
    assert len({s["id"] for s in samples}) == 8 and sum(s["blind"] for s in samples) in (1, 2)


def test_the_server_reads_the_answer_without_computing(desk_of, monkeypatch):
    desk = desk_of(2, size=8)
    known(desk, {"synthetic_000": 1.5})
    before = desk.studies.ledger.revision()
    shown(desk)
    assert desk.studies.ledger.revision() == before and desk.studies.ledger.shape_coverage().complete
