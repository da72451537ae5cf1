"""What images without labels do to a published model: they may shape it, but then they never test it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from scaling_app.strategies import catalogue
from scaling_app.strategies.base import PreparedCase, Strategy, StrategyContext
from scaling_app.studies import curve_job, splits, train_runs
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.train_options import parse_options
from scaling_app.studies.train_runs import gather, guide_for, train_and_publish, warm_start_for

pytestmark = pytest.mark.slow_training


class Peeking(Strategy):
    """A strategy that looks at the first image of the pool, and notes what it was given."""

    name: ClassVar[str] = "peeking"
    pools: ClassVar[list[tuple[set[str], list[str]]]] = []
    """Of each training: its cases, and the images that were looked at."""
    guided: ClassVar[list[bool]] = []

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        ids = [context.pool[i].case_id for i in range(len(context.pool))[:1]]
        Peeking.pools.append(({case.case_id for case in cases}, ids))
        Peeking.guided.append(context.predict is not None)
        if context.predict is not None and ids:
            image = context.pool[0].image
            assert context.predict(image).shape == (1 + len(context.structures), *image.shape[1:])


@pytest.fixture(autouse=True)
def peeking(monkeypatch: pytest.MonkeyPatch) -> type[Peeking]:
    monkeypatch.setitem(catalogue._ADDED, "peeking", Peeking)
    monkeypatch.setattr(Peeking, "pools", [])
    monkeypatch.setattr(Peeking, "guided", [])
    return Peeking


def options_for(desk, **request):
    return parse_options({"steps": 2, "strategy": "peeking", **request}, desk.studies.conf)


def hold_out(desk, monkeypatch, *images: str) -> None:
    """From now on these patients are held out, and no others."""
    monkeypatch.setattr(splits, "HOLD_OUT_FROM", 1)
    monkeypatch.setattr(splits, "HOLD_OUT_AT_LEAST", 1)
    for image in desk.labels:
        role = splits.VALIDATION if image in images else splits.TRAINING
        desk.studies.ledger.assign_role(desk.studies.patient(image), role)


def test_an_image_that_a_strategy_looked_at_never_tests_the_model_nor_does_its_patient(desk_of):
    desk = desk_of(5, patient_pattern="^(synthetic)_00[12]")
    images = sorted(desk.labels)
    desk.submit(images[0])
    train_and_publish(desk.studies, options_for(desk))
    published = desk.studies.published()
    assert published.train_ids == (images[0],) and dict(published.pool_patients) == {images[1]: "synthetic"}
    desk.submit(*images[1:])
    assert train_runs.test_then_train(desk.studies, gather(desk.studies)) == 2
    tested = desk.studies.ledger.observations(run_id=published.run_id, kind="prequential")
    assert {seen.image_id for seen in tested} == set(images[3:])


def test_images_that_no_strategy_looked_at_test_the_model(desk_of):
    desk = desk_of(3)
    images = sorted(desk.labels)
    desk.submit(images[0])
    train_and_publish(desk.studies, options_for(desk, strategy="baseline"))
    assert desk.studies.published().pool_patients == {}
    desk.submit(*images[1:])
    assert train_runs.test_then_train(desk.studies, gather(desk.studies)) == 2


def test_a_published_model_of_an_older_version_is_still_read(desk_of):
    desk = desk_of(2)
    desk.submit(sorted(desk.labels)[0])
    train_and_publish(desk.studies, options_for(desk))
    facts = json.loads(desk.studies.published_file.read_text())
    del facts["pool_patients"]
    desk.studies.published_file.write_text(json.dumps(facts))
    assert desk.studies.published().seen == dict(desk.studies.published().patients)


def test_other_images_of_held_out_patients_are_not_looked_at(desk_of, monkeypatch, peeking):
    desk = desk_of(5, patient_pattern="^(synthetic)_00[01]")
    images = sorted(desk.labels)
    desk.submit(images[0], *images[2:4])
    hold_out(desk, monkeypatch, images[0])
    train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published().held_out == (images[0],)
    assert peeking.pools == [(set(images[2:4]), [images[4]])]


def test_the_model_in_use_guides_the_next_training_and_its_labels_then_count_as_seen(desk_of, peeking):
    desk = desk_of(4)
    images = sorted(desk.labels)
    desk.submit(*images[:2])
    train_and_publish(desk.studies, options_for(desk))
    desk.studies.datastore.remove_label(images[0], "final")
    desk.submit(images[2])
    train_and_publish(desk.studies, options_for(desk))
    assert peeking.guided == [False, True]
    second = desk.studies.published()
    assert desk.studies.ledger.run(second.run_id).train_ids == tuple(images[1:3])
    assert set(second.train_ids) == set(images[:3])


def test_a_model_that_learned_from_who_is_held_out_now_guides_nobody(desk_of, monkeypatch, peeking):
    desk = desk_of(5)
    images = sorted(desk.labels)
    desk.submit(*images[:4])
    train_and_publish(desk.studies, options_for(desk))
    hold_out(desk, monkeypatch, images[0])
    train_and_publish(desk.studies, options_for(desk))
    assert peeking.guided == [False, False]
    train_and_publish(desk.studies, options_for(desk))
    assert peeking.guided[2], "the second model has not seen the held-out case"


def test_no_run_of_the_curve_is_guided(desk_of, monkeypatch, peeking):
    monkeypatch.setattr(curve_job, "look_at_pool", lambda *_, **__: None)
    desk = desk_of(6)
    images = sorted(desk.labels)
    desk.submit(*images[:5])
    train_and_publish(desk.studies, options_for(desk))
    run_curve_job(desk.studies, options_for(desk), 10)
    assert len(peeking.guided) > 2 and not any(peeking.guided)


def test_curve_runs_do_not_look_at_other_images_of_the_patients_that_test_them(desk_of, monkeypatch, peeking):
    monkeypatch.setattr(curve_job, "look_at_pool", lambda *_, **__: None)
    desk = desk_of(6, patient_pattern="^(synthetic)_00[05]")
    images = sorted(desk.labels)
    desk.submit(*images[:5])
    run_curve_job(desk.studies, options_for(desk), 10)
    ledger, tested = desk.studies.ledger, []
    for run, (trained, looked_at) in zip(ledger.runs(), peeking.pools, strict=True):
        assert trained == set(run.train_ids)
        testing = {seen.image_id for seen in ledger.observations(run_id=run.run_id)}
        assert looked_at == ([] if images[0] in testing else [images[5]])
        tested.append(images[0] in testing)
    assert any(tested) and not all(tested)


def test_nothing_is_taken_up_from_a_strategy_that_looked_at_who_is_held_out_now(desk_of):
    desk = desk_of(4)
    images = sorted(desk.labels)
    desk.submit(*images[:3])
    options = options_for(desk, strategy="genseg")
    train_and_publish(desk.studies, options)
    desk.submit(images[3])
    material, held_out = gather(desk.studies), [images[3]]
    guide = guide_for(desk.studies, material, held_out)
    assert warm_start_for(guide, options, material, held_out) == desk.studies.published()
    desk.studies.publish(replace(guide, pool_patients={images[3]: images[3]}))
    guide = guide_for(desk.studies, material, held_out)
    assert guide is not None and warm_start_for(guide, options, material, held_out) is None
