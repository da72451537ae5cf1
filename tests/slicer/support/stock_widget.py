"""A stand-in for the MONAI Label module's panel."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import qt
import slicer
import slicer.util


class StockWidget:
    """As much of the MONAI Label module's widget as is listened to."""

    def __init__(self, address: str) -> None:
        self.ui = SimpleNamespace(nextSampleButton=qt.QPushButton(), saveLabelButton=qt.QPushButton())
        self.current_sample: dict = {}
        self._volumeNode = self._segmentNode = None
        self._address = address
        self.ui.nextSampleButton.clicked.connect(self._load)

    def serverUrl(self) -> str:  # noqa: N802
        return self._address

    def _load(self) -> None:
        self.current_sample = {"id": "case_009", "blind": True}
        self._volumeNode = slicer.util.addVolumeFromArray(np.zeros((6, 10, 12), np.int16), name="case_009")
        self._segmentNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self._segmentNode.SetReferenceImageGeometryParameterFromVolumeNode(self._volumeNode)
