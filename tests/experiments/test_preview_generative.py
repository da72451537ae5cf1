"""A preview shows generated pairs, marks them as synthetic, and measures them in finite numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scaling_app.experiments.preview import preview
from scaling_app.experiments.preview_generative import GeneratedPairs, preview_genseg, write_pairs
from scaling_app.imaging.geometry import read_image, read_label


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :60]
    for index in range(4):
        centre = rng.uniform((15, 20), (25, 40))
        label = (np.hypot(rows - centre[0], columns - centre[1]) < 8).astype(np.uint8)
        image = np.clip(80 + 90 * label + rng.normal(0, 15, label.shape), 0, 255).astype(np.uint8)
        for kind, array in (("images", image), ("labels", label)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"case{index}.png")
    return tmp_path


@pytest.mark.parametrize("strategy", ["genseg", "genseg+fields"])
def test_a_preview_writes_marked_pairs_a_montage_and_finite_figures(folder: Path, strategy: str) -> None:
    out = folder / "preview"
    path = preview_genseg(strategy, folder / "images", folder / "labels", 3, out, steps=30)
    pairs = sorted(p.name for p in out.glob("synthetic_*.png"))
    assert len(pairs) == 6
    assert all(Image.open(out / name).text["synthetic"] == "true" for name in [*pairs, "montage.png"])
    width, height = Image.open(out / pairs[0]).size
    assert width > height, "a picture lies as the cases do"
    sheet = Image.open(out / "montage.png")
    assert sheet.width / 4 - 4 > (sheet.height - 16) / 3 - 4, "and so it does in the montage"
    quality = json.loads(path.read_text())
    assert quality["synthetic"] is True
    if strategy == "genseg":
        assert 0 <= quality["discriminator_accuracy"] <= 1 and quality["architecture"]
    else:  # nothing is painted
        assert quality["discriminator_accuracy"] is None and not quality["architecture"]
    assert quality["diversity"]["generated"] > 0
    assert -1 <= quality["nearest_training_image_similarity"] <= 1
    dice = quality["dice_of_unaware_segmenter"]
    assert all(0 <= v <= 1 for part in dice.values() for v in part.values())
    assert 0 <= quality["alignment"]["omega"] <= 1
    assert quality["alignment"]["evidence"] > 0
    assert math.isfinite(quality["similarity_to_own_source"])


@pytest.mark.parametrize("channels", [1, 3])
def test_written_pictures_are_read_back_as_they_were(tmp_path: Path, channels: int) -> None:
    image = torch.rand((1, channels, 24, 16))
    label = torch.zeros((1, 1, 24, 16), dtype=torch.uint8)
    label[0, 0, 3:20, 5:8] = 1
    image[0, :, 3:20, 5:8] += 5
    write_pairs(GeneratedPairs(image, image, label, label.float(), ("a",)), 1, (1.0, 1.0), tmp_path)
    assert torch.equal(read_label(tmp_path / "synthetic_000_label.png").as_tensor(), label[0])
    grey = read_image(tmp_path / "synthetic_000_image.png").as_tensor()
    assert grey.shape == image[0].shape
    assert torch.equal(grey > 200, (label[0] == 1).expand_as(grey))


def test_a_strategy_that_generates_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="generates nothing"):
        preview_genseg("baseline", folder / "images", folder / "labels", 1, folder / "out", steps=2)


def test_the_common_preview_hands_genseg_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def stand_in(*arguments: object, **_: object) -> Path:
        seen.append(arguments[0])
        return Path(__file__).with_name("missing.json")

    monkeypatch.setattr("scaling_app.experiments.preview.preview_genseg", stand_in)
    with pytest.raises(FileNotFoundError):
        preview("genseg", folder / "images", folder / "labels", 1, folder / "out")
    assert seen == ["genseg"]
