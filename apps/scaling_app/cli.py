"""`scaling-app`: the command line.

Exit status: 0 good, 2 bad input (one line on stderr says what), 1 failure.
Commands import what they need when they run, so that `--help` is immediate.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="scaling-app",
    help="What the next labelled case is worth: a MONAI Label app with a forecast.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Conf = Annotated[
    list[str] | None,
    typer.Option("--conf", metavar="KEY VALUE", help="as MONAI Label's --conf; may be repeated"),
]


def main() -> None:
    """Runs the command line and turns mistakes in the input into one line and exit status 2."""
    usage_error = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        status = app(args=_join_conf(sys.argv[1:]), standalone_mode=False)
    except usage_error as error:
        _refuse(error.format_message())
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError) as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        _refuse(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("scaling-app: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        line = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"scaling-app: failed: {line} (-v tells more)", file=sys.stderr)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _join_conf(arguments: list[str]) -> list[str]:
    """`--conf KEY VALUE` as MONAI Label writes it, in the one-value form that typer reads."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "--conf":
            key = next(rest, "")
            joined.append(key if "=" in key else f"{key}={next(rest, '')}")
    return joined


def _refuse(message: str) -> None:
    print("scaling-app: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


@app.callback()
def _options(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log in detail")] = False) -> None:
    if verbose:
        logging.getLogger().setLevel(logging.DEBUG)


def _numbers(text: str, *, option: str, kind: type = int) -> list:
    try:
        values = [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"{option} must be numbers separated by commas, but is {text!r}") from None
    if not values or min(values) <= 0:
        raise ValueError(f"{option} must hold numbers above 0, but is {text!r}")
    return values


def _folder(path: Path, *, what: str) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f"{what} is not a folder: {path}")
    return path


@app.command()
def forecast(
    curve: Annotated[
        Path,
        typer.Argument(help="CSV with columns n,dice and optionally case,structure,run,seed,kind,assisted"),
    ],
    at: Annotated[str, typer.Option(help="sizes to forecast, such as 12,16,32")],
    target: Annotated[float | None, typer.Option(help="a target Dice between 0 and 1")] = None,
    method: Annotated[str, typer.Option(help="bayes, or a published method")] = "bayes",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Forecasts anyone's learning curve; no server needed."""
    from scaling_app.forecast.forecaster import forecast_session
    from scaling_app.forecast.observations import read_curve

    if target is not None and not 0 < target < 1:
        raise ValueError(f"--target must be a Dice between 0 and 1, but is {target}")
    sizes = _numbers(at, option="--at")
    observations = read_curve(curve)
    n_now = max(o.n for o in observations)
    session = forecast_session(observations, n_now=n_now, horizons=sizes, target=target, method=method)
    result = _curve_answer(session.payload(), method=method, n_now=n_now)
    if as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
    else:
        _print_forecast(result)


def _curve_answer(payload: dict, *, method: str, n_now: int) -> dict:
    """The JSON of `scaling-app forecast`, from the JSON of the service."""
    points = []
    for curve in [{"name": "overall", **(payload["overall"] or {})}, *payload["structures"]]:
        for row in curve.get("forecast", []):
            gain = {f"gain_{key}": row["gain"][key] for key in ("mean", "lo80", "hi80")}
            levels = {key: row[key] for key in ("n", "mean", "lo80", "hi80", "lo95", "hi95")}
            points.append({"structure": curve["name"], **levels, **gain})
    head = {key: payload[key] for key in ("status", "message")}
    return {"method": method, "n_now": n_now, **head, "points": points} | {
        key: payload[key] for key in ("target", "advice")
    }


def _print_forecast(result: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Forecast by {result['method']} from {result['n_now']} labelled cases (Dice points)")
    for heading in (
        "structure",
        "cases",
        "Dice",
        "80 % range",
        "95 % range",
        "gain",
        "80 % range of the gain",
    ):
        table.add_column(heading, justify="left" if heading == "structure" else "right")

    def points(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f}"

    for row in result["points"]:
        table.add_row(
            row["structure"],
            str(row["n"]),
            points(row["mean"]),
            f"{points(row['lo80'])} to {points(row['hi80'])}",
            f"{points(row['lo95'])} to {points(row['hi95'])}",
            points(row["gain_mean"]),
            f"{points(row['gain_lo80'])} to {points(row['gain_hi80'])}",
        )
    console = Console()
    if result["points"]:
        console.print(table)
    console.print(result["message"] or "")
    if result["advice"]:
        console.print(result["advice"]["sentence"])


@app.command()
def replay(
    images: Annotated[Path, typer.Option(help="folder of images")],
    labels: Annotated[Path, typer.Option(help="folder of labels; a label is named like its image")],
    sizes: Annotated[str, typer.Option(help="numbers of training cases, such as 2,4,8")],
    out: Annotated[Path, typer.Option(help="the table: RUNS.csv; an existing one is continued")],
    strategies: Annotated[str, typer.Option()] = "baseline",
    networks: Annotated[str, typer.Option()] = "resunet",
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    draws: Annotated[int, typer.Option(min=1, help="independent draws of the training cases")] = 1,
    test: Annotated[int, typer.Option(min=1, help="test cases, never trained on")] = 50,
    steps: Annotated[int, typer.Option(min=1)] = 400,
    capacity: Annotated[str, typer.Option(help="small, medium or large networks")] = "small",
    patient: Annotated[
        str | None, typer.Option(help="pattern whose first group is the patient in a file name")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a Dask scheduler")] = None,
    pool: Annotated[
        int, typer.Option(min=0, help="other cases whose images, without labels, strategies learn from")
    ] = 0,
) -> None:
    """Trains on growing numbers of cases and tests on untouched ones: a learning curve in a table."""
    from scaling_app.trials.progress import replay_bars
    from scaling_app.trials.replay import replay as run

    folders = _folder(images, what="--images"), _folder(labels, what="--labels")
    counts = _numbers(sizes, option="--sizes")
    with replay_bars() as progress:
        run(
            *folders,
            sizes=counts,
            strategies=strategies.split(","),
            networks=networks.split(","),
            seeds=seeds,
            draws=draws,
            n_test=test,
            steps=steps,
            out=out,
            capacity=capacity,
            patient_pattern=patient,
            scheduler=scheduler,
            progress=progress,
            pool=pool,
        )
    typer.echo(out)


@app.command()
def report(
    source: Annotated[Path, typer.Argument(help="RUNS.csv of a replay, or a server's LEDGER.sqlite")],
    out: Annotated[Path, typer.Option()] = Path("report.html"),
) -> None:
    """Writes a self-contained page with the curves, the forecast and what it rests on."""
    from scaling_app.service.report_sources import report_from

    if not source.is_file():
        raise FileNotFoundError(f"no such file: {source}")
    typer.echo(report_from(source, out))


@app.command()
def preview(
    images: Annotated[Path, typer.Option()],
    labels: Annotated[Path, typer.Option()],
    strategy: Annotated[str, typer.Option()] = "genda",
    count: Annotated[int, typer.Option(min=1)] = 8,
    out: Annotated[Path, typer.Option()] = Path("preview"),
) -> None:
    """Writes augmented pairs, montage.png and quality.json: see a strategy before it trains anything."""
    from scaling_app.trials.preview import preview as run

    run(strategy, _folder(images, what="--images"), _folder(labels, what="--labels"), count, out)
    typer.echo(out)


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="folder with images/ and labels/; without it synthetic cases")
    ] = None,
    out: Annotated[Path, typer.Option()] = Path("demo"),
    cases: Annotated[int, typer.Option(min=5, help="how many cases the session labels")] = 15,
    minutes: Annotated[float, typer.Option(min=0.5, help="time to spend, about")] = 5.0,
    patient: Annotated[
        str | None, typer.Option(help="pattern whose first group is the patient in a file name")
    ] = None,
) -> None:
    """Replays an annotation session over REST on a real server, with the forecast after each label."""
    from scaling_app.monai_app.demo import run_demo

    run_demo(data=data, out=out, n_cases=cases, minutes=minutes, patient=patient)


@app.command()
def serve(
    studies: Annotated[str, typer.Option(help="folder of images, or a DICOMweb address")],
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    app_dir: Annotated[
        Path | None, typer.Option("--app", help="app folder: model and ledger live there")
    ] = None,
    conf: Conf = None,
) -> None:
    """Starts MONAI Label with this app, on this machine only unless told otherwise."""
    from scaling_app.monai_app.launch import serve as run

    pairs = dict(_pair(item) for item in conf or [])
    raise typer.Exit(run(studies, host=host, port=port, app_dir=app_dir, conf=pairs))


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key or not value:
        raise ValueError(f"--conf {text.rstrip('=')} needs a value: --conf KEY VALUE")
    return key, value


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="folder to make")]) -> None:
    """Makes an app folder for `monailabel start_server --app DIRECTORY`."""
    from scaling_app.monai_app.launch import init_app

    typer.echo(init_app(directory))


@app.command()
def doctor() -> None:
    """Says what this installation can do, and what to change where something is missing."""
    from scaling_app.monai_app.doctor import examine

    raise typer.Exit(examine())


if __name__ == "__main__":
    main()
