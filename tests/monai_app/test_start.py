"""A start that cannot be: one line for whoever reads the log, and no server."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest

from scaling_app.monai_app.app import ScalingApp
from scaling_app.web.starting import EXIT_BAD_INPUT


@pytest.mark.parametrize(
    ("conf", "words"), [({"steps": "many"}, "--conf steps 'many'"), ({"stepps": "8"}, "stepps")]
)
def test_an_option_that_cannot_be_used_ends_the_start_with_one_line(
    conf: dict[str, str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "studies").mkdir()

    async def begin() -> None:
        ScalingApp(str(tmp_path / "app"), str(tmp_path / "studies"), conf)

    server = multiprocessing.get_context("fork").Process(  # has its libraries loaded
        target=lambda: asyncio.run(begin())
    )
    server.start()
    server.join()
    assert server.exitcode == EXIT_BAD_INPUT
    said = capfd.readouterr().err
    line = said.strip().splitlines()[-1]
    assert line.startswith("scaling-app:") and words in line
    assert "Traceback" not in said
