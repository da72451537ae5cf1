"""The same server with its studies on a DICOM server, an Orthanc that goes on whatever is killed here."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from benchmarks.common.made_series import make_series
from benchmarks.common.orthanc import PASSWORD, USER, running_orthanc
from benchmarks.faults.house import SIZE, House
from scaling_app.imaging import synthetic
from scaling_app.imaging.dicom_segmentation import read_segmentation
from scaling_app.imaging.dicom_series import Series, series_of
from scaling_app.imaging.geometry import read_label


class DicomHouse(House):
    """What is safe is what Orthanc holds: labels are looked for there, voxel by voxel.

    Raises:
        OrthancMissingError: there is none on this machine.
    """

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._orthanc = self._stack.enter_context(running_orthanc(self.folder / "orthanc"))
        self._series: dict[str, Series] = {}
        self._held: dict[str, tuple[str, datetime, str]] = {}
        super().__post_init__()
        self.address = self._orthanc.url
        login = {"MONAI_LABEL_DICOMWEB_USERNAME": USER, "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD}
        self.environment = {**self.environment, **login}

    def _make_image(self, index: int) -> None:
        label = synthetic.make_case(index, size=SIZE).label
        slices = make_series(
            patient=f"P{index}", modality=("CT", "MR")[index % 2], shape=label.shape, seed=index
        )
        image = self._orthanc.send(slices)
        self._series[image] = series_of(slices)
        self._truth[image] = label, self._series[image].grid

    def start(self, *, warm: bool = False) -> str:
        """Starts the server as before; its copies lie beside the ledger."""
        trouble = super().start(warm=warm)
        self.studies = self.model_dir / "dicom"
        return trouble

    def end(self) -> None:
        """Ends the server, and Orthanc."""
        super().end()
        self._stack.close()

    def _key_sent(self, content: bytes, voxels: np.ndarray) -> str:
        return _digest(voxels)

    def key(self, content: bytes) -> str:
        """By which a label is known: its voxels, as its file is made anew from the Segmentation."""
        with tempfile.NamedTemporaryFile(suffix=".nii.gz") as file:
            file.write(content)
            file.flush()
            return _digest(read_label(Path(file.name))[0].numpy())

    def lost(self) -> list[str]:
        """Images whose newest Segmentation is neither the last acknowledged label nor one sent after it."""
        # first what has to be there, as labels may be saved while Orthanc is asked
        last = {
            image: max(i for i, version in enumerate(versions) if version.acknowledged)
            for image, versions in self.sent.items()
            if any(version.acknowledged for version in versions)
        }
        newest: dict[str, tuple[datetime, str]] = {}
        for image, when, key in self._segmentations():
            newest[image] = max(newest.get(image, (when, key)), (when, key))
        found = []
        for image, number in last.items():
            allowed = {version.key for version in self.sent[image][number:]}
            if newest.get(image, (None, None))[1] not in allowed:
                found.append(f"{image}: {newest.get(image, 'no Segmentation')}")
        return found

    def _segmentations(self) -> list[tuple[str, datetime, str]]:
        for sop, instance in self._orthanc.new_segmentations(self._held):
            image = str(instance.ReferencedSeriesSequence[0].SeriesInstanceUID)
            voxels = read_segmentation(instance, self._series[image]).voxels
            self._held[sop] = image, _made_at(instance), _digest(voxels)
        return list(self._held.values())


def _made_at(instance: Dataset) -> datetime:
    return datetime.strptime(f"{instance.ContentDate}{instance.ContentTime}", "%Y%m%d%H%M%S.%f")


def _digest(voxels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels, dtype=np.int32).tobytes()).hexdigest()
