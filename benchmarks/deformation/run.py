"""What RED, RegDA, GenDA, carried labels and GenSeg are worth: tables and figures from the runs of the bank.

    python -m benchmarks.bank.run --data DIR --runs RUNS && python -m benchmarks.bank.run --runs RUNS --merge
    python -m benchmarks.deformation.run [--recipe short]

Of each recipe into a folder of its own, `results/product` and `results/short`. `table.csv`: per task and training size Dice, NSD at 2 mm (2 pixels where the spacing is unknown) and the share
of failures (Dice < 0.5) of every arm, the paired differences in Dice to `baseline` and `red`, and kappa, the
number of cases that one case is worth: `error_arm(n) = error_baseline(kappa n)`, read off the baseline's own
curve by log-log interpolation and bounded by its range. `structures.md`: the differences to `red` for every
structure, `summary.md`: their means over the sizes up to 8. `costs.md`: how long a run of each arm takes, in that of
`baseline` on the same cases, the median; of the short recipe alone, since the product's runs are of machines of several speeds. Intervals are of 95 %, over training sets and test patients; of one draw over test patients alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bank.run import BANKS, FIRST_FIVE, STEPS
from benchmarks.common.paired_runs import Runs, draws_of, said
from benchmarks.common.tables import markdown
from scaling_app.imaging.network_table import DEFAULT_NETWORK
from scaling_app.trials.length import AUTO_STEPS

RESULTS = Path(__file__).parent / "results"
COMPARED = ("none", "baseline", "red")
"""Arms that lead the tables; the others follow by name."""
FAILURE = 0.5
FEW, LEAST_SIZES = 8, 3
"""The summary is over sizes up to `FEW`, of arms that have at least so many."""
LEAST_ARMS = 3
DRAWS = 3
"""Of all arms; the baseline has more."""
USUAL = {"product": (DEFAULT_NETWORK, AUTO_STEPS), "short": ("resunet", str(STEPS))}
"""By recipe the network, and the steps of most trainings; the tables name others, the figures leave them out."""


def lines_of(task: str, runs: Runs, nsd: Runs) -> list[dict[str, str]]:
    """One row per size and arm."""
    rows = []
    for position, n in enumerate(runs.sizes):
        for arm in _made(runs, position):
            scores = runs.of(arm)[position]
            failed = np.where(np.isnan(scores), np.nan, scores < FAILURE)
            row = {
                "task": task,
                "n": str(n),
                "arm": arm,
                "draws": str(int((~np.isnan(scores)).any(axis=(1, 2)).sum())),
                "dice": said(runs.mean(scores), 3),
                "nsd": said(runs.mean(nsd.of(arm)[position]), 3),
                "failures": said(runs.mean(failed), 3),
            }
            for other in ("baseline", "red"):
                row[f"points over {other}"] = _difference(runs, position, arm, other, slice(None))
            row["kappa"] = "" if arm == "baseline" else _kappa_text(runs, arm, position)
            rows.append(row)
    return rows


def structures_of(task: str, runs: Runs) -> list[dict[str, str]]:
    """One row per size, structure and arm: points over `red`."""
    return [
        {
            "task": task,
            "n": str(n),
            "structure": structure,
            "arm": arm,
            "points over red": _difference(runs, position, arm, "red", slice(index, index + 1)),
        }
        for position, n in enumerate(runs.sizes)
        for index, structure in enumerate(runs.structures)
        for arm in _made(runs, position)
        if arm not in ("none", "red") and "red" in _made(runs, position)
    ]


def summary_of(task: str, runs: Runs) -> list[dict[str, str]]:
    """One row per structure and arm: points over `red`, the mean over the sizes up to `FEW`."""
    rows = []
    few = [position for position, n in enumerate(runs.sizes) if n <= FEW]
    for arm in (arm for arm in runs.arms if arm not in COMPARED and "red" in runs.arms):
        own, red = runs.of(arm)[few], runs.of("red")[few]
        made = [draws_of(points) for points in own - red]
        sizes = sum(len(draws) > 0 for draws in made)
        if sizes < LEAST_SIZES:
            continue
        for index, structure in enumerate(runs.structures):
            over = runs.difference(own[..., [index]], red[..., [index]])
            row = {"task": task, "structure": structure, "arm": arm, "sizes": str(sizes)}
            drawn = str(len(set().union(*made)))
            rows.append({**row, "draws": drawn, "points over red": said(over, 1)})
    return rows


def costs_of(bank: pd.DataFrame) -> list[dict[str, str]]:
    """One row per arm: the runs that have their like of `baseline`, and the median ratio of their seconds, by task and of all."""
    run = ["dataset", "n", "draw", "seed"]
    seconds = bank.drop_duplicates([*run, "strategy"]).pivot(index=run, columns="strategy", values="seconds")
    ratios = seconds.div(seconds["baseline"], axis="index").drop(columns="baseline")
    by_task = ratios.groupby("dataset").median()
    return [
        {
            "arm": arm,
            "runs": str(ratios[arm].count()),
            **{str(task): "" if np.isnan(value) else f"{value:.2f}" for task, value in by_task[arm].items()},
            "all": f"{ratios[arm].median():.2f}",
        }
        for arm in ratios.median().sort_values().index
    ]


def _made(runs: Runs, position: int) -> list[str]:
    """The arms trained at a size, if there is more than one."""
    made = [arm for arm in runs.arms if not np.isnan(runs.of(arm)[position]).all()]
    return made if len(made) > 1 else []


def _difference(runs: Runs, position: int, arm: str, other: str, structures: slice) -> str:
    if other == arm or other not in runs.arms:
        return ""
    pair = [runs.of(name)[position][..., structures] for name in (arm, other)]
    return "" if np.isnan(pair[0] - pair[1]).all() else said(runs.difference(*pair), 1)


def _kappa_text(runs: Runs, arm: str, position: int) -> str:
    value = runs.kappa(arm, position)
    return "" if np.isnan(value[0]) else said(value, 2)


def draw_figure(task: str, runs: Runs, colours: dict[str, str], out: Path) -> None:
    """Over the number of training cases: mean Dice, and with 95 % intervals the paired points over `baseline`; an arm a colour.

    Nothing is drawn while fewer than `LEAST_ARMS` have all their draws.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # fewer draws are other cases: a line through them would compare those
    whole = {
        arm: [i for i in range(len(runs.sizes)) if len(draws_of(runs.of(arm)[i])) == len(runs.draws)]
        for arm in runs.arms
    }
    if sum(map(bool, whole.values())) < LEAST_ARMS:
        return
    figure, (level, gain) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    gain.axhline(0.0, color=colours["baseline"], lw=1.2)
    for index, (arm, made) in enumerate(whole.items()):
        if not made:
            continue
        style = {"marker": "o", "ms": 4, "lw": 1.2, "color": colours[arm]}
        means = [runs.mean(runs.of(arm)[i])[0] for i in made]
        level.plot([runs.sizes[i] for i in made], means, label=arm, **style)
        if arm != "baseline":
            points = np.array([runs.difference(runs.of(arm)[i], runs.of("baseline")[i]) for i in made])
            at = np.array([runs.sizes[i] for i in made]) * 1.035 ** (index - len(runs.arms) / 2)
            bars = np.abs(points[:, 1:] - points[:, :1]).T
            gain.errorbar(at, points[:, 0], bars, elinewidth=0.7, **style)
    compared = [n for position, n in enumerate(runs.sizes) if _made(runs, position)]
    panels = ((level, "mean Dice", runs.sizes), (gain, "points of Dice over baseline", compared))
    for axes, what, sizes in panels:
        axes.set(xscale="log", xlabel="training cases", ylabel=what)
        axes.set_xticks(sizes, [str(n) for n in sizes])
        axes.minorticks_off()
    figure.suptitle(task)
    figure.legend(*level.get_legend_handles_labels(), fontsize="small", loc="outside right center")
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """Writes the tables and figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=USUAL, default="product", help="how the trainings were made")
    recipe = parser.parse_args().recipe
    out = RESULTS / recipe
    out.mkdir(parents=True, exist_ok=True)
    rows, by_structure, summary = [], [], []
    network, usual = USUAL[recipe]
    bank = pd.read_csv(BANKS[recipe], dtype={"steps": str, "case": str, "patient": str})
    bank = bank.query(f"network == '{network}' and capacity == 'small' and draw < {DRAWS}")
    arms = [*COMPARED, *sorted(set(bank["strategy"]) - set(COMPARED))]
    colours = {arm: f"C{index}" for index, arm in enumerate(arms)}  # one arm, one colour in all figures
    bank = bank.sort_values("steps", key=lambda steps: steps != usual, kind="stable")
    for (steps, dataset), found in bank.groupby(["steps", "dataset"], sort=False):
        task = dataset if steps == usual else f"{dataset}, {steps} steps"
        runs = Runs(found, "dice", COMPARED)
        if any(len(_made(runs, position)) > 2 for position in range(len(runs.sizes))):
            rows += lines_of(task, runs, Runs(found, "nsd", COMPARED))
            by_structure += structures_of(task, runs)
            summary += summary_of(task, runs)
            if steps == usual:
                draw_figure(task, runs, colours, out / f"{task}.png")
    pd.DataFrame(rows).to_csv(out / "table.csv", index=False)
    tables = {"structures.md": by_structure, "summary.md": summary}
    if recipe == "short":
        tables["costs.md"] = costs_of(bank[(bank["steps"] == usual) & bank["dataset"].isin(FIRST_FIVE)])
    for name, lines in tables.items():
        text = (markdown(lines) if lines else "Too few sizes have been run yet.") + "\n"
        (out / name).write_text(text)
        print(text)


if __name__ == "__main__":
    main()
