"""Labels as DICOM Segmentations: what comes back is what was sent, whatever the series, and whoever wrote it."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from other_program import by_dcmqi
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from benchmarks.common.made_series import OBLIQUE, STRAIGHT, as_bytes, make_series, voxels_of
from scaling_app.commands import doctor
from scaling_app.commands.launch import serve
from scaling_app.imaging.dicom_segmentation import (
    SegmentationError,
    Segmented,
    read_segmentation,
    write_segmentation,
)
from scaling_app.imaging.dicom_series import SeriesError, series_of, write_volume
from scaling_app.imaging.geometry import read_image, write_label

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

KINDS = {
    "CT": {},
    "oblique MR": {"modality": "MR", "axes": OBLIQUE},
    "anisotropic": {"spacing": (0.4, 1.7, 6.0)},
    "multi-frame": {"modality": "MR", "multi_frame": True, "axes": OBLIQUE},
}


def a_label(shape: tuple[int, int, int]) -> np.ndarray:
    """Two structures in the middle; the first and the last slices are empty."""
    label = np.zeros(shape, np.uint8)
    label[2:6, 3:9, 2:5] = 1
    label[7:12, 1:4, 4:7] = 5
    return label


def through_a_file(dataset: object, folder: Path) -> object:
    file = folder / "seg.dcm"
    dataset.save_as(file, write_like_original=False)
    return dcmread(file)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_comes_back_voxel_for_voxel(kind: str, tmp_path: Path) -> None:
    series = series_of(make_series(**KINDS[kind]))
    label = Segmented(
        a_label(series.shape), {1: "liver", 5: "tumour", 6: "never drawn"}, {"client_id": "anna"}
    )
    sent = write_segmentation(label, series, who="Anna^B=", when=datetime(2026, 3, 4, tzinfo=timezone.utc))
    back = read_segmentation(through_a_file(sent, tmp_path), series)
    assert np.array_equal(back.voxels, label.voxels)
    assert back.names == label.names
    assert back.note == {"client_id": "anna"}
    assert sent.ContentCreatorName == "AnnaB^" and sent.ContentDate == "20260304"
    assert int(sent.NumberOfFrames) == 6  # empty slices are left out of the file, and not of the label


def test_a_prediction_is_written_as_one_and_never_read_as_a_label(tmp_path: Path) -> None:
    series = series_of(make_series())
    label = Segmented(a_label(series.shape), {1: "liver", 5: "tumour"})
    sent = through_a_file(write_segmentation(label, series, predicted=True), tmp_path)
    assert [one.SegmentAlgorithmType for one in sent.SegmentSequence] == ["AUTOMATIC", "AUTOMATIC"]
    with pytest.raises(SegmentationError, match="prediction of a model"):
        read_segmentation(sent, series)
    sent.ContentLabel = "LABEL"
    assert np.array_equal(read_segmentation(sent, series).voxels, label.voxels)


def test_an_empty_label_and_large_values_come_back_too(tmp_path: Path) -> None:
    series = series_of(make_series())
    for voxels in (np.zeros(series.shape, np.uint8), np.full(series.shape, 700, np.int32)):
        sent = write_segmentation(Segmented(voxels, {}), series)
        assert np.array_equal(read_segmentation(through_a_file(sent, tmp_path), series).voxels, voxels)


@pytest.mark.parametrize("kind", KINDS)
def test_the_volume_lies_where_slicers_reader_puts_it(kind: str, tmp_path: Path) -> None:
    instances = make_series(**KINDS[kind])
    series = series_of(instances)
    files = []
    for number, instance in enumerate(instances):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(as_bytes(instance))
    image = read_image(write_volume(series, files, tmp_path / "image.nii.gz"))
    assert np.allclose(image.affine.numpy(), series.grid.affine, atol=1e-4)
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(tmp_path))
    read = sitk.ReadImage(names[0]) if len(names) == 1 else sitk.ReadImage(names)
    corner = [0, 0, series.shape[2] - 1]
    for voxel in ([0, 0, 0], corner, [3, 5, 1]):
        place = np.array(read.TransformIndexToPhysicalPoint(voxel)) * [-1, -1, 1]
        assert np.allclose((series.grid.affine @ [*voxel, 1])[:3], place, atol=1e-3)
        assert image[(0, *voxel)] == read[tuple(voxel)]
    if len(instances) > 1:
        assert np.array_equal(image[0].numpy(), voxels_of(instances))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "multi-frame"])  # dcmqi refuses that one
def test_the_segmentation_of_another_program_lies_on_the_whole_series(kind: str, tmp_path: Path) -> None:
    """dcmqi, which Slicer writes with, leaves empty slices out and counts segments anew."""
    if shutil.which("itkimage2segimage") is None:
        pytest.skip("dcmqi is not installed")
    instances = make_series(**KINDS[kind])
    series = series_of(instances)
    source = tmp_path / "source"
    source.mkdir()
    for number, instance in enumerate(instances):
        (source / f"{number}.dcm").write_bytes(as_bytes(instance))
    label = a_label(series.shape)
    dataset = by_dcmqi(
        write_label(label, series.grid, tmp_path / "label.nii.gz"), source, {1: "liver", 5: "tumour"}
    )
    back = read_segmentation(dataset, series, {"tumour": 1, "liver": 2})
    assert np.array_equal(back.voxels, np.select([label == 1, label == 5], [2, 1]))
    assert back.names == {2: "liver", 1: "tumour"}


def test_dcmqi_reads_what_is_written(tmp_path: Path) -> None:
    if shutil.which("segimage2itkimage") is None:
        pytest.skip("dcmqi is not installed")
    series = series_of(make_series(axes=OBLIQUE))
    label = a_label(series.shape)
    write_segmentation(Segmented(label, {1: "liver"}), series).save_as(
        tmp_path / "s.dcm", write_like_original=False
    )
    command = ["segimage2itkimage", "--inputDICOM", "s.dcm", "--outputDirectory", ".", "--outputType", "nrrd"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for number, value in ((1, 1), (2, 5)):
        read = sitk.ReadImage(str(tmp_path / f"{number}.nrrd"))
        found = {
            tuple(np.round(read.TransformIndexToPhysicalPoint([int(i) for i in v[::-1]]), 2))
            for v in np.argwhere(sitk.GetArrayFromImage(read) > 0)
        }
        mine = {
            tuple(np.round((series.grid.affine @ [*v, 1])[:3] * [-1, -1, 1], 2))
            for v in np.argwhere(label == value)
        }
        assert {tuple(x + 0.0 for x in v) for v in found} == {tuple(x + 0.0 for x in v) for v in mine}


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(ValueError, match=r"pip install 'scaling-app\[dicom\]'"):
        serve("http://127.0.0.1:9/dicom-web", host="127.0.0.1", port=1, app_dir=None, conf={})
    (finding,) = doctor._dicom()
    assert not finding.good and finding.optional and "pip install" in finding.detail


def _shift(instances: list, by: tuple[float, float, float]) -> None:
    one = max(instances, key=lambda i: int(i.InstanceNumber))
    one.ImagePositionPatient = [a + b for a, b in zip(one.ImagePositionPatient, by, strict=True)]


BAD = {
    "a slice is missing": lambda i: i.pop(2),
    "mm apart": lambda i: _shift(i, (0, 0, 0.9)),
    "more than one orientation": lambda i: setattr(i[0], "ImageOrientationPatient", list(OBLIQUE)),
    "several slices at one place": lambda i: setattr(i[0], "ImagePositionPatient", i[1].ImagePositionPatient),
    "different sizes": lambda i: setattr(i[0], "Rows", 3),
    "shifted against each other": lambda i: [
        setattr(one, "ImagePositionPatient", [x + 0.3 * int(one.InstanceNumber), y, z])
        for one in i
        for x, y, z in [one.ImagePositionPatient]
    ],
    "ImagePositionPatient is missing": lambda i: delattr(i[1], "ImagePositionPatient"),
    "PixelSpacing is missing": lambda i: setattr(i[0], "PixelSpacing", None),
    "something else than images": lambda i: delattr(i[0], "Rows"),
    "colours": lambda i: setattr(i[0], "SamplesPerPixel", 3),
}


@pytest.mark.parametrize("sentence", BAD)
def test_a_series_that_is_no_regular_grid_is_refused_by_name(sentence: str) -> None:
    with pytest.raises(SeriesError, match=sentence):
        series_of(make_series(change=BAD[sentence]))


def test_frames_of_unequal_spacing_are_refused() -> None:
    def push(instances: list) -> None:
        place = instances[0].PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0]
        place.ImagePositionPatient = [*place.ImagePositionPatient[:2], place.ImagePositionPatient[2] + 1]

    with pytest.raises(SeriesError, match="mm apart"):
        series_of(make_series(multi_frame=True, modality="MR", change=push))


def _scale_frames(instance: Dataset) -> None:
    for slope, frame in enumerate(instance.PerFrameFunctionalGroupsSequence, start=1):
        scaled = Dataset()
        scaled.RescaleSlope, scaled.RescaleIntercept = slope, 0
        frame.PixelValueTransformationSequence = [scaled]


FRAMES = {
    "9 frames, and says where 7 lie": lambda i: setattr(
        i, "PerFrameFunctionalGroupsSequence", list(i.PerFrameFunctionalGroupsSequence)[:7]
    ),
    "7 frames, and says where 9 lie": lambda i: setattr(i, "NumberOfFrames", 7),
    "scaled in different ways": _scale_frames,
}


@pytest.mark.parametrize("sentence", FRAMES)
def test_frames_that_are_not_what_their_header_says_are_refused(sentence: str) -> None:
    with pytest.raises(SeriesError, match=sentence):
        series_of(make_series(multi_frame=True, modality="MR", change=lambda i: FRAMES[sentence](i[0])))


def test_a_segmentation_of_another_series_is_refused() -> None:
    one, other = series_of(make_series()), series_of(make_series(axes=STRAIGHT))
    written = write_segmentation(Segmented(a_label(one.shape), {}), one)
    with pytest.raises(SegmentationError, match="another frame of reference"):
        read_segmentation(written, other)
    written.FrameOfReferenceUID = other.headers[0].FrameOfReferenceUID
    for frame in written.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 1
    with pytest.raises(SegmentationError, match="lies at no slice"):
        read_segmentation(written, other)
    with pytest.raises(SegmentationError, match="pixels"):
        read_segmentation(written, series_of(make_series(shape=(9, 9, 9))))


def test_a_segmentation_with_pixels_of_another_size_is_refused() -> None:
    series = series_of(make_series())
    written = write_segmentation(Segmented(a_label(series.shape), {}), series)
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = [2 * float(x) for x in measures.PixelSpacing]
    with pytest.raises(SegmentationError, match=r"its pixels are 1\.4 x 1\.8 mm.* 0\.7 x 0\.9 mm"):
        read_segmentation(written, series)


@pytest.mark.parametrize("values", [(256, 65535), (1, 2_000_000_000)])
def test_labels_of_sixteen_bits_and_more_keep_their_values(values: tuple[int, int], tmp_path: Path) -> None:
    series = series_of(make_series())
    voxels = a_label(series.shape).astype(np.int32)
    voxels = np.select([voxels == 1, voxels == 5], values).astype(np.int32)
    sent = write_segmentation(Segmented(voxels, {values[0]: "liver", values[1]: "tumour"}), series)
    back = read_segmentation(through_a_file(sent, tmp_path), series)
    assert np.array_equal(back.voxels, voxels) and back.names == {values[0]: "liver", values[1]: "tumour"}


def test_more_structures_than_a_file_holds_are_refused() -> None:
    series = series_of(make_series())
    voxels = np.arange(np.prod(series.shape), dtype=np.int32).reshape(series.shape)
    with pytest.raises(SegmentationError, match="255 are possible"):
        write_segmentation(Segmented(voxels, {}), series)


ODD = {
    "no segment of that number": lambda s: setattr(
        s.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0],
        "ReferencedSegmentNumber",
        77,
    ),
    "frames that are not there": lambda s: setattr(s, "NumberOfFrames", 7),
    "frames without end": lambda s: setattr(s, "NumberOfFrames", 2_000_000_000),
    "an image as wide as can be": lambda s: setattr(s, "Columns", 65535),
    "voxels cut off": lambda s: setattr(s, "PixelData", s.PixelData[:20]),
    "16 bits a voxel": lambda s: setattr(s, "BitsAllocated", 16),
    "a position that is none": lambda s: setattr(
        s.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0],
        "ImagePositionPatient",
        None,
    ),
    "no segments": lambda s: delattr(s, "SegmentSequence"),
    "no frames": lambda s: delattr(s, "PerFrameFunctionalGroupsSequence"),
    "colours": lambda s: setattr(s, "SamplesPerPixel", 3),
    "fractions": lambda s: setattr(s, "SegmentationType", "FRACTIONAL"),
    "a label map": lambda s: setattr(s, "SegmentationType", "LABELMAP"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_segmentation_is_refused_with_a_sentence(odd: str) -> None:
    series = series_of(make_series())
    written = write_segmentation(Segmented(a_label(series.shape), {}), series)
    ODD[odd](written)
    with pytest.raises(SegmentationError):
        read_segmentation(written, series)


@pytest.mark.parametrize("told", ['{"values": [1e999, 1], "label": {}}', '{"values": [1' + "0" * 30 + ', 1], "label": {}}', "[" * 5000])  # fmt: skip
def test_an_odd_note_in_a_segmentation_is_refused_or_counts_for_nothing(told: str) -> None:
    series = series_of(make_series())
    written = write_segmentation(Segmented(a_label(series.shape), {1: "a", 5: "b"}), series)
    written.private_block(0x0071, "SCALING APP")[0x01].value = told
    try:
        back = read_segmentation(written, series)
    except SegmentationError:
        return
    assert np.array_equal(back.voxels > 0, a_label(series.shape) > 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Rows", "many"),
        ("Columns", 0),
        ("ImageOrientationPatient", [0] * 6),
        ("PixelSpacing", [1e308] * 2),
        ("SamplesPerPixel", [1, 2]),
        ("SOPInstanceUID", "1.2.3"),
    ],
)
def test_odd_headers_of_a_series_end_in_a_sentence(field: str, value: object) -> None:
    headers = [one.to_json_dict() for one in make_series()]
    for header in headers:
        tag = f"{tag_for_keyword(field):08X}"
        vr = "US" if value == 0 else "UN"
        header[tag] = {"vr": vr, "Value": value if isinstance(value, list) else [value]}
    with pytest.raises(SeriesError):
        series_of([Dataset.from_json(header) for header in headers])


def test_a_slice_that_claims_more_than_its_file_can_hold_takes_no_memory(tmp_path: Path) -> None:
    instances = make_series()
    instances[0].Rows = instances[0].Columns = 65535
    files = []
    for number, instance in enumerate(instances):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(as_bytes(instance))
    instances[0].Rows, instances[0].Columns = instances[1].Rows, instances[1].Columns
    with pytest.raises(SeriesError, match="a slice of it"):
        write_volume(series_of(instances), files, tmp_path / "image.nii.gz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # KiB; it claims 8 GiB
