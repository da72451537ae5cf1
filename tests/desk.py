"""A session on tiny synthetic cases, without a server: for the tests of every room that needs one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaling_app.imaging import synthetic
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.studies.conf import read_conf
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.studies import Studies

LABEL_INFO = [{"name": name, "idx": value} for name, value in synthetic.STRUCTURES.items()]


@dataclass
class Desk:
    """A session with its label book, and the true labels to submit."""

    studies: Studies
    intake: LabelIntake
    labels: dict[str, Path]

    def submit(self, *images: str, **params: object) -> None:
        """Saves the true label of these images as a viewer does."""
        for image in images:
            self.intake.store(image, self.labels[image], {"label_info": LABEL_INFO, **params}, None)

    def drop_into_folder(self, image: str, source: Path | None = None) -> Path:
        """Puts a label file into the studies folder behind the server's back."""
        source = source or self.labels[image]
        target = Path(self.studies.datastore._datastore_path) / "labels" / "final" / source.name
        shutil.copy(source, target)
        self.studies.datastore.refresh()
        return target


@pytest.fixture
def desk_of(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Desk]:
    """Makes a desk with `n` images; the same folder each time it is asked. Its trainings take the fastest network."""

    def make(n: int = 8, *, size: int = 16, **conf: str) -> Desk:
        labels = {}
        drawn = tmp_path_factory.getbasetemp() / f"cases_{size}"  # once for all tests; each desk has copies
        for index in range(n):
            case_id, name = _drawn(index, size, drawn)
            for folder in ("studies", "truth"):
                (tmp_path / folder).mkdir(exist_ok=True)
                shutil.copyfile(drawn / folder / name, tmp_path / folder / name)
            labels[case_id] = tmp_path / "truth" / name
        store = StudiesFolder(tmp_path / "studies")
        conf = {"network": "resunet", **conf}
        options = read_conf(conf, app_dir=tmp_path / "app", studies=str(tmp_path / "studies"))
        studies = Studies(options, store)
        studies.adopt_conf_labels()
        return Desk(studies, LabelIntake(studies), labels)

    return make


def _drawn(index: int, size: int, folder: Path) -> tuple[str, str]:
    """The id and the file's name of a case of which `studies` and `truth` in this folder hold image and label."""
    case_id = f"synthetic_{index:03d}"
    name = case_id + (".nii.gz" if index % 2 else ".nrrd")
    if not (folder / "truth" / name).exists():
        case = synthetic.make_case(index, size=size)
        synthetic.write_case(case, folder / "studies", folder / "truth", suffix=name.removeprefix(case_id))
    return case_id, name
