"""The case at hand in the scene: its image, its segmentation, and what happens to them.

Loading and importing go through Slicer's own logic classes, so that this file needs no window.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .label_export import export_label, label_info, remove_with_parts
from .label_questions import Answers, Review
from .label_set import add_missing_segments, colour_table, segment_ids
from .ports import LoadError
from .segment_review import Traces, has_voxels, remember_assignments, review, traces
from .signal import Signal

#: Enough of a file to hold its header, compressed or not.
_FLAT_FORMATS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class CaseNodes(VTKObservationMixin):
    """Holds the two nodes of a case, and tells when they change or go.

    Signals:
        edited: Somebody drew, or added or removed a segment.
        renamed: A segment has another name, and with it perhaps another structure.
        looked: The mouse moved over an image, or a view was scrolled: somebody is there.
        gone: One of the nodes was deleted or the scene was closed; carries `scene` or `node`.
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.edited, self.renamed, self.looked, self.gone = Signal(), Signal(), Signal(), Signal()
        self.image: Any = None
        self.segmentation: Any = None
        self._labels: dict[str, int] = {}
        self._label_suffix = ".nii.gz"
        self._quiet = 0
        self._before: Traces = {}
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._scene_closes)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._node_goes)

    @property
    def alive(self) -> bool:
        return self.image is not None and self.segmentation is not None

    @property
    def labels(self) -> Mapping[str, int]:
        """The structures that the segments are compared with."""
        return self._labels

    @property
    def drawn_on(self) -> bool:
        """Whether any segment has voxels."""
        self._quiet += 1
        try:
            return self.alive and has_voxels(self.segmentation)
        finally:
            self._quiet -= 1

    def open(self, case_id: str, file_name: str, content: bytes, labels: Mapping[str, int]) -> None:
        """Load a case's image and give it a segmentation with one segment per structure.

        Raises:
            LoadError: When Slicer cannot read the image. The scene is then as before.
        """
        self.close()
        with tempfile.TemporaryDirectory(prefix="DataSufficiency-") as folder:
            path = Path(folder) / Path(file_name).name
            path.write_bytes(content)
            image = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), case_id)
        if image is None:
            raise LoadError(_("Slicer cannot read {file} as an image").format(file=file_name))
        _forget_file(image)
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", case_id + " label")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
        self.adopt(image, segmentation, labels)
        self._label_suffix = ".png" if file_name.lower().endswith(_FLAT_FORMATS) else ".nii.gz"
        _show(image)

    def adopt(self, image: Any, segmentation: Any, labels: Mapping[str, int]) -> None:
        """Take nodes that are in the scene already: from a saved scene, or from another module."""
        self._release()
        self._label_suffix = ".nii.gz"
        self.image, self.segmentation = image, segmentation
        self.use_labels(labels)
        inner = segmentation.GetSegmentation()
        self._before = traces(segmentation)
        for event in (
            inner.SegmentModified,
            inner.SourceRepresentationModified,
            inner.RepresentationModified,
            inner.SegmentAdded,
            inner.SegmentRemoved,
        ):
            self.addObserver(inner, event, self._segments_changed)
        self._watch_views()

    def use_labels(self, labels: Mapping[str, int]) -> None:
        """The structures of the task, as the server named them; each gets a segment."""
        self._labels = dict(labels)
        self._quiet += 1
        add_missing_segments(self.segmentation, labels)
        self._quiet -= 1

    def fill(self, content: bytes, file_name: str = "segmentation.nii.gz") -> None:
        """Replace the segments by those of a label file on the image's grid.

        Args:
            file_name: Its ending tells the format.

        Raises:
            LoadError: When Slicer cannot read it.
        """
        table = colour_table(self._labels.items())
        logic = slicer.modules.volumes.logic()
        labelmap = None
        self._quiet += 1
        try:
            with tempfile.TemporaryDirectory(prefix="DataSufficiency-") as folder:
                path = Path(folder) / file_name
                path.write_bytes(content)
                # 1 is vtkSlicerVolumesLogic::LabelMap
                labelmap = logic.AddArchetypeVolume(str(path), "DataSufficiency import", 1)
            if labelmap is None:
                raise LoadError(_("Slicer cannot read the segmentation that the server sent"))
            labelmap.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
            for segment_id in segment_ids(self.segmentation):
                self.segmentation.GetSegmentation().RemoveSegment(segment_id)
            slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labelmap, self.segmentation)
            add_missing_segments(self.segmentation, self._labels)
        finally:
            self._quiet -= 1
            remove_with_parts(labelmap)
            slicer.mrmlScene.RemoveNode(table)

    @property
    def label_file_name(self) -> str:
        return "label" + self._label_suffix

    def review(self, answers: Answers) -> Review:
        return review(self.segmentation, self._labels, answers)

    def export(self, found: Review, path: str, answers: Answers) -> list[dict[str, Any]]:
        """Write the label file and return what MONAI Label stores beside it."""
        self._quiet += 1
        try:
            counts = export_label(self.segmentation, self.image, found.labels, found.plan, path)
            remember_assignments(self.segmentation, answers)
        finally:
            self._quiet -= 1
        return label_info(found.labels, counts)

    def close(self) -> None:
        """Take the case out of the scene."""
        image, segmentation = self.image, self.segmentation
        self._release()
        remove_with_parts(segmentation)
        remove_with_parts(image)

    def stop(self) -> None:
        """Leave the nodes alone and stop listening, for good."""
        self._release()
        self.removeObservers()

    def _release(self) -> None:
        scene = slicer.mrmlScene
        self.image = self.segmentation = None
        self.removeObservers()
        self.addObserver(scene, scene.StartCloseEvent, self._scene_closes)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._node_goes)

    def _watch_views(self) -> None:
        scene = slicer.mrmlScene
        crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            self.addObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._looked)
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            self.addObserver(
                scene.GetNthNodeByClass(index, "vtkMRMLSliceNode"), vtk.vtkCommand.ModifiedEvent, self._looked
            )

    def _segments_changed(self, _caller: Any = None, _event: Any = None) -> None:
        """Slicer tells of a stroke, a name, a colour and a surface in 3D by the same events."""
        before, self._before = self._before, traces(self.segmentation)
        if self._quiet:
            return
        if {key: trace.voxels for key, trace in before.items()} != {
            key: trace.voxels for key, trace in self._before.items()
        }:
            self.edited.emit()
        elif before != self._before:
            self.renamed.emit()
        else:
            self.looked.emit()

    def _looked(self, _caller: Any = None, _event: Any = None) -> None:
        self.looked.emit()

    def _scene_closes(self, _caller: Any = None, _event: Any = None) -> None:
        self._release()
        self.gone.emit("scene")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_goes(self, _caller: Any, _event: Any, node: Any) -> None:
        if node is not None and node in (self.image, self.segmentation):
            self._release()
            self.gone.emit("node")


def _show(image: Any) -> None:
    """Put the image into the slice views and fit it."""
    application = slicer.app.applicationLogic()
    selection = application.GetSelectionNode()
    if selection is not None:
        selection.SetActiveVolumeID(image.GetID())
        application.PropagateVolumeSelection(1)


def _forget_file(volume: Any) -> None:
    """Drop the link to the temporary file, so that a saved scene saves the image itself."""
    storage = volume.GetStorageNode()
    if storage is not None:
        volume.SetAndObserveStorageNodeID(None)
        slicer.mrmlScene.RemoveNode(storage)
