"""An exported label has, for every class, the value of its name: whatever was done to the segments."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from DataSufficiencyLib.case_nodes import CaseNodes, LoadError
from DataSufficiencyLib.label_export import ExportError
from DataSufficiencyLib.label_questions import Answers

from scaling_app.imaging.geometry import read_image, read_label, same_grid

LABELS = {"liver": 1, "spleen": 2, "tumour": 3, "vessel": 7}
BOXES = {"liver": (1, 3), "spleen": (5, 8), "tumour": (10, 12), "vessel": (14, 18)}


@pytest.fixture
def case(scene: object, image_file: Path) -> CaseNodes:
    """An open case in which every class is painted in a box of its own."""
    nodes = CaseNodes()
    nodes.open("case_007", image_file.name, image_file.read_bytes(), LABELS)
    for name in LABELS:
        paint(nodes, name, *BOXES[name])
    yield nodes
    nodes.stop()


def paint(nodes: CaseNodes, segment_id: str, first: int, last: int) -> None:
    array = np.zeros(slicer.util.arrayFromVolume(nodes.image).shape, np.uint8)
    array[2:5, 4:9, first:last] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, nodes.segmentation, segment_id, nodes.image)


def inner(nodes: CaseNodes) -> object:
    return nodes.segmentation.GetSegmentation()


def exported(nodes: CaseNodes, folder: Path, answers: Answers | None = None) -> nibabel.Nifti1Image:
    answers = answers or Answers(absent=frozenset(LABELS))
    plan = nodes.review(answers)
    assert plan.questions == ()
    path = folder / "label.nii.gz"
    nodes.export(plan, str(path), answers)
    return nibabel.load(path)


def values_in_boxes(label: nibabel.Nifti1Image) -> dict[str, set[int]]:
    voxels = np.asarray(label.dataobj)
    return {
        name: set(np.unique(voxels[first:last, 4:9, 2:5]).tolist()) for name, (first, last) in BOXES.items()
    }


RIGHT = {name: {value} for name, value in LABELS.items()}


def test_every_class_has_its_value_on_the_images_grid(
    case: CaseNodes, tmp_path: Path, image_file: Path
) -> None:
    label, image = exported(case, tmp_path), nibabel.load(image_file)
    assert values_in_boxes(label) == RIGHT
    assert label.shape == image.shape
    np.testing.assert_allclose(label.affine, image.affine, atol=1e-4)
    assert label.get_data_dtype() == np.uint8
    assert np.count_nonzero(np.asarray(label.dataobj)) == sum(15 * (b - a) for a, b in BOXES.values())


def test_a_deleted_segment_moves_no_other_value(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).RemoveSegment("spleen")
    assert values_in_boxes(exported(case, tmp_path)) == {**RIGHT, "spleen": {0}}


def test_reordered_segments_keep_their_values(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).SetSegmentIndex("tumour", 0)
    inner(case).SetSegmentIndex("vessel", 1)
    assert values_in_boxes(exported(case, tmp_path)) == RIGHT


def test_a_segment_renamed_to_another_class_is_of_that_class(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).RemoveSegment("spleen")
    inner(case).GetSegment("liver").SetName("spleen")
    assert values_in_boxes(exported(case, tmp_path)) == {**RIGHT, "liver": {2}, "spleen": {0}}


def test_a_segment_renamed_to_nothing_known_is_asked_about_and_then_right(
    case: CaseNodes, tmp_path: Path
) -> None:
    inner(case).GetSegment("liver").SetName("my best liver")
    questions = case.review(Answers()).questions
    assert [(q.kind, q.name, q.guess) for q in questions if q.kind == "unknown"] == [
        ("unknown", "my best liver", "liver")
    ]
    assert values_in_boxes(exported(case, tmp_path, Answers({"liver": "liver"}))) == RIGHT


def test_swapped_names_swap_values(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).GetSegment("liver").SetName("x")
    inner(case).GetSegment("tumour").SetName("liver")
    inner(case).GetSegment("liver").SetName("tumour")
    assert values_in_boxes(exported(case, tmp_path)) == {**RIGHT, "liver": {3}, "tumour": {1}}


def test_hidden_segments_are_exported_too(case: CaseNodes, tmp_path: Path) -> None:
    display = case.segmentation.GetDisplayNode()
    for name in ("liver", "vessel"):
        display.SetSegmentVisibility(name, False)
    display.SetVisibility(False)
    assert values_in_boxes(exported(case, tmp_path)) == RIGHT


def test_everything_at_once(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).SetSegmentIndex("vessel", 0)
    inner(case).RemoveSegment("liver")
    inner(case).GetSegment("tumour").SetName("Tumour ")
    case.segmentation.GetDisplayNode().SetSegmentVisibility("spleen", False)
    answers = Answers({"tumour": "tumour"}, frozenset({"liver"}))
    assert values_in_boxes(exported(case, tmp_path, answers)) == {**RIGHT, "liver": {0}}


def test_an_unknown_segment_is_never_dropped_in_silence(case: CaseNodes) -> None:
    inner(case).AddEmptySegment("Segment_1", "Segment_1")
    paint(case, "Segment_1", 20, 22)
    (question,) = case.review(Answers()).questions
    assert (question.kind, question.subject, question.guess, question.voxels) == (
        "unknown",
        "Segment_1",
        None,
        30,
    )


def test_an_empty_unknown_segment_is_asked_about(case: CaseNodes) -> None:
    inner(case).AddEmptySegment("Segment_1", "Segment_1")
    (question,) = case.review(Answers()).questions
    assert (question.kind, question.voxels) == ("unknown", 0)


def test_a_left_out_segment_is_out(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).AddEmptySegment("scratch", "scratch")
    paint(case, "scratch", 20, 22)
    label = exported(case, tmp_path, Answers({"scratch": None}))
    assert not np.asarray(label.dataobj)[20:22].any()


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_class_without_voxels_is_asked_about(case: CaseNodes, how: str) -> None:
    if how == "deleted":
        inner(case).RemoveSegment("tumour")
    else:
        paint(case, "tumour", 0, 0)
    assert [(q.kind, q.subject) for q in case.review(Answers()).questions] == [("absent", "tumour")]
    assert case.review(Answers(absent=frozenset({"tumour"}))).questions == ()


def test_two_segments_may_be_of_one_class(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).AddEmptySegment("second", "second lobe")
    paint(case, "second", 20, 22)
    label = exported(case, tmp_path, Answers({"second": "liver"}))
    assert values_in_boxes(label) == RIGHT
    assert (np.asarray(label.dataobj)[20:22, 4:9, 2:5] == 1).all()


def test_two_segments_of_one_name_can_be_told_apart(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).GetSegment("liver").SetName("Segment_1")
    inner(case).GetSegment("tumour").SetName("Segment_1")
    assert values_in_boxes(exported(case, tmp_path, Answers({"liver": "liver", "tumour": "tumour"}))) == RIGHT


def test_overlap_is_asked_about_and_the_higher_class_wins(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).SeparateSegmentLabelmap("tumour")
    liver = slicer.vtkOrientedImageData()
    case.segmentation.GetBinaryLabelmapRepresentation("liver", liver)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    one_column = [1, 1, *liver.GetExtent()[2:]]
    logic.SetBinaryLabelmapToSegment(liver, case.segmentation, "tumour", logic.MODE_MERGE_MAX, one_column)
    assert [(q.kind, q.voxels) for q in case.review(Answers()).questions] == [("overlap", 15)]
    label = exported(case, tmp_path, Answers(accepted_overlap=True))
    assert values_in_boxes(label) == {**RIGHT, "liver": {1, 3}}


def test_what_lies_outside_the_image_is_an_error_not_an_empty_class(case: CaseNodes, tmp_path: Path) -> None:
    far = slicer.vtkOrientedImageData()
    far.SetExtent(100, 104, 100, 104, 100, 104)
    far.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    far.GetPointData().GetScalars().Fill(1)
    far.SetOrigin(900, 900, 900)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(far, case.segmentation, "tumour", logic.MODE_REPLACE)
    plan = case.review(Answers())
    assert plan.questions == ()
    with pytest.raises(ExportError, match="tumour"):
        case.export(plan, str(tmp_path / "label.nii.gz"), Answers())


def test_export_leaves_the_scene_as_it_was(case: CaseNodes, tmp_path: Path) -> None:
    def nodes() -> list[str]:
        scene = slicer.mrmlScene
        return [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())]

    # There from the start in Slicer.
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = nodes()
    exported(case, tmp_path)
    assert set(nodes()) - set(before) == set()


def test_export_is_no_edit(case: CaseNodes, tmp_path: Path) -> None:
    edits: list[int] = []
    case.edited.connect(lambda: edits.append(1))
    exported(case, tmp_path)
    assert edits == []


def test_label_info_names_the_values_in_the_file(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).RemoveSegment("spleen")
    answers = Answers(absent=frozenset({"spleen"}))
    info = case.export(case.review(answers), str(tmp_path / "label.nii.gz"), answers)
    assert info == [{"name": "liver", "idx": 1}, {"name": "tumour", "idx": 3}, {"name": "vessel", "idx": 7}]


def test_a_moved_image_and_its_segmentation_still_fit(
    case: CaseNodes, tmp_path: Path, image_file: Path
) -> None:
    """Under a parent transform, the file is on the image's own grid all the same."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 25.0)
    transform.SetMatrixTransformToParent(matrix)
    for node in (case.image, case.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    label = exported(case, tmp_path)
    assert values_in_boxes(label) == RIGHT
    np.testing.assert_allclose(label.affine, nibabel.load(image_file).affine, atol=1e-4)


def test_a_label_comes_back_into_the_right_segments(case: CaseNodes, tmp_path: Path) -> None:
    exported(case, tmp_path)
    content = (tmp_path / "label.nii.gz").read_bytes()
    inner(case).RemoveAllSegments()
    case.fill(content)
    names = [inner(case).GetNthSegment(i).GetName() for i in range(inner(case).GetNumberOfSegments())]
    assert sorted(names) == sorted(LABELS)
    assert values_in_boxes(exported(case, tmp_path)) == RIGHT


def test_a_prediction_without_a_class_still_gives_it_a_segment(case: CaseNodes, tmp_path: Path) -> None:
    inner(case).RemoveSegment("tumour")
    exported(case, tmp_path)
    case.fill((tmp_path / "label.nii.gz").read_bytes())
    assert inner(case).GetSegment("tumour") is not None
    assert [q.subject for q in case.review(Answers()).questions] == ["tumour"]


def test_a_file_that_is_no_image_is_said_so(scene: object) -> None:
    nodes = CaseNodes()
    with pytest.raises(LoadError, match=r"broken\.nii\.gz"):
        nodes.open("x", "broken.nii.gz", b"not an image", LABELS)
    assert not nodes.alive
    nodes.stop()


def test_a_pictures_label_lies_on_its_pixels(scene: object, tmp_path: Path) -> None:
    """slicer-core reads no PNG, so the picture is made here; reading one is left to a real Slicer."""
    from PIL import Image

    image = slicer.util.addVolumeFromArray(
        np.zeros((1, 20, 30), np.uint8), ijkToRAS=np.diag([-1.0, -1.0, 1.0, 1.0])
    )
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
    nodes = CaseNodes()
    nodes.adopt(image, segmentation, {"lesion": 1})
    array = np.zeros((1, 20, 30), np.uint8)
    array[:, 2:5, 3:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, "lesion", image)
    nodes.export(nodes.review(Answers()), str(tmp_path / "label.png"), Answers())
    nodes.stop()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "label.png")), array[0])


def test_the_first_label_of_all_makes_the_classes(scene: object, image_file: Path, tmp_path: Path) -> None:
    nodes = CaseNodes()
    nodes.open("first", image_file.name, image_file.read_bytes(), {})
    for name in ("kidney", "cyst", "empty"):
        inner(nodes).AddEmptySegment(name, name)
    paint(nodes, "kidney", 1, 3)
    paint(nodes, "cyst", 5, 8)
    (question,) = nodes.review(Answers()).questions
    assert (question.kind, question.name) == ("structures", "kidney = 1, cyst = 2")
    agreed = Answers(accepted_structures=True)
    info = nodes.export(nodes.review(agreed), str(tmp_path / "label.nii.gz"), agreed)
    nodes.stop()
    assert info == [{"name": "kidney", "idx": 1}, {"name": "cyst", "idx": 2}]
    voxels = np.asarray(nibabel.load(tmp_path / "label.nii.gz").dataobj)
    assert (np.unique(voxels[1:3, 4:9, 2:5]), np.unique(voxels[5:8, 4:9, 2:5])) == ([1], [2])


AXES = {
    "right-handed": np.diag([-1.2, -1.2, 3.0]),
    "radiological": np.diag([-1.2, 1.2, 3.0]),
    "reversed slices": np.diag([-1.2, -1.2, -3.0]),
    "sagittal": np.array([[0.0, 0.0, 3.0], [1.2, 0.0, 0.0], [0.0, 1.2, 0.0]]),
    "sagittal, left-handed": np.array([[0.0, 0.0, -3.0], [1.2, 0.0, 0.0], [0.0, 1.2, 0.0]]),
}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd"])
@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_a_label_lies_voxel_by_voxel_on_the_images_file(
    scene: object, tmp_path: Path, axes: np.ndarray, suffix: str
) -> None:
    """Slicer reverses the slices of left-handed files; read by the server, the label is on the file's own grid."""
    voxels = np.random.default_rng(5).integers(0, 4, (7, 9, 5)).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (11.0, -7.0, 5.0)
    path = tmp_path / f"image{suffix}"
    write_image(path, voxels, affine)
    nodes = CaseNodes()
    nodes.open("case", path.name, path.read_bytes(), {"one": 1, "two": 2, "three": 3})
    seen = slicer.util.arrayFromVolume(nodes.image)
    for name, value in (("one", 1), ("two", 2), ("three", 3)):
        mask = (seen == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, nodes.segmentation, name, nodes.image)
    nodes.export(nodes.review(Answers()), str(tmp_path / "label.nii.gz"), Answers())
    assert_lies_on(tmp_path / "label.nii.gz", path, voxels)
    nodes.fill((tmp_path / "label.nii.gz").read_bytes())
    nodes.export(nodes.review(Answers()), str(tmp_path / "again.nii.gz"), Answers())
    nodes.stop()
    assert_lies_on(tmp_path / "again.nii.gz", path, voxels)


def test_an_image_that_another_module_loaded_keeps_its_files_grid(scene: object, tmp_path: Path) -> None:
    voxels = np.random.default_rng(6).integers(0, 2, (7, 9, 5)).astype(np.int16)
    affine = np.diag([-1.2, 1.2, 3.0, 1.0])
    write_image(tmp_path / "image.nii.gz", voxels, affine)
    image = slicer.modules.volumes.logic().AddArchetypeVolume(str(tmp_path / "image.nii.gz"), "case")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
    nodes = CaseNodes()
    nodes.adopt(image, segmentation, {"one": 1})
    mask = slicer.util.arrayFromVolume(image).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "one", image)
    nodes.export(nodes.review(Answers()), str(tmp_path / "label.nii.gz"), Answers())
    nodes.stop()
    assert_lies_on(tmp_path / "label.nii.gz", tmp_path / "image.nii.gz", voxels)


def assert_lies_on(label: Path, image: Path, voxels: np.ndarray) -> None:
    """Whether the server finds these voxels in a label of that image, at the image's place."""
    on = read_image(image)
    found = read_label(label, on)
    assert same_grid(on, found) is None
    np.testing.assert_array_equal(found[0].numpy(), voxels)


def write_image(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    if path.suffix != ".nrrd":
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
        return
    import nrrd

    to_lps = np.diag([-1.0, -1.0, 1.0])
    header = {
        "space": "left-posterior-superior",
        "space directions": (to_lps @ affine[:3, :3]).T,
        "space origin": to_lps @ affine[:3, 3],
    }
    nrrd.write(str(path), voxels, header)
