"""Cases of one image are never on two sides of a split."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import pytest

from scaling_app.experiments import replay as replay_module
from scaling_app.experiments.replay import replay
from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.twins import Twins, united


def test_patients_are_one_through_any_chain() -> None:
    assert united([]) == {}
    assert united([{"b", "c"}, {"x", "y"}, {"c", "a"}]) == {**dict.fromkeys("abc", "a"), "x": "x", "y": "x"}


@pytest.fixture
def with_twin(volumes: list[CaseFiles], tmp_path: Path) -> tuple[Path, Path, str, str]:
    """Folders of the six volumes, and the first of them again, unpacked, under another name."""
    first = volumes[0]
    for kind, folder in (("images", first.image.parent), ("labels", first.label.parent)):
        shutil.copytree(folder, tmp_path / kind)
    nib.save(nib.load(first.image), tmp_path / "images" / "again.nii")
    shutil.copy(first.label, tmp_path / "labels" / "again.nii.gz")
    return tmp_path / "images", tmp_path / "labels", first.case_id, "again"


@pytest.mark.parametrize("n_test", [1, 2, 3, 4])
def test_the_same_image_under_two_names_is_named_and_stays_on_one_side(
    with_twin: tuple[Path, Path, str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog,
    n_test: int,
) -> None:
    images, labels, name, twin = with_twin
    made: list[ReplayRun] = []
    monkeypatch.setattr(replay_module._Replaying, "all", lambda left, *_: made.extend(left.waiting))
    replay(images, labels, [1, 2], n_test=n_test, draws=3, pool=1, out=tmp_path / "r.csv")
    assert f"{twin} and {name}" in caplog.text
    assert made
    for run in made:
        sides = [{case.patient for case in side} for side in (run.training, run.testing, run.pool)]
        assert not sides[0] & sides[1] and not sides[2] & sides[1]
        patient = {case.case_id: case.patient for case in (*run.training, *run.testing, *run.pool)}
        assert patient.get(name, "again") == patient.get(twin, "again") == "again"


def test_what_the_images_hold_is_remembered(
    with_twin: tuple[Path, Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module._Replaying, "all", lambda *_: None)
    images, labels, *_ = with_twin
    replay(images, labels, [1], n_test=1, out=tmp_path / "r.csv")
    monkeypatch.setattr("scaling_app.imaging.same_content._digest_of", lambda *_: pytest.fail("read again"))
    replay(images, labels, [1], n_test=1, out=tmp_path / "r.csv")


def test_without_twins_every_patient_is_as_before(volumes: list[CaseFiles]) -> None:
    assert Twins().together(volumes) == volumes
