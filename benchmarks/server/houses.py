"""The two servers that are compared: this app, and an app of MONAI Label that adds nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.common.served import Served, serving, wait_until_up
from scaling_app.commands.launch import free_port

BARE_APP = """
from monailabel.interfaces.app import MONAILabelApp
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random


class Bare(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="bare")

    def init_strategies(self):
        return {"random": Random(), "first": First()}
"""


@contextlib.contextmanager
def ours(studies: Path, folder: Path, conf: Mapping[str, str]) -> Iterator[tuple[Served, float]]:
    """This app, and the seconds until its first answer."""
    began = time.perf_counter()
    with serving(str(studies), folder, conf, {"OMP_NUM_THREADS": "1"}) as server:
        yield server, time.perf_counter() - began


@contextlib.contextmanager
def bare(studies: Path, folder: Path, conf: Mapping[str, str]) -> Iterator[tuple[Served, float]]:
    """MONAI Label with an app of its own strategies alone, and the seconds until its first answer."""
    app, port = folder / "bare", free_port()
    app.mkdir()
    (app / "main.py").write_text(BARE_APP)
    log = folder / "bare.log"
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app)]
    command += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    own = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions"), "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder, env=os.environ | own, start_new_session=True
        )  # fmt: skip
    server = Served(f"http://127.0.0.1:{port}", process, folder, log)
    try:
        wait_until_up(server)
        yield server, time.perf_counter() - began
    finally:
        server.kill()


HOUSES = {"ours": ours, "bare": bare}
