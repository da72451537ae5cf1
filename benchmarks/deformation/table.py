"""What RED, RegDA and GenDA are worth: tables and figures from `run.py`'s runs.

    python benchmarks/deformation/run.py --data DIR --runs RUNS
    python benchmarks/deformation/table.py --runs RUNS --out benchmarks/deformation/results

Every arm trained on the same cases with the same seed, steps, affine map and intensity changes (but `none`,
which has neither), and was tested on the same cases. Per task and training size: Dice, NSD at 2 mm (2 pixels
where the spacing is unknown) and the share of failures (Dice < 0.5) of every arm, the paired differences in
Dice to `baseline` and `red`, and kappa, the number of cases that one case is worth:
`error_arm(n) = error_baseline(kappa n)`, read off the baseline's own curve by log-log interpolation and
bounded by its range. Intervals are 95 % bootstrap intervals that draw the training sets and the test cases
anew; with few draws they are too narrow for what another choice of training cases would do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

ARMS = ("none", "baseline", "red", "regda-labelled", "regda-pool", "genda-gaussian", "genda-adversarial")
ARMS += ("regda-carried", "genda-carried", "red-mild", "red-third", "genda-third", "genda-labelled")
FAILURE = 0.5
REPEATS = 2000


class Runs:
    """One task's scores as an array over (arm, size, draw, case, structure); NaN where there is no run."""

    def __init__(self, table: pd.DataFrame, metric: str) -> None:
        axes = [pd.Categorical(table["strategy"], [arm for arm in ARMS if arm in set(table["strategy"])])]
        axes += [pd.Categorical(table[name]) for name in ("n", "draw", "case", "structure")]
        names = [list(axis.categories) for axis in axes]
        self.arms, self.sizes, self.draws, self.cases, self.structures = names
        self.scores = np.full([len(found) for found in names], np.nan)
        self.scores[tuple(axis.codes for axis in axes)] = table[metric]

    def of(self, arm: str) -> np.ndarray:
        """Scores `(size, draw, case, structure)` of an arm."""
        return self.scores[self.arms.index(arm)]


def bootstrap(
    shape: tuple[int, int], statistic: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """95 % intervals `(2, ...)` of a statistic of drawn (draws, cases)."""
    rng = np.random.default_rng(0)
    values = [
        statistic(rng.integers(shape[0], size=shape[0]), rng.integers(shape[1], size=shape[1]))
        for _ in range(REPEATS)
    ]
    return np.nanpercentile(np.stack(values), [2.5, 97.5], axis=0)


def kappa(arm: np.ndarray, baseline: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Effective cases per case at each size, from mean Dice per size; bounded by the baseline's sizes."""
    known = ~np.isnan(baseline)
    if known.sum() < 2:
        return np.full(len(sizes), np.nan)
    logs = np.log(np.asarray(sizes, dtype=float))
    error = np.minimum.accumulate(np.log(1 - baseline[known]))  # a curve that rises is read as flat
    reached = np.interp(-np.log(1 - arm), -error, logs[known])
    return np.exp(reached - logs)


def lines_of(task: str, runs: Runs, nsd: Runs) -> list[dict[str, str]]:
    """One row per size and arm."""
    paired = (len(runs.draws), len(runs.cases))
    rows = []
    for position, n in enumerate(runs.sizes):
        made = [arm for arm in runs.arms if not np.isnan(runs.of(arm)[position]).all()]
        for arm in made if len(made) > 1 else ():
            scores = runs.of(arm)[position]
            row = {
                "task": task,
                "n": str(n),
                "arm": arm,
                "draws": str(int((~np.isnan(scores)).any(axis=(1, 2)).sum())),
                "dice": _with_interval(scores, paired),
                "nsd": _with_interval(nsd.of(arm)[position], paired),
                "failures": _with_interval(np.where(np.isnan(scores), np.nan, scores < FAILURE), paired),
            }
            for other in ("baseline", "red"):
                row[f"points over {other}"] = (
                    ""
                    if other == arm or other not in runs.arms
                    else _with_interval(100 * (scores - runs.of(other)[position]), paired, digits=1)
                )
            row["kappa"] = _kappa_text(runs, arm, position, paired)
            rows.append(row)
    return rows


def _with_interval(scores: np.ndarray, paired: tuple[int, int], digits: int = 3) -> str:
    if np.isnan(scores).all():
        return ""
    low, high = interval(scores, paired)
    return f"{np.nanmean(scores):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def interval(scores: np.ndarray, paired: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the mean of `(draw, case, structure)`, over the draws that were made."""
    made = np.flatnonzero((~np.isnan(scores)).any(axis=(1, 2)))
    low, high = bootstrap((len(made), paired[1]), lambda d, c: np.nanmean(scores[made[d]][:, c]))
    return float(low), float(high)


def _kappa_text(runs: Runs, arm: str, position: int, paired: tuple[int, int]) -> str:
    if arm == "baseline" or "baseline" not in runs.arms:
        return ""

    made = np.flatnonzero((~np.isnan(runs.of(arm)[position])).any(axis=(1, 2)))

    def at(draws: np.ndarray, cases: np.ndarray) -> np.ndarray:
        means = [_means(runs.of(a)[:, made[draws]][:, :, cases]) for a in (arm, "baseline")]
        return kappa(*means, runs.sizes)[position]

    value = at(np.arange(len(made)), np.arange(paired[1]))
    low, high = bootstrap((len(made), paired[1]), at)
    return "" if np.isnan(value) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _means(scores: np.ndarray) -> np.ndarray:
    """Mean per size of `(size, draw, case, structure)`; NaN for a size without runs."""
    flat = scores.reshape(len(scores), -1)
    known = ~np.isnan(flat)
    return np.where(known.any(axis=1), np.nansum(flat, axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)


def draw_figure(task: str, runs: Runs, out: Path) -> None:
    """Mean Dice over the number of training cases with 95 % intervals, one line per arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for index, arm in enumerate(runs.arms):
        scores = runs.of(arm)
        made = [i for i in range(len(runs.sizes)) if not np.isnan(scores[i]).all()]
        means = np.array([np.nanmean(scores[i]) for i in made])
        bounds = np.array([interval(scores[i], (len(runs.draws), len(runs.cases))) for i in made]).T
        shifted = np.array([runs.sizes[i] for i in made]) * 1.025 ** (index - len(runs.arms) / 2)
        axes.errorbar(
            shifted, means, np.abs(bounds - means), marker="o", ms=4, lw=1.2, elinewidth=0.7, label=arm
        )
    axes.set(xscale="log", xlabel="training cases", ylabel="mean Dice", title=task)
    axes.set_xticks(runs.sizes, [str(n) for n in runs.sizes])
    axes.minorticks_off()
    axes.legend(fontsize="small", loc="lower right")
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """Writes `TASK.png`, and one `table.md` and `table.csv` for all tasks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = pd.concat([pd.read_csv(path) for path in sorted(options.runs.glob("*.csv"))])
    rows = []
    for task, found in table.groupby("dataset"):
        compared = found[~found["strategy"].isin(("none", "baseline", "red"))]
        if compared.empty:
            continue
        yardstick = (found["strategy"] == "baseline") | found["n"].isin(compared["n"])
        found = found[yardstick & found["draw"].isin(compared["draw"])]
        runs = Runs(found, "dice")
        rows += lines_of(task, runs, Runs(found, "nsd"))
        draw_figure(task, runs, options.out / f"{task}.png")
    pd.DataFrame(rows).to_csv(options.out / "table.csv", index=False)
    head = "| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]) + "\n"
    text = head + "".join("| " + " | ".join(row.values()) + " |\n" for row in rows)
    (options.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
