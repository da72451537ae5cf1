"""Cases are prepared once, kept by content, and readable whatever kill came before."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scaling_app.imaging.geometry import read_image, read_label, write_label
from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.imaging.untrusted import ImageError
from scaling_app.trials import cases as cases_module
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.fingerprint import Intensity
from scaling_app.trials.plan import Plan, make_plan
from scaling_app.trials.preparation import prepare


def test_a_prepared_case_is_normalised_and_holds_class_indices(prepared: PreparedCases) -> None:
    case = prepared[prepared.labelled[0]]
    assert (case.image.dtype, case.label.dtype) == (torch.float32, torch.uint8)
    assert case.image.shape[1:] == case.label.shape[1:]
    assert abs(float(case.image.mean())) < 0.1
    assert abs(float(case.image.std()) - 1) < 0.1
    assert set(case.label.unique().tolist()) == {0, 1, 2}


def test_preparing_does_not_depend_on_how_the_file_is_turned(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path
) -> None:
    files = volumes[0]
    turned = {}
    for kind, path in (("image", files.image), ("label", files.label)):
        loaded = nib.load(path)
        other = loaded.as_reoriented(nib.orientations.axcodes2ornt(("P", "S", "L")))
        turned[kind] = tmp_path / f"{kind}.nii.gz"
        nib.save(other, turned[kind])
    image, label = prepare(volume_plan, files)
    image_turned, label_turned = prepare(volume_plan, CaseFiles("t", "t", turned["image"], turned["label"]))
    assert torch.allclose(image, image_turned, atol=1e-4)
    assert (label != label_turned).float().mean() < 1e-3


def test_the_second_time_comes_from_the_disk_and_content_decides(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.nii.gz"
    shutil.copy(volumes[0].image, copy)
    first = PreparedCases(volume_plan, volumes[:1], tmp_path / "cache", 0)[volumes[0].case_id]
    monkeypatch.setattr(cases_module, "prepare", lambda *_: pytest.fail("prepared twice"))
    again = replace(volumes[0], case_id="again", image=copy)
    second = PreparedCases(volume_plan, [again], tmp_path / "cache", 0)["again"]
    assert torch.equal(first.image, second.image)


def test_a_changed_label_is_prepared_anew(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path
) -> None:
    label = tmp_path / "label.nii.gz"
    shutil.copy(volumes[0].label, label)
    files = replace(volumes[0], label=label)
    before = PreparedCases(volume_plan, [files], tmp_path / "cache", 0)[files.case_id].label.clone()
    reference = read_label(label)
    write_label(torch.where(reference == 2, 1, reference.as_tensor().int()), reference, label)
    os.utime(label, ns=(1, 1))
    after = PreparedCases(volume_plan, [files], tmp_path / "cache", 0)[files.case_id].label
    assert 2 in before.unique()
    assert 2 not in after.unique()


def test_files_that_a_kill_left_half_written_are_not_used(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path
) -> None:
    cases = PreparedCases(volume_plan, volumes[:1], tmp_path, 0)
    expected = cases[volumes[0].case_id].image.clone()
    (index,) = tmp_path.glob("*.json")
    index.unlink()
    (image,) = tmp_path.glob("*.image.npy")
    image.write_bytes(image.read_bytes()[:100])
    again = PreparedCases(volume_plan, volumes[:1], tmp_path, 0)[volumes[0].case_id].image
    assert torch.equal(again, expected)
    assert not list(tmp_path.glob("*.part"))


def test_ram_is_used_up_to_the_bound_and_maps_beyond(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path
) -> None:
    one = PreparedCases(volume_plan, volumes[:1], tmp_path, 0)[volumes[0].case_id]
    size = one.image.numel() * 4 + one.label.numel()
    cases = PreparedCases(volume_plan, volumes, tmp_path, int(2.5 * size))
    for case_id in cases.labelled * 2:
        assert torch.isfinite(cases[case_id].image).all()
    kept = [case_id for case_id in cases.labelled if cases[case_id] is cases[case_id]]
    assert 1 <= len(kept) < len(volumes)
    assert sum(cases[i].image.numel() * 4 + cases[i].label.numel() for i in kept) <= 2.5 * size


def test_labelled_and_pool_are_told_apart(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path: Path
) -> None:
    pool = replace(volumes[1], label=None)
    cases = PreparedCases(volume_plan, [volumes[0], pool], tmp_path, 2**28)
    assert cases.labelled == [volumes[0].case_id]
    assert cases.pool == [pool.case_id]
    assert cases[pool.case_id].label is None
    assert all(len(points) == 0 for points in cases.foreground(pool.case_id))


def test_foreground_points_lie_in_their_class(prepared: PreparedCases) -> None:
    case_id = prepared.labelled[1]
    label = prepared[case_id].label[0]
    for index, points in enumerate(prepared.foreground(case_id), start=1):
        assert len(points) > 0
        assert (label[tuple(points.T)] == index).all()


def test_slices_of_volumes_are_units_of_a_two_dimensional_plan(
    volumes: list[CaseFiles], tmp_path: Path
) -> None:
    plan = make_plan(volumes, STRUCTURES, spatial_dims=2)
    cases = PreparedCases(plan, volumes, tmp_path, 2**28)
    units = cases.units([volumes[0].case_id])
    whole = cases[volumes[0].case_id]
    assert 1 < len(units) <= whole.image.shape[3]
    for unit in units:
        piece = cases[unit]
        assert piece.image.shape == whole.image.shape[:3]
        assert piece.label.any()
        for index, points in enumerate(cases.foreground(unit), start=1):
            assert (piece.label[0][tuple(points.T)] == index).all()


def test_cases_that_do_not_fit_the_plan_are_refused(
    volumes: list[CaseFiles], pictures: list[CaseFiles], volume_plan: Plan, tmp_path: Path
) -> None:
    for wrong, word in (
        (pictures[0], "2D with 3"),
        (replace(volumes[0], label=volumes[1].label), volumes[0].case_id),
    ):
        with pytest.raises(ImageError, match=word):
            PreparedCases(volume_plan, [wrong], tmp_path, 0)[wrong.case_id]
    with pytest.raises(KeyError, match="nobody"):
        PreparedCases(volume_plan, volumes, tmp_path, 0)["nobody"]


def test_values_that_are_no_structure_are_background(volumes: list[CaseFiles], tmp_path: Path) -> None:
    plan = make_plan(volumes, {"nodule": 2})
    case = PreparedCases(plan, volumes[:1], tmp_path, 0)[volumes[0].case_id]
    share = float((read_label(volumes[0].label) == 2).float().mean())
    assert set(case.label.unique().tolist()) == {0, 1}
    assert float(case.label.float().mean()) == pytest.approx(share, rel=0.3)


def test_a_ct_is_clipped_to_the_plan(volumes: list[CaseFiles], tmp_path: Path) -> None:
    image = read_image(volumes[0].image)
    array = np.where(image[0].numpy() > np.median(image), 5000, -1000).astype(np.int16)
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(array, np.asarray(image.affine)), path)
    files = replace(volumes[0], image=path)
    plan = make_plan([files], STRUCTURES)
    assert plan.intensity.kind == "ct"
    found = PreparedCases(plan, [files], tmp_path / "cache", 0)[files.case_id].image
    intensity = plan.intensity
    assert float(found.max()) <= (intensity.upper - intensity.mean) / intensity.std + 1e-4


def test_a_case_without_a_label_says_so_when_its_label_is_asked_for(prepared: PreparedCases) -> None:
    unlabelled = replace(prepared[prepared.labelled[0]], label=None)
    with pytest.raises(ValueError, match=f"case {unlabelled.case_id} has no label"):
        _ = unlabelled.known_label
    with pytest.raises(ValueError, match="case scan has no label"):
        _ = CaseFiles("scan", "patient", Path("scan.nii.gz")).known_label


def test_common_intensities_can_be_undone_and_those_of_each_image_cannot() -> None:
    image = torch.tensor([[-50.0, 0.0, 30.0, 200.0]])
    ct = Intensity("ct", lower=-100, upper=300, mean=40, std=20)
    assert torch.allclose(ct.undo(ct.apply(image)), image)
    with pytest.raises(ValueError, match="per_image"):
        Intensity("per_image").undo(image)
