"""A session with everything real but the server, and hands to paint with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import slicer
import slicer.util
from DataSufficiencyLib.activity import ActiveClock
from DataSufficiencyLib.case_nodes import CaseNodes
from DataSufficiencyLib.session import Session
from DataSufficiencyLib.timers import QtTimers
from DataSufficiencyLib.transport import QtTransport

from scaling_app_client.drafts import DraftStore


class HandClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def new_session(folder: Path, clock: HandClock | None = None) -> Session:
    active = ActiveClock(60.0, clock or HandClock())
    return Session(QtTransport(), CaseNodes(), QtTimers(), DraftStore(str(folder)), "radiologist", active)


def paint(nodes: CaseNodes, segment_id: str, first: int = 2, last: int = 6) -> None:
    """Change voxels through the segmentation node, as the Segment Editor does."""
    array = np.zeros(slicer.util.arrayFromVolume(nodes.image).shape, np.uint8)
    array[2:5, 4:9, first:last] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, nodes.segmentation, segment_id, nodes.image)


def paint_all(session: Session) -> None:
    for index, name in enumerate(session.state.info.labels):
        paint(session.nodes, name, 2 + 5 * index, 5 + 5 * index)


def pass_time(wait: Callable, seconds: float) -> None:
    """Let answers arrive that should change nothing."""
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > seconds)


def label_values(content: bytes, folder: Path) -> np.ndarray:
    path = folder / "received.nii.gz"
    path.write_bytes(content)
    return np.asarray(nibabel.load(path).dataobj)


def label_file(image: Path, folder: Path, values: dict[int, slice]) -> bytes:
    """The content of a label file on an image's grid."""
    reference = nibabel.load(image)
    voxels = np.zeros(reference.shape, np.uint8)
    for value, where in values.items():
        voxels[where, 4:9, 2:5] = value
    path = folder / "prediction.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, reference.affine), path)
    return path.read_bytes()
