"""A label as a DICOM Segmentation of its series, and back, voxel for voxel.

Written by highdicom: it is Python alone, and checks the standard's rules. Read from the frames' own positions: a
Segmentation may leave empty slices out, and what it leaves out is background on the series' grid, not a smaller volume.
Those of other programs are read in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from scaling_app.imaging.dicom_series import MOST_A_BYTE, Series
from scaling_app.imaging.untrusted.header import ImageError

STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
"""The SOP class of Segmentations."""

MAKER = "Scaling App"
_PREDICTION = "Prediction"
_GROUP, _ELEMENT = 0x0071, 0x01
_ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
_LEARNED = Code("123110", "DCM", "Artificial Intelligence")
_TISSUE = Code("85756007", "SCT", "Tissue")
_MOST_SEGMENTS = 255
_NEEDED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime")
_NEEDED += ("AccessionNumber", "StudyID", "ReferringPhysicianName")
"""What the standard lets be empty, and some senders leave out."""


class SegmentationError(ImageError):
    """A Segmentation that is no label of its series; the sentence says why."""


@dataclass(frozen=True)
class Segmented:
    """A label map of a series.

    Attributes:
        voxels: `(columns, rows, slices)` on the series' grid.
        names: label value -> structure, those that are named and hold no voxel among them.
        note: what was sent with it, where this program wrote it; else empty.
    """

    voxels: NDArray[np.integer]
    names: Mapping[int, str]
    note: Mapping[str, Any] = field(default_factory=dict)


def require_writer() -> None:
    """Refuses to work without what writes Segmentations.

    Raises:
        ValueError: one line, with what to do.
    """
    try:
        import highdicom.seg  # noqa: F401
    except ImportError:
        raise ValueError(
            "studies on a DICOM server need the package highdicom: pip install 'scaling-app[dicom]'"
        ) from None


def write_segmentation(
    label: Segmented, series: Series, *, who: str = "", when: datetime | None = None, predicted: bool = False
) -> Dataset:
    """The Segmentation of a label, or of a model's prediction.

    Args:
        label: at least one voxel or one name.
        series: what it was drawn on.
        who: the annotator.
        when: now, if not told.
        predicted: by a model; `read_segmentation` refuses it as a label.

    Raises:
        SegmentationError: more structures than one file holds, or headers that a Segmentation cannot refer to.
    """
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription

    when = when or datetime.now().astimezone()
    present = [int(value) for value in np.unique(label.voxels) if value]
    values = sorted({*present, *label.names}) or [1]
    if len(values) > _MOST_SEGMENTS:
        raise SegmentationError(f"the label holds {len(values)} structures; {_MOST_SEGMENTS} are possible")
    model = AlgorithmIdentificationSequence(name=MAKER, family=_LEARNED, version="1")
    kind = _PREDICTION if predicted else "Label"
    sources = [_with_what_is_needed(header) for header in series.headers]
    stored = np.zeros((len(series.planes), series.shape[1], series.shape[0]), dtype=np.uint8)
    starts = np.cumsum([0, *(int(header.get("NumberOfFrames") or 1) for header in sources)])
    for place, plane in enumerate(series.planes):
        stored[starts[plane.header] + plane.frame] = np.searchsorted(
            [0, *values], label.voxels[:, :, place]
        ).T
    try:
        segmentation = Segmentation(
            source_images=sources,
            pixel_array=stored,
            segmentation_type="BINARY",
            segment_descriptions=[
                SegmentDescription(
                    segment_number=number,
                    segment_label=(label.names.get(value) or f"structure {value}")[:64],
                    segmented_property_category=_ANATOMY,
                    segmented_property_type=_code_of(label.names.get(value, "")),
                    algorithm_type="AUTOMATIC" if predicted else "MANUAL",
                    algorithm_identification=model if predicted else None,
                )
                for number, value in enumerate(values, start=1)
            ],
            series_instance_uid=generate_uid(),
            series_number=300,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions="1",
            device_serial_number="1",
            content_description=kind,
            content_creator_name=person_name(who),
            content_label=kind.upper(),
            series_description=f"{kind} by {who}"[:64] if who else kind,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SegmentationError(
            f"the series cannot be referred to in a DICOM Segmentation: {error}"
        ) from error
    for date, time in (("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime")):
        setattr(segmentation, date, when.strftime("%Y%m%d"))
        setattr(segmentation, time, when.strftime("%H%M%S.%f"))
    segmentation.TimezoneOffsetFromUTC = when.strftime("%z")
    note = {"label": dict(label.note), "values": values}
    segmentation.private_block(_GROUP, MAKER.upper(), create=True).add_new(_ELEMENT, "UT", json.dumps(note))
    return segmentation


def read_segmentation(dataset: Dataset, series: Series, known: Mapping[str, int] | None = None) -> Segmented:
    """The label that a Segmentation holds, on the grid of its series.

    Args:
        dataset: with voxels.
        series: what it was drawn on.
        known: structure -> label value. Names come before numbers: other programs count segments anew.

    Raises:
        SegmentationError: a prediction, fractions, overlapping segments, or another grid than the series'.
    """
    try:
        return _read(dataset, series, known or {})
    except SegmentationError:
        raise
    except Exception as error:  # files come from anywhere, and any field of them may hold anything
        raise SegmentationError(f"it cannot be read; it may be damaged ({error})") from error


def _read(dataset: Dataset, series: Series, known: Mapping[str, int]) -> Segmented:
    if (dataset.get("Manufacturer"), dataset.get("ContentLabel")) == (MAKER, _PREDICTION.upper()):
        raise SegmentationError("it is the prediction of a model and no label; correct it and save it as one")
    if dataset.get("SegmentationType") != "BINARY":
        raise SegmentationError(f"it is of the type {dataset.get('SegmentationType')}; BINARY is read")
    if (int(dataset.Columns), int(dataset.Rows)) != series.shape[:2]:
        raise SegmentationError(
            f"it has {dataset.Columns} x {dataset.Rows} pixels, its series has {series.shape[0]} x {series.shape[1]}"
        )
    frame_of_reference = dataset.get("FrameOfReferenceUID")
    if frame_of_reference and frame_of_reference != series.headers[0].get("FrameOfReferenceUID"):
        raise SegmentationError("it lies in another frame of reference than the series that it names")
    note, own = _note(dataset)
    names = {int(s.SegmentNumber): str(s.get("SegmentLabel") or "") for s in dataset.SegmentSequence}
    values = _values(names, known, own)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    most = len(series.planes) * len(names)
    if not 0 < int(dataset.get("NumberOfFrames") or 0) <= most:
        raise SegmentationError(
            f"it has {dataset.get('NumberOfFrames')} frames; its series has room for {most}"
        )
    claimed = int(dataset.NumberOfFrames) * series.shape[0] * series.shape[1]
    if claimed > 8 * MOST_A_BYTE * len(dataset.PixelData):
        raise SegmentationError("it claims more voxels than its file can hold")
    frames = np.asarray(dataset.pixel_array).reshape(-1, series.shape[1], series.shape[0])
    voxels = np.zeros(series.shape, dtype=np.uint8 if max(values.values(), default=0) <= 255 else np.int32)
    for pixels, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        _require_orientation(group, shared, series)
        _require_spacing(group, shared, series)
        position = (group.get("PlanePositionSequence") or shared.PlanePositionSequence)[
            0
        ].ImagePositionPatient
        drawn = pixels.T > 0
        if not drawn.any():
            continue
        place = series.place_of([float(number) for number in position])
        if place is None:
            raise SegmentationError("a slice of it lies at no slice of the series that it names")
        said = group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        number = int(said[0].ReferencedSegmentNumber)
        plane = voxels[:, :, place]
        if (plane[drawn] != 0).any():
            raise SegmentationError("its segments overlap, and a label has one structure at a place")
        plane[drawn] = values[number]
    found = {values[number]: name for number, name in names.items() if name}
    return Segmented(voxels, found, note)


def person_name(who: str) -> str:
    """A name as DICOM takes it, as a family name: without what separates the parts of names, and short enough."""
    plain = "".join(c for c in who if c.isprintable() and c not in "^=\\")[:60]
    return f"{plain}^" if plain else ""


def _values(names: Mapping[int, str], known: Mapping[str, int], own: Sequence[int]) -> dict[int, int]:
    """Segment number -> label value: as it was written here, else by name where the structure is known, else any that is free."""
    if len(own) == len(names) and set(names) == set(range(1, len(names) + 1)):
        return {number: own[number - 1] for number in names}
    by_name = {name.casefold(): value for name, value in known.items()}
    values: dict[int, int] = {}
    for number, name in sorted(names.items()):
        value = by_name.get(name.casefold())
        if value is not None and value not in values.values():
            values[number] = value
    for number in sorted(set(names) - set(values)):
        taken = {*values.values(), *known.values()}
        values[number] = number if number not in taken else max(taken) + 1
    return values


def _note(dataset: Dataset) -> tuple[dict[str, Any], tuple[int, ...]]:
    """What this program wrote down in it: the note of the label, and the value of each segment."""
    try:
        told = json.loads(dataset.private_block(_GROUP, MAKER.upper())[_ELEMENT].value)
        values = tuple(int(value) for value in told["values"])
        if not isinstance(told["label"], dict) or min(values) < 1 or len(set(values)) < len(values):
            return {}, ()
        return told["label"], values
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError):
        return {}, ()


def _require_orientation(group: Dataset, shared: Dataset, series: Series) -> None:
    said = group.get("PlaneOrientationSequence") or shared.get("PlaneOrientationSequence")
    if not said:
        return
    cosines = np.asarray([float(x) for x in said[0].ImageOrientationPatient]).reshape(2, 3).T
    if np.abs(cosines - series.axes[:, :2]).max() > 1e-2:
        raise SegmentationError("its slices are turned against those of the series that it names")


def _require_spacing(group: Dataset, shared: Dataset, series: Series) -> None:
    said = group.get("PixelMeasuresSequence") or shared.get("PixelMeasuresSequence")
    if not said or not said[0].get("PixelSpacing"):
        return
    rows, columns = (float(x) for x in said[0].PixelSpacing)
    if not np.allclose((columns, rows), series.spacing[:2], rtol=1e-2):
        raise SegmentationError(
            f"its pixels are {columns:g} x {rows:g} mm, those of the series that it names "
            f"{series.spacing[0]:g} x {series.spacing[1]:g} mm"
        )


def _with_what_is_needed(header: Dataset) -> Dataset:
    whole = Dataset()
    whole.update(header)
    for name in _NEEDED:
        if name not in whole:
            setattr(whole, name, "")
    return whole


def _code_of(name: str) -> Code:
    """SNOMED's code of a structure with that English name; tissue for any other."""
    from pydicom.sr.codedict import codes  # a second of reading tables, where most servers write none

    keyword = "".join(word.capitalize() for word in name.replace("_", " ").split())
    try:
        return getattr(codes.SCT, keyword)
    except (AttributeError, RuntimeError):  # none of that name, or several
        return _TISSUE
