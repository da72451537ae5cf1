"""How much of a score is luck? The same cases trained several times, which differ in first weights and batches alone.

    python -m benchmarks.luck.run --data DIR --runs RUNS_DIR      # trains, two hours of one core; resumable
    python -m benchmarks.luck.run --table                          # the table, from what is committed

Cases, test cases and both recipes are those of the bank (`benchmarks/bank`): trainings of 400 steps, and what the app does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import chi2
from scipy.stats import f as fisher

from benchmarks.bank.run import STEPS, length_of, same_cases
from benchmarks.common.data_sets import BY_NAME
from benchmarks.common.tables import markdown
from scaling_app.experiments.replay import replay
from scaling_app.forecast.evidence import logit_error
from scaling_app.imaging.network_table import DEFAULT_NETWORK

RESULTS = Path(__file__).parent / "results"
TABLE = RESULTS / "luck.csv.gz"
SETS = ("busi", "hc18", "axondeepseg_sem", "wbc")
SIZES = (4, 16)
SEEDS = 4
RECIPES = {"400_steps": ("resunet", STEPS), "app": (DEFAULT_NETWORK, None)}
"""Network and steps."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the bank's data sets")
    parser.add_argument("--runs", type=Path, help="folder for the tables of the runs")
    parser.add_argument("--table", action="store_true", help="make the table, train nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        if arguments.data is None or arguments.runs is None:
            parser.error("--data and --runs are needed to train")
        _train(arguments.data, arguments.runs)
        _join(arguments.runs)
    scores = pd.read_csv(TABLE)
    product, short = same_cases()
    bank = {"400 steps": short, "app": product[product["strategy"] == "baseline"]}
    text = [
        "# First weights and batches alone",
        "",
        markdown(list(rows_of(scores))),
        "",
        "## Beside draws of the training cases",
        "",
        "The same data sets in the bank, where each training is on other cases too. Share: of that variance, what first weights and "
        "batches alone come to.",
        "",
        markdown(list(shares_of(scores, bank))),
    ]
    (RESULTS / "luck.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _train(data: Path, runs: Path) -> None:
    torch.set_num_threads(1)
    runs.mkdir(parents=True, exist_ok=True)
    for data_set in (BY_NAME[name] for name in SETS):
        for recipe, (network, steps) in RECIPES.items():
            replay(
                data / data_set.name / "images",
                data / data_set.name / "labels",
                sizes=SIZES,
                networks=[network],
                seeds=SEEDS,
                n_test=data_set.test,
                out=runs / f"{data_set.name}.{recipe}.csv",
                capacity="small",
                patient_pattern=data_set.patient,
                **length_of(steps),
            )


def _join(runs: Path) -> None:
    """All runs in one table, without what only the trainings need."""
    columns = ["dataset", "recipe", "n", "seed", "case", "patient", "structure", "dice", "trained_steps"]
    parts = []
    for recipe in RECIPES:
        for path in sorted(runs.glob(f"*.{recipe}.csv")):
            parts.append(
                pd.read_csv(path, dtype={"case": str, "patient": str}).assign(recipe=recipe.replace("_", " "))
            )
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    joined = pd.concat(parts)[columns].sort_values(columns[:-2])
    joined.to_csv(TABLE, index=False, compression={"method": "gzip", "mtime": 0})


def rows_of(scores: pd.DataFrame) -> Iterator[dict[str, str]]:
    """A line for each data set, size and recipe, then one over the data sets."""
    keys = ["dataset", "n", "recipe"]
    for (name, n, recipe), own in scores.groupby(keys):
        means = own.groupby("seed")["dice"].mean().to_numpy()
        yield {
            "data set": str(name),
            "n": str(n),
            "recipe": str(recipe),
            "trainings": str(len(means)),
            "Dice": f"{means.mean():.3f}",
            "from to": f"{means.min():.3f} to {means.max():.3f}",
            "SD, points": _spread([100 * means]),
            "SD, logit": _spread([logit_error(means)]),
        }
    for (n, recipe), own in scores.groupby(["n", "recipe"]):
        groups = [rows.groupby("seed")["dice"].mean().to_numpy() for _, rows in own.groupby("dataset")]
        yield {
            "data set": f"all {len(groups)}",
            "n": str(n),
            "recipe": str(recipe),
            "trainings": str(sum(map(len, groups))),
            "Dice": f"{np.mean([means.mean() for means in groups]):.3f}",
            "from to": "-",
            "SD, points": _spread([100 * means for means in groups]),
            "SD, logit": _spread([logit_error(means) for means in groups]),
        }


def shares_of(scores: pd.DataFrame, bank: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, str]]:
    """Over the data sets that were drawn twice at least: the spread of seeds, that of draws, and their ratio."""
    for (n, recipe), own in scores.groupby(["n", "recipe"]):
        seeds, draws = (
            {name: logit_error(rows.groupby(by)["dice"].mean().to_numpy()) for name, rows in groups}
            for by, groups in (
                ("seed", own.groupby("dataset")),
                ("draw", bank[str(recipe)].query(f"n == {n}").groupby("dataset")),
            )
        )
        names = [name for name in seeds if len(draws.get(name, ())) > 1]
        if names:
            alone, drawn = ([group[name] for name in names] for group in (seeds, draws))
            yield {
                "n": str(n),
                "recipe": str(recipe),
                "data sets": str(len(names)),
                "SD of seeds, logit": _spread(alone),
                "SD of draws, logit": _spread(drawn),
                "share": _share(alone, drawn),
            }


def pooled(groups: list[np.ndarray]) -> tuple[float, float]:
    """The standard deviation within groups, and the degrees of freedom that it has.

    Groups differ in their spread, and the widest make most of it: the degrees are Satterthwaite's, fewer than
    all groups' together (Biometrics Bulletin 2(6), 1946).
    """
    free = np.array([len(group) - 1 for group in groups])
    parts = free / free.sum() * np.array([group.var(ddof=1) for group in groups])
    return float(np.sqrt(parts.sum())), float(parts.sum() ** 2 / (parts**2 / free).sum())


def _share(alone: list[np.ndarray], drawn: list[np.ndarray]) -> str:
    """The ratio of two variances, with its 95 % interval as if the two were independent."""
    (of_seeds, few), (of_draws, many) = pooled(alone), pooled(drawn)
    ratio = (of_seeds / of_draws) ** 2
    low, high = ratio / fisher.ppf([0.975, 0.025], few, many)
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"


def _spread(groups: list[np.ndarray]) -> str:
    """The standard deviation within groups, with its 95 % interval if the scores are normal."""
    deviation, free = pooled(groups)
    low, high = np.sqrt(free / chi2.ppf([0.975, 0.025], free)) * deviation
    return f"{deviation:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
