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
import vtk
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.label_set import segment_ids
from DataSufficiencyLib.training import TrainingWatch

from scaling_app.imaging.image_files import read_grid

pytestmark = pytest.mark.slow_server

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
    conf = {"network": "resunet", "steps": "12", "labels": "organ=1"}
    with fixtures.running_server(folder, fixtures.make_studies(folder, 12), conf) as one:
        yield one


@pytest.fixture
def module(scene: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.5)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 1.0)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.5)
    widget = panel_bench.open_module()
    yield widget
    panel_bench.close_module(widget)


def label_of(path: Path) -> np.ndarray:
    """The voxels of a label file, in the file's own order of axes."""
    return nrrd.read(str(path))[0] if path.suffix == ".nrrd" else np.asarray(nibabel.load(path).dataobj)


def is_reversed(image: object, file: Path) -> bool:
    """Whether Slicer turned the file's slices round, so that its axes are right-handed."""
    matrix = vtk.vtkMatrix4x4()
    image.GetIJKToRASMatrix(matrix)
    return np.linalg.det(read_grid(file).affine[:3, :3]) < 0 < matrix.Determinant()


def plain(text: str) -> str:
    """What a label says, with plain spaces before its units."""
    return text.replace("\u00a0", " ")


def paint_truth(module: object, server: object, case: str) -> None:
    """Change voxels through the segmentation node until it is the true label, as seen on the image in Slicer."""
    nodes = module.session.nodes
    truth = np.ascontiguousarray(label_of(server.labels[case]).T)
    if is_reversed(nodes.image, server.studies / server.labels[case].name):
        truth = truth[::-1]
    for name, value in module.session.state.info.labels.items():
        mask = (truth == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, nodes.segmentation, name, nodes.image)


def label_one(module: object, server: object, wait: Callable) -> str:
    """Press Next, draw, press Submit, and answer what is asked."""
    session, ui = module.session, module.ui
    ui.nextButton.click()
    wait(lambda: session.state.phase == "open", PATIENCE_S)
    case = session.state.case.image_id
    paint_truth(module, server, case)
    ui.submitButton.click()
    assert session.state.questions == ()
    wait(lambda: session.state.phase == "sent", PATIENCE_S)
    assert "found nothing" in ui.caseStatus.text
    stored = server.studies / "labels" / "final" / f"{case}.nii.gz"
    np.testing.assert_array_equal(label_of(stored), label_of(server.labels[case]) == 1)
    return case


def train(module: object, wait: Callable) -> None:
    """Press Start training and wait for its end, and for what it changed."""
    session = module.session
    before = session.state.sufficiency.updated
    module.ui.trainButton.click()
    wait(lambda: session.state.training.running, PATIENCE_S)
    wait(lambda: not session.state.training.running, PATIENCE_S)
    assert "went well" in module.ui.trainingStatus.text, session.state.training.task
    assert module.ui.trainingStrategyWhat.text, "a strategy is offered with what it does"
    wait(lambda: session.state.info.models and session.state.sufficiency.updated != before, PATIENCE_S)


@pytest.mark.timeout(1200)
def test_a_radiologists_round(module: object, server: object, wait: Callable) -> None:
    session, ui = module.session, module.ui

    ui.serverAddress.setCurrentText(server.base)
    ui.connectButton.click()
    wait(lambda: session.state.phase == "ready", PATIENCE_S)
    assert "0 of 12" in ui.serverStatus.text
    assert session.state.info.labels == {"organ": 1}
    assert not session.state.info.models

    done = [label_one(module, server, wait) for _ in range(2)]
    wait(lambda: session.state.sufficiency.n_labelled == 2 and not session.state.sufficiency.busy, PATIENCE_S)
    assert session.state.sufficiency.status == "too_few"
    assert "label 3 more cases" in ui.adviceLabel.text

    train(module, wait)
    assert session.state.info.models == ("segmentation",)

    for _ in range(8):
        done.append(label_one(module, server, wait))
        assert ui.blindFrame.isVisible() == bool(session.state.case.blind)
        assert ui.predictionButton.isVisible() == (not session.state.case.blind)
    assert len(set(done)) == 10

    train(module, wait)  # first tests the model of before on the new cases
    wait(
        lambda: session.state.sufficiency.overall is not None and not session.state.sufficiency.busy,
        PATIENCE_S,
    )
    assert ui.worthTable.rowCount >= 3
    assert ui.plotHolder.isVisible()
    assert "10 of 12" in ui.serverStatus.text
    assert session.state.sufficiency.observed
    assert session.state.sufficiency.advice.sentence in plain(ui.adviceLabel.text + ui.reasonLabel.text)
    assert "Next case: " in ui.nextLabel.text
    assert "judging by the last time" in ui.trainingEffect.text

    ui.targetSpin.setValue(1)
    ui.targetButton.click()
    wait(
        lambda: session.state.sufficiency.target is not None and not session.state.sufficiency.busy,
        PATIENCE_S,
    )
    assert session.state.sufficiency.target.dice == pytest.approx(0.01)
    assert (
        session.state.sufficiency.advice.action == "wait"
    )  # what has been tested had learned from two cases
    assert "no model of at least half of these cases" in ui.reasonLabel.text

    session.cases.reopen(done[0])  # as for a label in doubt
    wait(lambda: session.state.phase == "open", PATIENCE_S)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(
        session.nodes.segmentation, segment_ids(session.nodes.segmentation)[0], session.nodes.image
    )
    assert np.count_nonzero(drawn) == np.count_nonzero(label_of(server.labels[done[0]]) == 1)
    ui.submitButton.click()
    wait(lambda: session.state.phase == "sent", PATIENCE_S)
    assert ui.caseStatus.text.endswith("The label checks found nothing.")

    done.append(label_one(module, server, wait))
    train(module, wait)  # first tests the model of ten cases on the eleventh
    wait(lambda: session.state.sufficiency.advice.action == "stop", PATIENCE_S)
    assert ui.adviceLabel.text.startswith("You can stop")
    assert session.state.sufficiency.advice.sentence in plain(ui.reasonLabel.text)

    ui.clearTargetButton.click()
    wait(lambda: session.state.sufficiency.target is None, PATIENCE_S)
