"""Runs the Slicer extension without Slicer: real MRML, real widgets, a server of our own or the real one."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "slicer_extension" / "DataSufficiency"
sys.path[:0] = [str(HERE / "support"), str(MODULE)]

collect_ignore_glob: list[str] = []
try:
    import pythonqt_shim
    import slicer_fakes

    slicer = pythonqt_shim.install()
    import qt

    slicer_fakes.install(slicer, qt)
except ImportError as error:  # a system library that PySide6 links to
    collect_ignore_glob = [path.name for path in HERE.glob("test_*.py") if path.name != "test_environment.py"]
    os.environ["SLICER_TESTS_MISSING"] = str(error)


@pytest.fixture
def scene() -> Iterator[object]:
    """An empty scene; emptied again afterwards."""
    slicer.mrmlScene.Clear(0)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def module(scene: object) -> Iterator[object]:
    """The module's panel, open."""
    import panel_bench

    widget = panel_bench.open_module()
    yield widget
    panel_bench.close_module(widget)


@pytest.fixture
def wait() -> Callable[..., None]:
    """Turn the event loop until something is so."""

    def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, "it did not happen in time"
            slicer.app.processEvents()
            time.sleep(0.002)

    return until


@pytest.fixture
def connected(module: object, server: object, wait: Callable[..., None]) -> object:
    """The panel, connected to the stub server."""
    import panel_bench

    panel_bench.connect(module, server.url, wait)
    return module


@pytest.fixture
def open_case(connected: object, wait: Callable[..., None]) -> object:
    """The panel with a case open."""
    connected.ui.nextButton.click()
    wait(lambda: connected.session.state.phase == "open")
    return connected


@pytest.fixture
def at_work(open_case: object) -> object:
    """The panel with a case open whose structures are painted."""
    from session_bench import paint_all

    paint_all(open_case.session)
    return open_case


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    """A small image on an oblique, anisotropic grid."""
    import nibabel
    import numpy as np

    angle = 0.2
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    affine[:2, :2] = 1.5 * np.array([[-np.cos(angle), np.sin(angle)], [-np.sin(angle), -np.cos(angle)]])
    affine[:3, 3] = (30.0, 40.0, -12.0)
    voxels = np.random.default_rng(3).normal(100, 20, (24, 20, 8)).astype(np.int16)
    path = tmp_path / "image.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture
def server(image_file: Path) -> Iterator[object]:
    from stub_server import StubServer

    stub = StubServer(image=image_file).start()
    yield stub
    stub.stop()


@pytest.fixture
def transport() -> Iterator[object]:
    from DataSufficiencyLib.transport import QtTransport

    way = QtTransport()
    yield way
    way.close()


@pytest.fixture(autouse=True)
def private_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings and unsent labels of each test, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if not collect_ignore_glob:
            qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, folder)
            settings = qt.QSettings(str(Path(folder) / "settings.ini"), qt.QSettings.IniFormat)
            monkeypatch.setattr(slicer.app, "userSettings", lambda: settings, raising=False)
            monkeypatch.setattr(slicer.app, "slicerUserSettingsFilePath", str(Path(folder) / "settings.ini"))
        yield Path(folder)
