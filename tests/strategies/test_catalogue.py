"""One table of strategies: what it says of a class is so, and what it calls equal is equal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scaling_app.strategies import catalogue
from scaling_app.strategies.catalogue import (
    CATALOGUE,
    OWN_OF_AUTO,
    compared_by_auto,
    entry_of,
    families_of,
    names,
    register,
    same_as,
)
from scaling_app.strategies.making import make_strategy


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_each_entry_makes_the_class_of_its_name_and_says_what_it_does(entry) -> None:
    assert make_strategy(entry.name).name == entry.name
    assert entry.title and entry.what.endswith(".") and len(entry.what.split()) <= 20
    assert entry.families and entry.cost > 0


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'gnda'.*genda\+pool"):
        make_strategy("gnda")


def test_what_is_no_strategy_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_ADDED", {})
    register("nothing", dict)
    with pytest.raises(TypeError, match="'nothing' gives a dict"):
        make_strategy("nothing")


def test_a_name_is_given_once() -> None:
    assert len(set(names())) == len(names())
    with pytest.raises(ValueError, match="already"):
        register("baseline", lambda: make_strategy("none"))


def test_auto_tries_what_is_not_the_baseline_cheapest_first() -> None:
    costs = [entry_of(name).cost for name in compared_by_auto()]
    assert costs == sorted(costs) and OWN_OF_AUTO not in compared_by_auto()


@pytest.mark.parametrize(
    ("name", "patients", "pool", "same"),
    [
        ("genda+pool", 10, 3, "genda+pool"),
        ("genda+pool", 11, 3, "genda"),
        ("genda+pool", 4, 0, "genda"),
        ("regda+pool", 40, 3, "regda+pool"),
        ("regda+pool", 40, 0, "regda"),
        ("genda", 4, 0, "genda"),
        ("baseline+longer", 4, 0, "baseline+longer"),
    ],
)
def test_what_takes_no_unlabelled_images_is_known_to_be_another_strategy(name, patients, pool, same) -> None:
    assert same_as(name, patients, pool) == same


def test_arms_of_experiments_belong_to_the_families_of_their_words() -> None:
    assert families_of("red-mild") == {"deformation"}
    assert families_of("genda+genseg") == {"deformation", "generation"}
    assert families_of("genda+longer") == {"deformation"}
    assert families_of("anything else") == frozenset()


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, scaling_app.strategies.catalogue; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
