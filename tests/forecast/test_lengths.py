"""How long trainings were is said in one sentence, wherever it is said."""

from __future__ import annotations

from pathlib import Path

import scaling_app
from scaling_app.forecast.lengths import flat_end_note, steps_in_words, trainings_of, trainings_took


def test_the_sentence_names_the_steps_and_how_many_trainings_wanted_time() -> None:
    steps = steps_in_words([800, None, 3170])
    assert trainings_took(steps) == "The trainings of this curve took 800 to 3,170 steps."
    assert trainings_took(steps, 2, 5).endswith(
        "steps, and 2 of 5 ended when their minutes were over: more minutes may raise the curve."
    )
    assert trainings_took("", 2, 5) == ""
    assert flat_end_note(steps).startswith(trainings_took(steps) + " The curve is flat")
    assert flat_end_note("").startswith(
        "How long its trainings were the table does not tell. The curve is flat"
    )


def test_of_a_flat_end_that_minutes_cut_no_more_steps_are_advised() -> None:
    steps = steps_in_words([49, 55])
    note = flat_end_note(steps, 3, 4)
    assert note.startswith(trainings_took(steps, 3, 4))
    assert "minutes enough for all steps at one of its sizes" in note
    assert "times the steps" not in note
    assert trainings_of(steps, 3, 4).startswith("Trainings of 49 to 55 steps, and 3 of 4 ended when")
    assert trainings_of("") == ""


def test_it_stands_in_one_place() -> None:
    sources = Path(scaling_app.__file__).parent.rglob("*.py")
    holding = [path.name for path in sources if "trainings of this curve" in path.read_text(encoding="utf-8")]
    assert holding == ["lengths.py"]
