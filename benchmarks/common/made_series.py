"""DICOM series as scanners send them, made in memory: CT and MR, oblique, anisotropic, multi-frame."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.6 * 0.96, 0.8 * 0.96, 0.28)
SHAPE = (14, 12, 9)


def make_series(
    *,
    patient: str = "P1",
    modality: str = "CT",
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = (0.7, 0.9, 2.5),
    axes: Sequence[float] = STRAIGHT,
    study: str | None = None,
    multi_frame: bool = False,
    seed: int = 0,
    change: Callable[[list[FileDataset]], object] | None = None,
) -> list[FileDataset]:
    """The instances of a series, in no particular order.

    Args:
        shape: columns, rows, slices.
        spacing: in the same order, mm.
        axes: ImageOrientationPatient.
        change: what is done to the instances at last.
    """
    columns, rows, slices = shape
    voxels = np.random.default_rng(seed).integers(-900, 900, size=(slices, rows, columns)).astype(np.int16)
    normal = np.cross(axes[:3], axes[3:])
    origin = np.array([-20.25, 13.5, 40.125])
    positions = [origin + k * spacing[2] * normal for k in range(slices)]
    base = _header(patient, modality, study or generate_uid(), rows, columns)
    if multi_frame:
        instances = [_multi_frame(base, voxels, positions, axes, spacing)]
    else:
        instances = [
            _slice(base, number, voxels[number], position, axes, spacing)
            for number, position in enumerate(positions)
        ]
        instances = instances[1::2] + instances[::2]
    if change is not None:
        change(instances)
    return instances


def voxels_of(instances: Sequence[FileDataset]) -> np.ndarray:
    """The true volume of a series of single slices, `(columns, rows, slices)`."""
    ordered = sorted(instances, key=lambda one: int(one.InstanceNumber))
    return np.stack([one.pixel_array.T + int(one.RescaleIntercept) for one in ordered], axis=-1)


def as_bytes(instance: FileDataset) -> bytes:
    """The instance as a DICOM file."""
    out = io.BytesIO()
    instance.save_as(out, write_like_original=False)
    return out.getvalue()


def _header(patient: str, modality: str, study: str, rows: int, columns: int) -> Dataset:
    base = Dataset()
    base.PatientID = base.PatientName = patient
    base.PatientBirthDate = base.PatientSex = base.AccessionNumber = base.ReferringPhysicianName = ""
    base.StudyID, base.StudyDate, base.StudyTime = "1", "20240102", "101112"
    base.StudyInstanceUID, base.SeriesInstanceUID = study, generate_uid()
    base.FrameOfReferenceUID, base.Modality, base.SeriesNumber = generate_uid(), modality, 1
    base.PositionReferenceIndicator = base.Laterality = ""
    base.Manufacturer, base.SOPClassUID = "Test", CT if modality == "CT" else MR
    base.Rows, base.Columns, base.SamplesPerPixel = rows, columns, 1
    base.PhotometricInterpretation, base.PixelRepresentation = "MONOCHROME2", 1
    base.BitsAllocated = base.BitsStored = 16
    base.HighBit = 15
    return base


def _file(base: Dataset) -> FileDataset:
    instance = copy.deepcopy(base)
    instance.SOPInstanceUID = generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        instance.SOPClassUID,
        instance.SOPInstanceUID,
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(None, instance, file_meta=meta, preamble=b"\0" * 128)
    made.is_little_endian, made.is_implicit_VR = True, False
    return made


def _slice(
    base: Dataset,
    number: int,
    pixels: np.ndarray,
    position: np.ndarray,
    axes: Sequence[float],
    spacing: Sequence[float],
) -> FileDataset:
    made = _file(base)
    made.InstanceNumber = number + 1
    made.ImagePositionPatient = [round(float(x), 6) for x in position]
    made.ImageOrientationPatient = [round(float(x), 6) for x in axes]
    made.PixelSpacing, made.SliceThickness = [spacing[1], spacing[0]], spacing[2]
    made.RescaleIntercept, made.RescaleSlope = (-24 if base.Modality == "CT" else 0), 1
    made.PixelData = pixels.tobytes()
    return made


def _multi_frame(
    base: Dataset,
    voxels: np.ndarray,
    positions: Sequence[np.ndarray],
    axes: Sequence[float],
    spacing: Sequence[float],
) -> FileDataset:
    base.SOPClassUID = ENHANCED_MR
    made = _file(base)
    made.InstanceNumber, made.NumberOfFrames = 1, len(voxels)
    made.PixelData = voxels.tobytes()
    made.ContentDate, made.ContentTime = "20240102", "101112"
    measures, turned, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[0]], spacing[2]
    turned.ImageOrientationPatient = [round(float(x), 6) for x in axes]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([turned])
    made.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for number, position in enumerate(positions, start=1):
        place, content, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(x), 6) for x in position]
        content.StackID, content.InStackPositionNumber = "1", number
        content.DimensionIndexValues = [number]
        frame.PlanePositionSequence, frame.FrameContentSequence = Items([place]), Items([content])
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = Items(frames)
    return made
