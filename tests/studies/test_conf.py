"""The options: typed, explained when wrong, documented all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import scaling_app
from scaling_app.imaging.network_table import DEFAULT_NETWORK, networks_in_words
from scaling_app.studies.conf import KEYS, ConfError, default_ledger, parse_labels, read_conf
from scaling_app.studies.train_options import parse_options

APP_DIR = Path(scaling_app.__file__).parent

NO_NUMBERS = ("²", "٣", "9" * 5000)
"""Digits to Python, which makes no number of the first, takes the second for 3, and counts the third's with an error."""


def read(tmp_path: Path, **raw: str):
    return read_conf(raw, app_dir=tmp_path, studies=str(tmp_path / "studies"))


def test_everything_has_a_default(tmp_path):
    conf = read(tmp_path)
    assert (conf.labels, conf.dimension, conf.network, conf.strategy) == (None, None, "resenc", "baseline")
    assert conf.steps is None
    assert 0.2 <= conf.blind_fraction <= 0.25
    assert conf.ledger.is_relative_to(tmp_path / "model")


def test_labels_take_values_in_order_or_as_given():
    assert parse_labels("liver, spleen") == {"liver": 1, "spleen": 2}
    assert parse_labels("liver=3,spleen=1") == {"liver": 3, "spleen": 1}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("steps", "many", "whole number"),
        ("steps", "0", "whole number"),
        ("dimension", "4", "auto, 2 or 3"),
        ("network", "alexnet", "resunet"),
        ("strategy", "magic", "baseline"),
        ("target", "1.5", "between 0 and 1"),
        ("blind_fraction", "nan", "between"),
        ("labels", "a,,b", "names separated by commas"),
        ("labels", "a=2,b=2", "each name and value once"),
        ("patient_pattern", "(", "regular expression"),
        ("capacity", "huge", "small, medium"),
        *(("capacity", text, "small, medium, large, or a number of channels") for text in NO_NUMBERS),
        *(("labels", f"a={text}", "names separated by commas") for text in NO_NUMBERS),
        *(("seed", text, "a whole number from 0") for text in NO_NUMBERS),
        *(("steps", text, "auto, or a whole number from 1") for text in NO_NUMBERS),
        ("step", "4", "did you mean steps"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(tmp_path, key, value, words):
    with pytest.raises(ConfError) as error:
        read(tmp_path, **{key: value})
    message = str(error.value)
    assert key in message and words in message and "\n" not in message


def test_every_option_is_documented():
    table = (APP_DIR / "README.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z]\w*)` \| (?:`([^`]*)`|[^|`]*) ", table, flags=re.M))
    assert set(rows) == {key.name for key in KEYS}
    for key in KEYS:
        assert rows[key.name] == key.default, key.name


def test_every_network_is_documented_in_the_words_of_its_table():
    table = (APP_DIR / "README.md").read_text()
    assert f"| `network` | `{DEFAULT_NETWORK}` | {networks_in_words('`')} |" in table


def test_each_studies_folder_has_its_own_ledger(tmp_path):
    first, second = (default_ledger(tmp_path, str(tmp_path / name)) for name in ("a", "b"))
    assert first != second
    assert first == default_ledger(tmp_path, f"{tmp_path}/a/")


def test_one_network_always_is_another_recipe_than_two_where_they_help(tmp_path):
    recipes = []
    for asked in ({}, {"coarse_to_fine": "auto"}, {"coarse_to_fine": "off"}):
        conf = read_conf(asked, app_dir=tmp_path, studies=str(tmp_path))
        recipes.append(parse_options({}, conf).settings_hash({"a": 1}, 3))
    assert recipes[0] == recipes[1] != recipes[2]
    with pytest.raises(ConfError, match="one of auto, off"):
        read_conf({"coarse_to_fine": "on"}, app_dir=tmp_path, studies=str(tmp_path))
