"""The commands of those who run a server: serve, init, doctor, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaling_app.log_lines import JSON, TEXT, VARIABLE

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
    for command in (serve, init, doctor):
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
    blind_fraction, tolerance_mm, target, minutes_per_point, hosts, steps, max_minutes, memory_gb, label_history, upload_gb, seed.
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


def doctor() -> None:
    """Says what this installation can do, and what to change where something is missing."""
    from scaling_app.commands.doctor import examine

    raise typer.Exit(examine())
