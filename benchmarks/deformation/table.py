"""Tables and figures of `run.py`'s runs.

    python benchmarks/deformation/table.py RUNS.csv... --out benchmarks/deformation/results

Per task and training size: Dice, NSD at 2 mm and the share of failures (Dice < 0.5) of every arm, the paired
differences in Dice to `baseline` and `red`, and kappa, the number of cases that one case is worth:
`error_arm(n) = error_baseline(kappa n)`, read off the baseline's own curve by log-log interpolation and
bounded by its range. Intervals are 95 % bootstrap intervals that draw the training sets and the test cases
anew; with few draws they are too narrow for what another choice of training cases would do.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

FAILURE = 0.5
REPEATS = 2000


class Runs:
    """One task's scores as an array over (arm, size, draw, case, structure); NaN where there is no run."""

    def __init__(self, rows: Sequence[dict[str, str]], metric: str) -> None:
        def found(name: str) -> list[str]:
            return sorted({row[name] for row in rows})

        self.arms = list(dict.fromkeys(row["strategy"] for row in rows))
        self.sizes = sorted({int(row["n"]) for row in rows})
        self.draws, self.cases, self.structures = found("draw"), found("case"), found("structure")
        shape = (len(self.arms), len(self.sizes), len(self.draws), len(self.cases), len(self.structures))
        self.scores = np.full(shape, np.nan)
        for row in rows:
            if row[metric]:
                place = (
                    self.arms.index(row["strategy"]),
                    self.sizes.index(int(row["n"])),
                    self.draws.index(row["draw"]),
                    self.cases.index(row["case"]),
                    self.structures.index(row["structure"]),
                )
                self.scores[place] = float(row[metric])

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
        for arm in runs.arms:
            scores = runs.of(arm)[position]
            if np.isnan(scores).all():
                continue
            row = {
                "task": task,
                "n": str(n),
                "arm": arm,
                "draws": str(int((~np.isnan(scores)).any(axis=(1, 2)).sum())),
                "dice": _with_interval(scores, paired),
                "nsd": f"{np.nanmean(nsd.of(arm)[position]):.3f}",
                "failures": f"{np.nanmean(np.where(np.isnan(scores), np.nan, scores < FAILURE)):.3f}",
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
    made = np.flatnonzero((~np.isnan(scores)).any(axis=(1, 2)))
    low, high = bootstrap((len(made), paired[1]), lambda d, c: np.nanmean(scores[made[d]][:, c]))
    return f"{np.nanmean(scores):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


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
    """Mean Dice over the number of training cases, one line per arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for arm in runs.arms:
        axes.plot(runs.sizes, _means(runs.of(arm)), marker="o", label=arm)
    axes.set(xscale="log", xlabel="training cases", ylabel="mean Dice", title=task)
    axes.set_xticks(runs.sizes, [str(n) for n in runs.sizes])
    axes.legend(fontsize="small")
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """Writes `TASK.png` and one `table.md` / `table.csv` for all tables given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in options.tables:
        with path.open() as stream:
            found = list(csv.DictReader(stream))
        runs = Runs(found, "dice")
        rows += lines_of(found[0]["dataset"], runs, Runs(found, "nsd"))
        draw_figure(found[0]["dataset"], runs, options.out / f"{found[0]['dataset']}.png")
    with (options.out / "table.csv").open("w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    head = "| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]) + "\n"
    text = head + "".join("| " + " | ".join(row.values()) + " |\n" for row in rows)
    (options.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
