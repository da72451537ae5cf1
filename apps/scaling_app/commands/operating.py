"""The commands of those who run a server: serve, init, doctor, backup, restore."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling_app.log.lines import JSON, TEXT, VARIABLE
from scaling_app.words import count

if TYPE_CHECKING:
    from scaling_app.backups.manifest import Manifest

PASSWORD = "SCALING_APP_PASSWORD"

Studies = Annotated[str, typer.Option(help="folder of images, or a DICOMweb address")]
AppFolder = Annotated[
    Path | None,
    typer.Option("--app", help="app folder: model and ledger live there; else in the user's data folder"),
]
Conf = Annotated[
    list[str] | None,
    typer.Option(
        "--conf",
        metavar="KEY VALUE",
        help="an option of the app, such as labels liver,spleen; may be repeated",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Adds these commands."""
    for command in (serve, init, doctor, backup, restore):
        app.command()(command)


def serve(
    studies: Studies,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 lets other computers in, with no login")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 8000,
    app_dir: AppFolder = None,
    conf: Conf = None,
    ssl_certfile: Annotated[
        Path | None, typer.Option(help="certificate for https, with those that vouch for it (PEM)")
    ] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="key of that certificate (PEM)")] = None,
    logs: Annotated[
        str, typer.Option(envvar=VARIABLE, help=f"{TEXT}, or {JSON}: one JSON object a line")
    ] = TEXT,
) -> None:
    """Starts MONAI Label with this app, on this machine only unless told otherwise.

    The keys of --conf: labels, dimension, network, capacity, coarse_to_fine, strategy, compare, patient_pattern, curve_minutes, ledger,
    blind_fraction, second_readers, tolerance_mm, target, minutes_per_point, hosts, steps, max_minutes, memory_gb, label_history, upload_gb, mlflow, scheduler, seed.
    README.md in the app folder explains them.
    """
    if logs not in (TEXT, JSON):
        raise ValueError(f"--logs must be {TEXT} or {JSON}, but is {logs!r}")

    from scaling_app.commands.launch import serve as run

    raise typer.Exit(
        run(
            studies,
            host=host,
            port=port,
            app_dir=app_dir,
            conf=_pairs(conf),
            certificate=ssl_certfile,
            key=ssl_keyfile,
            json_logs=logs == JSON,
        )
    )


def _pairs(conf: list[str] | None) -> dict[str, str]:
    return dict(_pair(item) for item in conf or [])


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ValueError(f"--conf {text.rstrip('=')} needs a value: --conf KEY VALUE")
    return key, value


def init(
    directory: Annotated[
        Path, typer.Argument(help="folder to make, or one made before, which keeps what is in it")
    ],
) -> None:
    """Makes an app folder for `monailabel start_server --app DIRECTORY`."""
    from scaling_app.commands.launch import init_app

    typer.echo(init_app(directory))


def doctor(
    server: Annotated[
        str | None, typer.Option(help="address of a running server, which is examined instead")
    ] = None,
    user: Annotated[
        str,
        typer.Option(help=f"name to log in with there; the password is asked for, or taken from {PASSWORD}"),
    ] = "",
) -> None:
    """Says what this installation, or a running server, can do, and what to change where something is missing."""
    if server is None:
        from scaling_app.commands.doctor import examine

        raise typer.Exit(examine())

    from scaling_app.commands.server_doctor import examine_server

    password = (os.environ.get(PASSWORD) or typer.prompt("Password", hide_input=True)) if user else ""
    raise typer.Exit(examine_server(server, user=user, password=password))


def backup(
    file: Annotated[Path, typer.Argument(help="the file to write; an older backup there is replaced")],
    studies: Studies,
    app_dir: AppFolder = None,
    conf: Conf = None,
    images: Annotated[bool, typer.Option("--images", help="the images, too")] = False,
) -> None:
    """Writes labels, ledger and models into one file, also while the server serves.

    Name the same --studies, --app and --conf ledger as for `serve`. Images are left out unless asked for, and always where
    they are on a DICOM server.
    """
    from scaling_app.backups.making import back_up
    from scaling_app.experiments.progress import shown
    from scaling_app.storage import keep_private

    keep_private()
    ledger, folder, remote = _places(studies, app_dir, conf)
    with shown() as bars:
        made = back_up(file, ledger=ledger, studies=folder, images=images, remote=remote, told=bars.phase)
    typer.echo(f"{file}: {_summed_up(made)}")


def restore(
    file: Annotated[Path, typer.Argument(help="a file that `scaling-app backup` has written")],
    studies: Studies,
    app_dir: AppFolder = None,
    conf: Conf = None,
) -> None:
    """Brings a backup back, all of it or nothing, into folders without labels and ledger.

    The images have to be in --studies, unless the backup has them. After an interruption the same command goes on.
    """
    from scaling_app.backups.restoring import restore as bring_back
    from scaling_app.experiments.progress import shown
    from scaling_app.storage import keep_private

    keep_private()
    ledger, folder, remote = _places(studies, app_dir, conf)
    with shown() as bars:
        brought = bring_back(file, ledger=ledger, studies=folder, remote=remote, told=bars.phase)
    typer.echo(f"restored {_summed_up(brought)}")


def _places(studies: str, app_dir: Path | None, conf: list[str] | None) -> tuple[Path, Path, bool]:
    """The ledger, the folder of the labels, and whether it holds copies of what a DICOM server has."""
    from scaling_app.commands.launch import default_app_dir
    from scaling_app.studies.conf import ledger_place
    from scaling_app.studies.place import copies_folder, is_url

    ledger = ledger_place(_pairs(conf), app_dir=app_dir or default_app_dir(), studies=studies)
    if is_url(studies):
        return ledger, copies_folder(ledger, os.environ.get("MONAI_LABEL_DICOMWEB_CACHE_PATH", "")), True
    if not Path(studies).is_dir():
        raise FileNotFoundError(f"the studies folder does not exist: {studies}")
    return ledger, Path(studies), False


def _summed_up(manifest: Manifest) -> str:
    labels = sum(entry.path.startswith("studies/labels/final/") for entry in manifest.files)
    size = f"{count(len(manifest.files), 'file')}, {manifest.total_bytes / 2**20:.1f} MiB"
    where = count(labels, "label") + (", as on the DICOM server" if manifest.kind == "dicom" else "")
    return f"{where}, {size}, of {manifest.made_at}{', with images' if manifest.images else ''}"
