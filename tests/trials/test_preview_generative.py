"""A preview shows generated pairs, marks them as synthetic, and measures them in finite numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaling_app.trials.preview import preview
from scaling_app.trials.preview_generative import preview_genseg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :40]
    for index in range(4):
        centre = rng.uniform(15, 25, 2)
        label = (np.hypot(rows - centre[0], columns - centre[1]) < 8).astype(np.uint8)
        image = np.clip(80 + 90 * label + rng.normal(0, 15, label.shape), 0, 255).astype(np.uint8)
        for kind, array in (("images", image), ("labels", label)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"case{index}.png")
    return tmp_path


def test_a_preview_writes_marked_pairs_a_montage_and_finite_figures(folder: Path) -> None:
    out = folder / "preview"
    path = preview_genseg("genseg", folder / "images", folder / "labels", 3, out, steps=30)
    pairs = sorted(p.name for p in out.glob("synthetic_*.png"))
    assert len(pairs) == 6
    assert all(Image.open(out / name).text["synthetic"] == "true" for name in [*pairs, "montage.png"])
    quality = json.loads(path.read_text())
    assert quality["synthetic"] is True
    assert 0 <= quality["discriminator_accuracy"] <= 1
    assert quality["diversity"]["generated"] > 0
    assert -1 <= quality["nearest_training_image_similarity"] <= 1
    dice = quality["dice_of_unaware_segmenter"]
    assert all(0 <= v <= 1 for part in dice.values() for v in part.values())
    assert 0 <= quality["alignment"]["omega"] <= 1
    assert math.isfinite(quality["similarity_to_own_source"])


def test_a_strategy_that_generates_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="generates nothing"):
        preview_genseg("baseline", folder / "images", folder / "labels", 1, folder / "out", steps=2)


def test_the_common_preview_hands_genseg_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def stand_in(*arguments: object, **_: object) -> Path:
        seen.append(arguments[0])
        return Path(__file__).with_name("missing.json")

    monkeypatch.setattr("scaling_app.trials.preview.preview_genseg", stand_in)
    with pytest.raises(FileNotFoundError):
        preview("genseg", folder / "images", folder / "labels", 1, folder / "out")
    assert seen == ["genseg"]
