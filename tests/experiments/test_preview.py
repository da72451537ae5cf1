"""A preview of deformed samples shows what a training would be given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from scaling_app.experiments import preview as module
from scaling_app.experiments.montage import GAP, HEIGHT
from scaling_app.imaging.synthetic import make_case, write_case
from scaling_app.strategies.deformation import strategies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(6):
        case = make_case(index, size=20)
        write_case(case, tmp_path / "images", tmp_path / "labels")
    return tmp_path


def test_images_of_the_pool_are_shown_under_the_labels_that_are_trained_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_TRAINING", 4)
    monkeypatch.setattr(strategies, "LEAST_CARRIED_DICE", 0.0)
    out = folder / "out"
    phases: list[tuple[str, int, int]] = []
    quality = module.preview(
        "regda+pool", folder / "images", folder / "labels", 4, out, on_phase=lambda *told: phases.append(told)
    )
    assert phases[-4:] == [("samples", k, 4) for k in (1, 2, 3, 4)]
    names = sorted(path.name.removesuffix(".nii.gz")[4:] for path in (folder / "out" / "labels").iterdir())
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "images").iterdir())
    carried = quality["report"]["carried"]
    assert carried == 2 and sorted(set(names) & set(cases[4:])) == cases[4:]
    assert json.loads((out / "quality.json").read_text())["certified"] is True
    sheet = Image.open(out / "montage.png").convert("L")
    assert sheet.height == 4 * (HEIGHT + GAP) + module.TITLE_HEIGHT
    for panel in range(4):  # each has a title
        left = panel * sheet.width // 4
        assert min(sheet.crop((left, 0, left + sheet.width // 4, module.TITLE_HEIGHT)).getdata()) < 128
