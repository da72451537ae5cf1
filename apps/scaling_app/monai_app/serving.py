"""The server in this very process: MONAI Label's start without a process, and a copy of every library, of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from monailabel.interfaces.utils.app import apps
from monailabel.main import Main
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import background_executors

from scaling_app.log.lines import LoggedLines, json_format, wants_json
from scaling_app.log.veil import hide_secrets_at_start

logger = logging.getLogger(__name__)

END_SECONDS = 20
"""How long requests may take to end once the server is told to, and then the rest."""


@dataclass(frozen=True)
class Keys:
    """The files of https: the certificate, with those that vouch for it, and its key (PEM)."""

    certificate: Path
    key: Path


def run_server(
    studies: str, *, host: str, port: int, app_dir: Path, conf: Mapping[str, str], keys: Keys | None = None
) -> None:
    """Serves until the process is told to end; trainings that it began end with it.

    Raises:
        SystemExit: the server could not start; status 3, or 2 where the app has said why.
    """
    words = ["start_server", "--app", str(app_dir), "--studies", studies]
    for key, value in conf.items():
        words += ["--conf", key, value]
    hide_secrets_at_start()
    main = Main(actions="start_server")
    arguments = main.args_parser().parse_args([*words, "--host", host, "--port", str(port)])
    main.start_server_validate_args(arguments)
    main.start_server_init_settings(arguments)
    with contextlib.ExitStack() as stack:
        if wants_json():
            stack.enter_context(contextlib.redirect_stdout(LoggedLines(logging.getLogger("printed"))))
        stack.callback(_end)
        uvicorn.run(
            arguments.uvicorn_app,
            host=host,
            port=port,
            log_config=log_config(app_dir),
            access_log=False,
            ssl_certfile=None if keys is None else str(keys.certificate),
            ssl_keyfile=None if keys is None else str(keys.key),
            timeout_graceful_shutdown=END_SECONDS,
        )


def log_config(app_dir: Path) -> dict[str, Any]:
    """MONAI Label's configuration of logs, to standard error and to `logs/app.log`; as JSON lines where that is wanted.

    MONAI Label writes its own to a temporary file at each start, and leaves it there.
    """
    text = (files("monailabel") / "logging.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    for handler in config["handlers"].values():
        if "filename" in handler:
            handler["filename"] = str(Path(os.path.realpath(app_dir)) / "logs" / "app.log")
    if wants_json():
        config["formatters"] = {name: json_format() for name in config["formatters"]}
    return config


def _end() -> None:
    """Ends what would keep the process: tasks that wait or run, and the forecast in the making."""
    late = threading.Timer(END_SECONDS, os._exit, (1,))
    late.daemon = True
    late.start()
    for method, executor in list(background_executors.items()):
        executor.shutdown(wait=False, cancel_futures=True)
        AsyncTask.stop(method)
    for app in list(apps.values()):
        app.keeper.close()
