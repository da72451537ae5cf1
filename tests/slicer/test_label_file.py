"""The label file on a small disk, of many classes, and with a result that was never applied."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from DataSufficiencyLib.case_nodes import CaseNodes
from DataSufficiencyLib.editor_section import shared_node
from DataSufficiencyLib.label_questions import Answers
from DataSufficiencyLib.label_set import colour_table

#: Exports a label to a disk that takes 20,000 bytes of a file.
SMALL_DISK = """
import resource, signal, sys
sys.path[:0] = {paths!r}
import conftest, numpy, slicer, slicer.util
from DataSufficiencyLib.case_nodes import CaseNodes
from DataSufficiencyLib.label_export import ExportError
from DataSufficiencyLib.label_questions import Answers

image = slicer.util.addVolumeFromArray(numpy.zeros((20, 80, 80), numpy.int16))
segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "label")
segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
nodes = CaseNodes()
nodes.adopt(image, segmentation, {{"tumour": 1}})
noise = (numpy.random.default_rng(0).random((20, 80, 80)) > 0.5).astype(numpy.uint8)
slicer.util.updateSegmentBinaryLabelmapFromArray(noise, segmentation, "tumour", image)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    nodes.export(nodes.review(Answers()), {path!r}, Answers())
except ExportError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="makes a small disk by a limit on files")
def test_a_label_that_did_not_fit_on_the_disk_is_no_label(tmp_path: Path) -> None:
    here = Path(__file__).parent
    program = SMALL_DISK.format(paths=[str(here)], path=str(tmp_path / "label.nii.gz"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "refused:" in done.stdout, done.stderr
    assert "is the disk full?" in done.stdout


@pytest.mark.parametrize(("version", "told"), [((5, 8), True), ((5, 10), False), ((5, 12), False)])
def test_only_an_old_slicer_is_told_that_names_are_given(
    scene: object,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    version: tuple[int, int],
    told: bool,
) -> None:
    """A newer one, as the one here, logs an error for it; an older one would forget the names."""
    for name, number in zip(("majorVersion", "minorVersion"), version, strict=True):
        monkeypatch.setattr(slicer.app, name, number, raising=False)
    table = colour_table([("liver", 1)])
    assert table.GetColorName(1) == "liver"
    assert ("NamesInitialisedOn" in capfd.readouterr().err) == told


@pytest.fixture
def many(scene: object) -> CaseNodes:
    """Twelve classes, each in a layer of its own, in a volume of eight million voxels."""
    shape, labels = (32, 512, 512), {f"class {i}": i + 1 for i in range(12)}
    image = slicer.util.addVolumeFromArray(np.zeros(shape, np.int16))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "label")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
    nodes = CaseNodes()
    nodes.adopt(image, segmentation, labels)
    for index, name in enumerate(labels):
        voxels = np.zeros(shape, np.uint8)
        voxels[4:28, 40 * index : 40 * index + 42, 20:480] = 1  # two rows are the next one's as well
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, name, image)
    yield nodes
    nodes.stop()


def test_overlaps_of_many_classes_are_counted_once_and_in_time(many: CaseNodes) -> None:
    started = time.process_time()
    (question,) = many.review(Answers()).questions
    seconds = time.process_time() - started
    assert (question.kind, question.voxels) == ("overlap", 11 * 2 * 24 * 460)
    assert seconds < 2.5  # pair by pair it took five


def test_a_result_that_was_not_applied_is_asked_about(many: CaseNodes) -> None:
    scene = slicer.mrmlScene
    editor, preview = shared_node(), scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "preview")
    editor.SetNodeReferenceID("SegmentationResultPreview", preview.GetID())
    agreed = Answers(accepted_overlap=True)
    assert many.review(agreed).questions == (), "the preview is of another case"
    editor.SetAndObserveSegmentationNode(many.segmentation)
    assert [question.kind for question in many.review(agreed).questions] == ["preview"]
    assert many.review(Answers(accepted_overlap=True, accepted_preview=True)).questions == ()
    scene.RemoveNode(preview)  # as Apply and Cancel do
    assert many.review(agreed).questions == ()
