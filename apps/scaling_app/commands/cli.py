"""`scaling-app`: the command line.

Exit status: 0 good, 2 bad input (one line on stderr says what), 1 failure.
Commands import what they need when they run, so that `--help` is immediate.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from scaling_app.commands import operating
from scaling_app.imaging.network_table import DEFAULT_NETWORK, networks_in_words
from scaling_app.log.lines import log_to_stderr
from scaling_app.storage import NO_ROOM
from scaling_app.strategies.catalogue import names
from scaling_app.trials.length import AUTO_STEPS, LEAST_MINUTES, MOST_MINUTES
from scaling_app.trials.memory import LEAST_GB, MOST_GB
from scaling_app.words import whole_number

app = typer.Typer(
    name="scaling-app",
    help="What the next labelled case is worth: a MONAI Label app with a forecast.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

FURTHEST = 4
"""A forecast beyond this multiple of the cases at hand was never held against segmentation models."""
MOST_CASES = 1_000_000
STRATEGIES = ", ".join(names())
INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

Length = TypeVar("Length")

Patient = Annotated[
    str | None,
    typer.Option(help="regular expression; its first group (or match) in a file name is the patient"),
]


def main() -> None:
    """Runs the command line and turns mistakes in the input into one line and exit status 2."""
    usage_error: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
    arguments = sys.argv[1:] or ["--help"]
    log_to_stderr()
    try:
        status = app(args=_join_conf(arguments), prog_name="scaling-app", standalone_mode=False)
    except usage_error as error:
        _refuse(error.format_message())
    except (
        ValueError,
        FileNotFoundError,
        FileExistsError,
        NotADirectoryError,
        IsADirectoryError,
        PermissionError,
    ) as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        _refuse(_reason(error))
    except (_StoppedError, KeyboardInterrupt, typer.Abort) as error:
        _stopped(str(error))
    except Exception as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        named = isinstance(error, OSError) and error.filename is not None
        line = " ".join((_reason(error) if named else f"{type(error).__name__}: {error}").split())
        print(f"scaling-app: failed: {line} (-v tells more)", file=sys.stderr)
        sys.exit(1)
    if status == INTERRUPTED:
        _stopped("")
    sys.exit(status if isinstance(status, int) else 0)


class _StoppedError(Exception):
    """Interrupted; the message says what comes next."""


def _stopped(what_next: str) -> NoReturn:
    print(f"scaling-app: stopped{what_next and '; '}{what_next}", file=sys.stderr)
    sys.exit(1)


def _join_conf(arguments: list[str]) -> list[str]:
    """`--conf KEY VALUE` as MONAI Label writes it, in the form KEY=VALUE that typer reads; VALUE may be empty."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "--conf":
            key = next(rest, "")
            value = None if "=" in key else next(rest, None)
            joined.append(key if value is None else f"{key}={value}")
    return joined


def _refuse(message: str) -> NoReturn:
    print("scaling-app: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


def _reason(error: Exception) -> str:
    """What went wrong, in words: of the system's own errors the path comes first, without their number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        if error.errno in NO_ROOM:
            folder = Path(error.filename).parent
            return f"{folder}: {error.strerror}. Free some room there, then give the same command again"
        return f"cannot use {error.filename}: {error.strerror}"
    return str(error)


def _version(wanted: bool) -> None:
    if wanted:
        from scaling_app import __version__

        typer.echo(f"scaling-app {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log in detail")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="the version, and no more")
    ] = False,
) -> None:
    if verbose:
        logging.getLogger().setLevel(logging.DEBUG)


def _sizes(text: str, *, option: str) -> list[int]:
    """Numbers of cases, each once, in the order given."""
    told = [whole_number(part.strip()) for part in text.split(",") if part.strip()]
    values = [value for value in told if value is not None]
    if len(values) < len(told):
        raise ValueError(f"{option} must be whole numbers separated by commas, but is {text!r}")
    if not values or not 0 < min(values) <= max(values) <= MOST_CASES:
        raise ValueError(f"{option} must hold numbers of cases from 1 to {MOST_CASES}, but is {text!r}")
    return list(dict.fromkeys(values))


def _capacity(text: str) -> str | int | None:
    """A word or a number of channels; None for `auto`."""
    if text == "auto":
        return None
    channels = whole_number(text)
    return text if channels is None else channels


def _parsed(option: str, text: str, parse: Callable[[str], Length]) -> Length:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{option} {text!r}: {error}") from None


def _names(text: str) -> list[str]:
    """Names separated by commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _folder(path: Path, *, what: str) -> Path:
    if not path.is_dir():
        raise NotADirectoryError(f"{what} is not a folder: {path}")
    return path


@app.command()
def forecast(
    curve: Annotated[
        Path,
        typer.Argument(
            help="CSV with columns n,dice and optionally case,structure,run,seed,kind,assisted; a RUNS.csv of replay; "
            "a server's curve.csv",
        ),
    ],
    at: Annotated[str, typer.Option(help="numbers of training cases to forecast, such as 12,16,32")],
    target: Annotated[
        float | None, typer.Option(help="how many cases to this Dice, a number between 0 and 1")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="bayes, or to compare: last_value, power_law, power_law_floor, exponential, mmf, gp, lstm"
        ),
    ] = "bayes",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Forecasts anyone's learning curve; no server needed."""
    from scaling_app.forecast.forecaster import answer_question
    from scaling_app.forecast.scores import own_scores, read_curve
    from scaling_app.service.forecast_text import answer_of, print_answer

    if target is not None and not 0 < target < 1:
        raise ValueError(f"--target must be a Dice between 0 and 1, but is {target}")
    sizes = _sizes(at, option="--at")
    observations = read_curve(curve)
    own = own_scores(observations)
    n_now = max(o.n for o in own)
    answer = answer_question(observations, n_now=n_now, horizons=sizes, target=target, method=method)
    result = answer_of(answer.payload(), method=method, n_now=n_now, own=own)
    if as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
    else:
        print_answer(result)
    needed = ((result["target"] or {}).get("cases") or {}).get("median") or 0
    far = max(*sizes, round(n_now + needed))
    if result["points"] and far > FURTHEST * n_now:
        print(
            f"scaling-app: note: {far} cases are more than {FURTHEST} times the {n_now} at hand; on segmentation "
            "the forecast was never checked so far ahead",
            file=sys.stderr,
        )


@app.command()
def replay(
    images: Annotated[Path, typer.Option(help="folder of images: NIfTI, NRRD, PNG")],
    labels: Annotated[Path, typer.Option(help="folder of labels; a label is named like its image")],
    sizes: Annotated[str, typer.Option(help="numbers of training cases, such as 2,4,8")],
    out: Annotated[Path, typer.Option(help="the table: RUNS.csv; an existing one is continued")],
    strategies: Annotated[
        str,
        typer.Option(
            help=f"how training data are augmented, such as baseline,genda; there are {STRATEGIES}",
        ),
    ] = "baseline",
    networks: Annotated[
        str,
        typer.Option(
            help=f"of {networks_in_words()}",
        ),
    ] = DEFAULT_NETWORK,
    seeds: Annotated[int, typer.Option(min=1, help="trainings per training set")] = 1,
    draws: Annotated[int, typer.Option(min=1, help="independent draws of the training cases")] = 1,
    test: Annotated[int, typer.Option(min=1, help="test cases, never trained on")] = 50,
    steps: Annotated[
        str, typer.Option(help="training steps of a run, or auto: as many as its cases ask for")
    ] = AUTO_STEPS,
    max_minutes: Annotated[
        str | None,
        typer.Option(
            help=f"minutes that bound the training of a run, from {LEAST_MINUTES} to {MOST_MINUTES} as on the server; "
            "without it its steps alone do"
        ),
    ] = None,
    memory_gb: Annotated[
        str | None,
        typer.Option(
            help="RAM that one training may take, GiB, half of it for cases, half for a step (not on a GPU), "
            f"from {LEAST_GB:g} to {MOST_GB} as on the server; without it a step as with 4"
        ),
    ] = None,
    capacity: Annotated[
        str,
        typer.Option(
            help="size of the networks: small, medium, large or a number of channels; auto: large on a GPU, else small"
        ),
    ] = "auto",
    patient: Patient = None,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a Dask scheduler whose workers see the same folders")
    ] = None,
    pool: Annotated[
        int, typer.Option(min=0, help="other cases whose images, without labels, strategies learn from")
    ] = 0,
) -> None:
    """Trains on growing numbers of cases and tests on untouched ones: a learning curve in a table.

    It can be stopped (Ctrl-C) at any time: the same command goes on where it was. Beside RUNS.csv it leaves
    RUNS.recipe.json, which says what its runs have in common, and RUNS.cache: prepared cases and the
    checkpoint of a training under way, which may be deleted.
    """
    folders = _folder(images, what="--images"), _folder(labels, what="--labels")
    counts = _sizes(sizes, option="--sizes")

    from scaling_app.experiments.progress import shown
    from scaling_app.experiments.replay import replay as run
    from scaling_app.trials.length import parse_minutes, parse_steps
    from scaling_app.trials.memory import parse_memory

    made = _parsed("--steps", steps, parse_steps)
    bound = None if max_minutes is None else _parsed("--max-minutes", max_minutes, parse_minutes)
    memory = None if memory_gb is None else _parsed("--memory-gb", memory_gb, parse_memory)
    try:
        with shown() as bars:
            run(
                *folders,
                sizes=counts,
                strategies=_names(strategies),
                networks=_names(networks),
                seeds=seeds,
                draws=draws,
                n_test=test,
                steps=made,
                max_minutes=bound,
                memory_gb=memory,
                out=out,
                capacity=_capacity(capacity),
                patient_pattern=patient,
                scheduler=scheduler,
                progress=bars.show,
                on_check=bars.checked,
                pool=pool,
            )
    except KeyboardInterrupt:
        raise _StoppedError("the same command goes on from here") from None
    typer.echo(out)


@app.command()
def report(
    source: Annotated[Path, typer.Argument(help="RUNS.csv of a replay, or a server's LEDGER.sqlite")],
    out: Annotated[Path, typer.Option(help="the page to write")] = Path("report.html"),
) -> None:
    """Writes a self-contained page: of a replay its curves, of a ledger also the forecast and what it rests on."""
    from scaling_app.service.report_sources import report_from

    if not source.is_file():
        raise FileNotFoundError(f"not a file: {source}" if source.exists() else f"no such file: {source}")
    typer.echo(report_from(source, out))


@app.command()
def preview(
    images: Annotated[Path, typer.Option(help="folder of images: NIfTI, NRRD, PNG")],
    labels: Annotated[Path, typer.Option(help="folder of labels; a label is named like its image")],
    strategy: Annotated[
        str,
        typer.Option(help=f"one of {STRATEGIES}"),
    ] = "genda",
    count: Annotated[int, typer.Option(min=1, help="samples to write")] = 8,
    out: Annotated[Path, typer.Option(help="folder to write them to")] = Path("preview"),
) -> None:
    """Writes augmented pairs, montage.png and quality.json: see a strategy before it trains anything."""
    folders = _folder(images, what="--images"), _folder(labels, what="--labels")

    from scaling_app.experiments.preview import preview as run
    from scaling_app.experiments.progress import shown

    with shown() as bars:
        run(strategy, *folders, count, out, on_phase=bars.phase)
    typer.echo(out)


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="folder with images/ and labels/; without it synthetic cases")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for session.json and report.html")] = Path("demo"),
    cases: Annotated[int, typer.Option(min=5, help="how many cases the session labels")] = 15,
    minutes: Annotated[float, typer.Option(min=0.5, help="time to spend, about")] = 6.0,
    patient: Patient = None,
) -> None:
    """Replays an annotation session over REST on a real server, with the forecast after each label."""
    from scaling_app.commands.demo import run_demo

    run_demo(data=data, out=out, n_cases=cases, minutes=minutes, patient=patient)


operating.add_to(app)


if __name__ == "__main__":
    main()
