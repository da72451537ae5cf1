"""What Slicer makes of a file is what the server makes of it, down to a label's last voxel."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from DataSufficiencyLib.case_nodes import CaseNodes, LoadError
from DataSufficiencyLib.segment_review import Answers
from hypothesis import HealthCheck, given, settings

sys.path.append(str(Path(__file__).parents[1] / "imaging" / "support"))
from odd_headers import NiftiHeader, apart, nifti_headers, write_nrrd

from scaling_app.imaging.geometry import read_image, read_label, same_grid
from scaling_app.imaging.image_files import read_grid

SHAPE = (6, 5, 4)
DRAWN = np.zeros(SHAPE, np.uint8)
DRAWN[1:3, 2:5, 3] = DRAWN[4, 0, 0:2] = 1


def label_drawn_in_slicer(path: Path, drawn: np.ndarray, out: Path) -> np.ndarray | None:
    """Opens a file in the panel, paints these voxels of the file, and exports; where Slicer had its voxels.

    None when Slicer does not open the file.
    """
    slicer.mrmlScene.Clear(0)
    nodes = CaseNodes()
    try:
        nodes.open("case", path.name, path.read_bytes(), {"organ": 1})
    except LoadError:
        return None
    matrix = vtk.vtkMatrix4x4()
    nodes.image.GetIJKToRASMatrix(matrix)
    seen = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    voxels = slicer.util.arrayFromVolume(nodes.image)
    stored = read_image(path)[0].numpy().T
    if not np.array_equal(voxels, stored):  # then Slicer has the slices in reverse
        assert np.array_equal(voxels[::-1], stored)
        drawn = drawn[..., ::-1]
        seen = seen @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, SHAPE[2] - 1], [0, 0, 0, 1.0]])
    mask = np.ascontiguousarray(drawn.T)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, nodes.segmentation, "organ", nodes.image)
    nodes.export(nodes.review(Answers()), str(out), Answers())
    nodes.stop()
    return seen


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=nifti_headers((3,)))
def test_a_label_drawn_on_any_nifti_lies_on_its_voxels(
    scene: object, tmp_path: Path, header: NiftiHeader
) -> None:
    path, out = tmp_path / "image.nii", tmp_path / "label.nii.gz"
    header.write(path)
    seen = label_drawn_in_slicer(path, DRAWN, out)
    if seen is None:
        return
    image = read_image(path)
    assert apart(read_grid(path).affine, seen, SHAPE) < 0.02
    label = read_label(out, image)
    assert same_grid(image, label) is None
    assert np.array_equal(label[0].numpy(), DRAWN)


@pytest.mark.parametrize("space", ["RAS", "LPS", "LAS", "scanner-xyz", None])
@pytest.mark.parametrize("directions", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_label_drawn_on_any_nrrd_lies_on_its_voxels(
    scene: object, tmp_path: Path, space: str | None, directions: bool, seed: int
) -> None:
    path, out = tmp_path / "image.nrrd", tmp_path / "label.nii.gz"
    write_nrrd(path, space, directions, seed)
    seen = label_drawn_in_slicer(path, DRAWN, out)
    image = read_image(path)
    assert apart(read_grid(path).affine, seen, SHAPE) < 0.02
    label = read_label(out, image)
    assert same_grid(image, label) is None
    assert np.array_equal(label[0].numpy(), DRAWN)
