"""From a segmentation to a label file in which every structure has the value that the server expects.

The value comes from the structure's name through a colour table, on the grid of the image's own file. Segments' order,
IDs and visibility play no part: the values of a deleted, reordered, renamed or hidden segment are right.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .label_set import colour_table
from .ports import ExportError

_Plan = Sequence[tuple[str, str, str]]


#: More structures than any label file can tell apart.
_VALUES = 65536
_CHUNK_BYTES = 1 << 22


def export_label(
    segmentation: Any, image: Any, labels: Mapping[str, int], plan: _Plan, path: str
) -> dict[str, int]:
    """Write a label file.

    Args:
        segmentation: The `vtkMRMLSegmentationNode`.
        image: The volume node whose grid the label gets.
        labels: Structure name to voxel value.
        plan: (segment ID, segment name, structure) of every segment to export, the later winning where they
            overlap; from `segment_review.review`.
        path: `.nii.gz`, `.nrrd` or `.png`.

    Returns:
        Structure name to the number of its voxels in the file.

    Raises:
        ExportError: When Slicer cannot export or write, when the file is not whole (a full disk), or when a
            class lost all its voxels on the way.
    """
    if image.GetImageData() is None:
        raise ExportError(_("its image has no voxels; its file may have been moved. Load the case anew"))
    kind = np.uint8 if max(labels.values()) < 256 else np.uint16
    parts = [_export(segmentation, image, rows).astype(kind) for rows in _passes(plan, labels)]
    values = parts[0] if parts else np.zeros(_shape(image), dtype=kind)
    for part in parts[1:]:
        np.copyto(values, part, where=part > 0)
    voxels = _histogram(values)
    counts = {name: int(voxels[value]) for name, value in labels.items()}
    lost = sorted({label for _id, _name, label in plan if counts[label] == 0})
    if lost:
        words = _("nothing is left of {structures}: outside the image, or wholly under another segment")
        raise ExportError(words.format(structures=", ".join(lost)))
    _write(values, image, path)
    return counts


def label_info(labels: Mapping[str, int], counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """What MONAI Label stores beside a label: the name and the voxel value of each structure in it."""
    return [{"name": name, "idx": value} for name, value in labels.items() if counts.get(name)]


def _passes(plan: _Plan, labels: Mapping[str, int]) -> list[list[tuple[str, str, int]]]:
    """Split a plan so that in each part every name has one value and every value one name.

    One part does, unless two segments were said to be of the same structure, or two of one name of different ones.
    """
    parts: list[list[tuple[str, str, int]]] = []
    for segment_id, name, label in plan:
        value = labels[label]
        for part in parts:
            if all((n == name) == (v == value) for _id, n, v in part):
                part.append((segment_id, name, value))
                break
        else:
            parts.append([(segment_id, name, value)])
    return parts


def _export(segmentation: Any, image: Any, rows: list[tuple[str, str, int]]) -> np.ndarray:
    """One export through a colour table whose rows carry the segments' names."""
    table = colour_table([(name, value) for _id, name, value in rows])
    tables = _colour_tables()
    labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "DataSufficiency export")
    ids = vtk.vtkStringArray()
    for segment_id, _name, _value in rows:
        ids.InsertNextValue(segment_id)
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    try:
        logic = slicer.modules.segmentations.logic()
        if not logic.ExportSegmentsToLabelmapNode(segmentation, ids, labelmap, image, extent, table):
            raise ExportError(_("Slicer could not turn the segments into a labelmap"))
        scalars = labelmap.GetImageData().GetPointData().GetScalars()
        values = vtk_to_numpy(scalars).reshape(_shape(labelmap)).copy()
    finally:
        remove_with_parts(labelmap)
        for made in [table, *(_colour_tables() - tables)]:  # Slicer copies the table for the labelmap
            slicer.mrmlScene.RemoveNode(made)
    if values.shape != _shape(image):
        words = _("the labelmap has {found} voxels, the image {expected}")
        raise ExportError(words.format(found=values.shape, expected=_shape(image)))
    unexpected = set(np.flatnonzero(_histogram(values)).tolist()) - {0, *(value for _id, _n, value in rows)}
    if unexpected:
        words = _("unexpected values in the labelmap: {values}")
        raise ExportError(words.format(values=sorted(unexpected)))
    return values


def _histogram(values: np.ndarray) -> np.ndarray:
    """How often each value from 0 on occurs; slice by slice, because a wide copy of a large volume is larger."""
    counts = np.zeros(_VALUES, dtype=np.int64)
    for plane in values:
        counts += np.bincount(plane.ravel(), minlength=_VALUES)
    return counts


def _colour_tables() -> set[Any]:
    scene, kind = slicer.mrmlScene, "vtkMRMLColorTableNode"
    return {scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))}


def _shape(volume: Any) -> tuple[int, int, int]:
    i, j, k = volume.GetImageData().GetDimensions()
    return k, j, i


def _write(values: np.ndarray, image: Any, path: str) -> None:
    """Write voxels on the grid on which Slicer has the image; the server puts them into the order of its file."""
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetImageData().GetDimensions())
    if path.endswith(".png"):
        _write_flat(values, data, path)
        return
    data.GetPointData().SetScalars(numpy_to_vtk(values.ravel()))
    matrix = vtk.vtkMatrix4x4()
    image.GetIJKToRASMatrix(matrix)
    node = slicer.vtkMRMLLabelMapVolumeNode()
    node.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(node)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    try:
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveImageData(data)
        storage.SetFileName(str(path))
        storage.SetUseCompression(True)
        if not storage.WriteData(node):
            raise _not_written(path)
        if path.endswith(".gz"):
            _require_whole(path, values.nbytes)
    finally:
        remove_with_parts(node)


def _require_whole(path: str, voxel_bytes: int) -> None:
    """Read a compressed file through once: its writer says nothing when the disk is full.

    Raises:
        ExportError: When it ends early.
    """
    found = 0
    try:
        with gzip.open(path) as file:
            while True:
                chunk = file.read(_CHUNK_BYTES)
                found += len(chunk)
                if not chunk:
                    break
    except (OSError, EOFError, zlib.error) as error:
        raise _not_whole(path) from error
    if found < voxel_bytes:
        raise _not_whole(path)


def _not_written(path: str) -> ExportError:
    return ExportError(_("cannot write {path}").format(path=path))


def _not_whole(path: str) -> ExportError:
    return ExportError(_("{path} is not whole; is the disk full?").format(path=path))


def _write_flat(values: np.ndarray, data: Any, path: str) -> None:
    """Write a picture's label: VTK counts rows from below, pictures and Slicer from above."""
    if values.shape[0] != 1:
        words = _("a picture's label cannot have {n} slices")
        raise ExportError(words.format(n=values.shape[0]))
    data.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values[:, ::-1]).ravel(), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(path)
    writer.SetInputData(data)
    writer.Write()
    if writer.GetErrorCode():
        raise _not_written(path)


def remove_with_parts(node: Any) -> None:
    """Take a volume or a segmentation out of the scene, with the nodes that came with it."""
    if node is None:
        return
    for part in (node, node.GetStorageNode(), node.GetDisplayNode()):
        if part is not None:
            slicer.mrmlScene.RemoveNode(part)
