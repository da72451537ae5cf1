"""Starting a server: an app folder, loopback unless told otherwise, with clear refusals."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scaling_app.commands.certificates import require_pair
from scaling_app.imaging.dicom_segmentation import require_writer
from scaling_app.log.lines import JSON, VARIABLE, warn_before_start
from scaling_app.storage import copy_whole, keep_private
from scaling_app.studies.place import is_url, require_writable_studies
from scaling_app.web.undisturbed import hasten_start

PACKAGE = Path(__file__).resolve().parents[1]
_ENTRY = "from scaling_app.monai_app.app import ScalingApp"
"""What tells the `main.py` of an app folder of this package: written by whichever version, or edited since."""


def init_app(directory: Path) -> Path:
    """Makes a thin app folder that MONAI Label can start; model, ledger and logs will live in it.

    In one that was made before only the README is brought up to date: its `main.py`, which may have been edited,
    imports the app of the installed version anyhow. One that holds a ledger and models alone comes from a backup.

    Raises:
        FileExistsError: the folder holds something else already.
        NotADirectoryError: it is a file.
    """
    if directory.resolve() == PACKAGE:
        return directory
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file: name a folder for the app")
    main = directory / "main.py"
    made_before = main.is_file() and _ENTRY in main.read_text(encoding="utf-8", errors="replace")
    if not made_before and directory.exists() and {entry.name for entry in directory.iterdir()} - {"model"}:
        raise FileExistsError(f"{directory} is not empty, and no app folder: name a new one")
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("README.md",) if made_before else ("main.py", "README.md"):
        copy_whole(PACKAGE / name, directory / name)
    return directory


def default_app_dir() -> Path:
    """The app folder in the user's data folder; in it, each study folder has its own model and ledger."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "scaling-app" / "app"


def server_command(
    studies: str, *, host: str, port: int, app_dir: Path, conf: Mapping[str, str] | None = None
) -> list[str]:
    """The command line that starts MONAI Label on these studies."""
    command = [sys.executable, "-m", "scaling_app.commands.label_server", "start_server"]
    command += ["--app", str(app_dir), "--studies", studies, "--host", host, "--port", str(port)]
    for key, value in (conf or {}).items():
        command += ["--conf", key, value]
    return command


def serve(
    studies: str,
    *,
    host: str,
    port: int,
    app_dir: Path | None,
    conf: Mapping[str, str],
    certificate: Path | None = None,
    key: Path | None = None,
    json_logs: bool = False,
) -> int:
    """Runs the server in this process until it ends, or is told to.

    Returns:
        0 when that went well, 2 when the server refused its input (it has said why), else 1.

    Raises:
        FileNotFoundError, NotADirectoryError: no such study folder.
        ValueError: the folder cannot be written, the package for a DICOM server is missing, the port is taken, a conf key
            or value is not known, or certificate and key are no pair.
    """
    from scaling_app.studies.conf import read_conf

    if not is_url(studies) and not Path(studies).is_dir():
        if Path(studies).exists():
            raise NotADirectoryError(f"--studies is not a folder: {studies}")
        raise FileNotFoundError(f"the studies folder does not exist: {studies}")
    if is_url(studies):
        require_writer()
    else:
        require_writable_studies(Path(studies))
    keep_private()
    warning = require_pair(certificate, key)
    folder = app_dir or default_app_dir()
    read_conf(conf, app_dir=folder, studies=studies)
    check_port_free(host, port)
    init_app(folder)
    if json_logs:
        os.environ[VARIABLE] = JSON
    else:
        scheme = "http" if certificate is None else "https"
        where = f"Scaling App on {scheme}://{host}:{port}  (page: /sufficiency/report)"
        print(f"{where}  app folder: {folder}", flush=True)
    if warning is not None:
        warn_before_start(__name__, warning)
    try:
        with terminated_like_interrupted():
            hasten_start()
            from scaling_app.monai_app.serving import Keys, run_server

            keys = None if certificate is None or key is None else Keys(certificate, key)
            run_server(studies, host=host, port=port, app_dir=folder, conf=conf, keys=keys)
    except KeyboardInterrupt:
        return 0
    except SystemExit as ended:
        return ended.code if ended.code in (0, 2) else 1
    return 0


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Turns SIGTERM, which service managers send, into KeyboardInterrupt; else the server would outlive this process."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_port_free(host: str, port: int) -> None:
    """Raises ValueError when something listens on that port, or the address is not this machine's."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
            raise ValueError(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another {other}"
            ) from None


def free_port() -> int:
    """A port on loopback that is free now, and that no other process is given before a server takes it.

    After a connection that the server ends a port rests for a minute: the system gives it to nobody who asks for any, and
    to a server that names it (`SO_REUSEADDR`, which servers set).
    """
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.listen(1)
        client.connect(server.getsockname())
        server.accept()[0].close()
        return int(server.getsockname()[1])
