"""A stub server for the client, which misbehaves on demand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "slicer" / "support"))


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[object]:
    from stub_server import StubServer

    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"voxels")
    server = StubServer(image).start()
    yield server
    server.stop()
