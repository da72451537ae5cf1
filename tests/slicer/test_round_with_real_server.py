"""The whole round through the panel, with the real MONAI Label server and our app, over HTTP."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import nibabel
import nrrd
import numpy as np
import panel_bench
import pytest
import slicer
import slicer.util
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.training import TrainingWatch

SERVER_FIXTURES = Path(__file__).parents[1] / "end_to_end" / "conftest.py"
PATIENCE_S = 400.0


def server_fixtures() -> ModuleType:
    """What the end-to-end tests start their servers with."""
    name = "end_to_end_servers"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SERVER_FIXTURES)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    fixtures = server_fixtures()
    folder = tmp_path_factory.mktemp("round")
    labels = ",".join(f"{name}={value}" for name, value in fixtures.STRUCTURES.items())
    with fixtures.running_server(
        folder, fixtures.make_studies(folder, 8), {"steps": "12", "labels": labels}
    ) as one:
        yield one


@pytest.fixture
def module(scene: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.5)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 1.0)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.5)
    widget = panel_bench.open_module()
    yield widget
    panel_bench.close_module(widget)


def true_label(server: object, case: str) -> np.ndarray:
    """The true label of a case in Slicer's order of axes (K, J, I)."""
    path = server.labels[case]
    voxels = nrrd.read(str(path))[0] if path.suffix == ".nrrd" else np.asarray(nibabel.load(path).dataobj)
    return np.ascontiguousarray(voxels.T)


def stored_label(server: object, case: str) -> tuple[np.ndarray, np.ndarray]:
    """The label and affine that the server has, in NIfTI's order of axes."""
    image = nibabel.load(server.studies / "labels" / "final" / f"{case}.nii.gz")
    return np.asarray(image.dataobj), image.affine


def paint_truth(module: object, server: object, case: str) -> np.ndarray:
    """Change voxels through the segmentation node until it is the true label."""
    nodes, truth = module.session.nodes, true_label(server, case)
    for name, value in module.session.info.labels.items():
        mask = (truth == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, nodes.segmentation, name, nodes.image)
    return truth


def label_one(module: object, server: object, wait: Callable) -> str:
    """Press Next, draw, press Submit, and answer what is asked."""
    session, ui = module.session, module.ui
    ui.nextButton.click()
    wait(lambda: session.state == "open", PATIENCE_S)
    case = session.case.image_id
    truth = paint_truth(module, server, case)
    ui.submitButton.click()
    wait(lambda: session.state == "sent", PATIENCE_S)
    stored, affine = stored_label(server, case)
    np.testing.assert_array_equal(stored.T, truth)
    np.testing.assert_allclose(affine, nibabel_affine(module), atol=1e-4)
    return case


def nibabel_affine(module: object) -> np.ndarray:
    """The scene image's voxel-to-world matrix; Slicer's world is RAS, as NIfTI's."""
    return slicer.util.arrayFromVTKMatrix(ijk_to_ras(module.session.nodes.image))


def ijk_to_ras(image: object) -> object:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetIJKToRASMatrix(matrix)
    return matrix


@pytest.mark.timeout(1200)
def test_a_radiologists_round(module: object, server: object, wait: Callable) -> None:
    session, ui = module.session, module.ui

    ui.serverAddress.setCurrentText(server.base)
    ui.connectButton.click()
    wait(lambda: session.state == "ready", PATIENCE_S)
    assert "0 of 8" in ui.serverStatus.text
    assert session.info.labels == server_fixtures().STRUCTURES
    assert not session.info.models

    done = [label_one(module, server, wait) for _ in range(3)]
    assert len(set(done)) == 3
    wait(lambda: session.sufficiency.n_labelled == 3, PATIENCE_S)
    before = session.sufficiency

    ui.trainButton.click()
    wait(lambda: session.training.running, PATIENCE_S)
    wait(lambda: not session.training.running, PATIENCE_S)
    assert "went well" in ui.trainingStatus.text, session.training.task
    wait(lambda: session.info.models == ("segmentation",), PATIENCE_S)

    blind = []
    for _ in range(3):
        label_one(module, server, wait)
        blind.append(session.case.blind)
        assert ui.blindFrame.isVisible() == bool(session.case.blind)
    wait(lambda: session.sufficiency.n_labelled == 6 and not session.sufficiency.busy, PATIENCE_S)
    after = session.sufficiency
    assert after.updated != before.updated
    assert ui.adviceLabel.text == after.advice.sentence

    ui.targetSpin.setValue(1)
    ui.targetButton.click()
    wait(lambda: session.sufficiency.target is not None and not session.sufficiency.busy, PATIENCE_S)
    assert session.sufficiency.target.dice == pytest.approx(0.01)
    wait(lambda: session.sufficiency.advice.action == "stop", PATIENCE_S)
    print(session.sufficiency)
