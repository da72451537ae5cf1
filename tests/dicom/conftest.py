"""Puts the helpers of these tests on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from monailabel.config import settings

sys.path.insert(0, str(Path(__file__).parent / "support"))

from orthanc import PASSWORD, USER, Orthanc, running_orthanc

from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.imaging.image_files import read_grid
from scaling_app.monai_app.dicom import studies as dicom_studies
from scaling_app.monai_app.dicom.pacs import Pacs
from scaling_app.monai_app.dicom.studies import DicomStudies
from scaling_app.studies.conf import read_conf
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.studies import Studies


@pytest.fixture
def orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orthanc]:
    """An empty Orthanc of this test's own."""
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_USERNAME", USER)
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PASSWORD", PASSWORD)
    monkeypatch.setattr(dicom_studies, "SHARE_OF_TIME", 1.0)  # ask at each look
    monkeypatch.setattr(dicom_studies, "SETTLE_SECONDS", 0.0)
    with running_orthanc(tmp_path / "orthanc") as running:
        yield running


@dataclass
class Ward:
    """A label server's studies on a DICOM server, without its web server."""

    store: DicomStudies
    studies: Studies
    intake: LabelIntake
    folder: Path

    def look(self) -> None:
        """What the server does every few seconds."""
        self.store.refresh()
        self.intake.take_stock()

    def draw(self, image: str, value: int = 1, kind: str = ".nii.gz") -> Path:
        """A label file on the image's grid, as a viewer would send it; its outer slices are empty."""
        grid = read_grid(self.store.get_image_uri(image))
        voxels = np.zeros(grid.shape, np.uint8)
        voxels[2:6, 3:9, 2:5] = value
        voxels[7:12, 1:4, 4:7] = 5
        return write_label(voxels, grid, self.folder / f"drawn-{value}{kind}", {value: "liver", 5: "tumour"})

    def submit(self, image: str, file: Path, **params: object) -> None:
        """Saves a label as a viewer does."""
        names = [{"name": "liver", "idx": 1}, {"name": "tumour", "idx": 5}]
        self.intake.store(image, file, {"label_info": names, "client_id": "anna", **params}, None)

    def label(self, image: str) -> np.ndarray:
        """The label as a training reads it."""
        return read_label(self.studies.label_paths()[image])[0].numpy()


@pytest.fixture
def ward_of(tmp_path: Path, orthanc: Orthanc) -> Callable[..., Ward]:
    """A label server on the test's Orthanc; each name has folders of its own."""

    def make(name: str = "one", *, cache: str = "cache", **conf: str) -> Ward:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        options = read_conf(conf, app_dir=home / "app", studies=orthanc.url)
        known: list[Studies] = []
        store = DicomStudies(
            Pacs(orthanc.url), home / cache, structures=lambda: known[0].structures() if known else {}
        )
        studies = Studies(options, store)
        known.append(studies)
        studies.adopt_conf_labels()
        store.refresh()
        return Ward(store, studies, LabelIntake(studies), home)

    return make
