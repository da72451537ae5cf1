"""The scaling-law figures and their table, from the bank.

    python -m benchmarks.bank.figures [--bank benchmarks/bank/results] [--out benchmarks/bank/results]

After Chu et al. (arXiv 2511.13883): error (1 - Dice) against the number of training cases, log-log, one panel
for each task (data set and structure), with a power law `A n^-c` and a power law with a floor
`e_inf + A n^-c`, fitted so that relative errors count alike. A point is the mean over label draws and test
cases; its bar is the 95 % interval over draws and test patients (patients alone where there is one draw). The intervals of fits are
percentiles, of draws and test patients drawn anew: of few draws they are too narrow.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.bank.longer import draw_longer, longer_rows, longer_trainings
from benchmarks.bank.run import BANKS, LONG, STEPS, same_cases
from benchmarks.common.paired_runs import Runs, crossed_mean, said
from benchmarks.common.tables import markdown
from benchmarks.forecast.bank import bank_files
from scaling_app.forecast.families import POWER_LAW, POWER_LAW_FLOOR, Array, Family, fit_family
from scaling_app.trials.length import AUTO_STEPS

REPEATS = 500
COLUMNS = 5
MISSING_SHARE = 0.97
"""A mean error above this is a network that found nothing: shown, not fitted."""
NAMES = {
    "none": ("none", "#7f7f7f"),
    "baseline": ("affine + intensity", "#0b5394"),
    "red": ("RED", "#e69138"),
    "regda-pool": ("RegDA", "#6aa84f"),
    "genda-gaussian": ("GenDA", "#c27ba0"),
    "regda-carried": ("RegDA + pool's images", "#274e13"),
    "genda-carried-first": ("GenDA + pool's images at first", "#741b47"),
}
MODELS = {
    ("resunet", "small"): ("Res-UNet", "#0b5394"),
    ("resunet", "medium"): ("Res-UNet, medium", "#3d9be9"),
    ("swinunetr", "small"): ("Swin-UNETR", "#c0504d"),
}
LENGTHS = {
    ("resunet", "small", "baseline", "400"): ("400 steps", "#0b5394"),
    ("resunet", "small", "baseline", "1600"): ("1600 steps", "#c0504d"),
}
RECIPES = {
    ("resenc", "small", "baseline", "auto"): ("the app's trainings", "#38761d"),
    ("resunet", "small", "baseline", "400"): ("400 steps of a small Res-UNet on the same cases", "#9fc5e8"),
}
KEYS = ["dataset", "structure", "network", "capacity", "strategy", "steps"]


@dataclass(frozen=True)
class Points:
    """A measured curve: row 0 of `error (B, K)` is the mean at sizes `n (K,)`, the others are resampled.

    `ends (2, K)` are those of its 95 % interval.
    """

    n: Array
    error: Array
    ends: Array
    draws: tuple[int, ...]
    cases: int

    def bars(self) -> Array:
        """Lengths `(2, K)` of the 95 % interval below and above the mean; 0 where there is none."""
        return np.nan_to_num(np.abs(self.ends - self.error[0]))

    def fitted(self, family: Family, parameters: int) -> tuple[Array, Array] | None:
        """Shapes `(B, S)` and coefficients `(B, 2)`; None with fewer than one size more than parameters."""
        usable = self.error[0] < MISSING_SHARE
        if usable.sum() <= parameters:
            return None
        error = self.error[:, usable].clip(1e-3, 1)
        return fit_family(family, self.n[usable], error, error**-2)


def measured(table: pd.DataFrame) -> Points:
    """The curve of one task, network and strategy."""
    table = table.dropna(subset="dice")
    sizes = np.sort(table["n"].unique())
    draws, cases = np.sort(table["draw"].unique()), np.sort(table["case"].unique())
    dice = table.groupby(["n", "draw", "case"])["dice"].mean()
    index = pd.MultiIndex.from_product([sizes, draws, cases], names=["n", "draw", "case"])
    error = 1.0 - dice.reindex(index).to_numpy().reshape(len(sizes), len(draws), len(cases))
    per_draw = tuple(int(np.isfinite(level).any(1).sum()) for level in error)
    patient = table.drop_duplicates("case").set_index("case")["patient"][cases]
    members = [np.flatnonzero(patient == name) for name in patient.unique()]
    rng = np.random.default_rng(0)
    rows = [np.nanmean(error, axis=(1, 2))]
    for _ in range(REPEATS):
        chosen = rng.integers(len(members), size=len(members))
        of_cases = error[:, :, np.concatenate([members[i] for i in chosen])]
        # each size draws anew from the label draws it has
        rows.append(
            np.array(
                [
                    np.nanmean(level[rng.choice(np.flatnonzero(np.isfinite(level).any(1)), size=count)])
                    for level, count in zip(of_cases, per_draw, strict=True)
                ]
            )
        )
    _, owner = np.unique(patient, return_inverse=True)
    ends = [_ends(level, owner) for level in error]
    return Points(sizes.astype(float), np.array(rows), np.array(ends).T, per_draw, len(cases))


def _ends(errors: Array, patients: Array) -> Array:
    """Of the interval of errors `(draw, case)`."""
    draw, case = np.nonzero(np.isfinite(errors))
    values = errors[draw, case]
    return np.clip(crossed_mean(values, np.ones(len(values)), draw, patients[case])[1:], 0.0, 1.0)


def draw_points(
    axis: Axes, points: Points, name: str, colour: str, *, aside: float = 1.0, fits: bool = True
) -> None:
    """Points with their bars, at `aside` times their size, the power law (dashed) and the one with a floor (solid)."""
    axis.errorbar(
        aside * points.n, points.error[0], yerr=points.bars(), fmt="o", color=colour, ms=3.5, lw=1, label=name
    )
    grid = np.geomspace(points.n[0], points.n[-1], 80)
    for family, parameters, style in ((POWER_LAW, 2, "--"), (POWER_LAW_FLOOR, 3, "-")):
        found = points.fitted(family, parameters) if fits else None
        if found is not None:
            axis.plot(grid, family.predict(found[0][:1], found[1][:1], grid)[0], style, color=colour, lw=1)
    if not fits:
        axis.plot(aside * points.n, points.error[0], "-", color=colour, lw=1)


def panels(count: int) -> tuple[plt.Figure, list[Axes]]:
    """A page of small log-log panels."""
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.5 * columns + 0.4, 2.35 * rows + 0.5), squeeze=False, layout="constrained"
    )
    flat = list(axes.ravel())
    for axis in flat[count:]:
        axis.set_axis_off()
    return figure, flat[:count]


def dress(axis: Axes, title: str, curves: Sequence[Points]) -> None:
    """Log axes whose ticks are plain numbers."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    sizes = sorted({n for points in curves for n in points.n})
    low = min(float((p.error[0] - p.bars()[0]).min()) for p in curves)
    high = max(float((p.error[0] + p.bars()[1]).max()) for p in curves)
    low, high = max(low, 0.004) / 1.12, min(high, 1.0) * 1.12
    coarse = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
    fine = (0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
    ticks = [t for t in (fine if high < 2.5 * low else coarse) if low <= t <= high]
    axis.set_ylim(low, high)
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_locator(NullLocator())
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.tick_params(labelsize=7)
    axis.set_title(title, fontsize=8.5)


def finish(figure: plt.Figure, axes: Sequence[Axes], path: Path, note: str) -> Path:
    """One legend for all panels, and what the lines mean."""
    handles: dict[str, object] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=min(len(handles), int(figure.get_figwidth() / 1.7)),
        fontsize=8,
    )
    figure.supxlabel(f"training cases ({note})", fontsize=8.5)
    figure.supylabel("error, 1 - Dice", fontsize=8.5)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path


def title_of(task: tuple[str, str], tasks: Sequence[tuple[str, str]]) -> str:
    """The data set, and the structure where it has several."""
    several = sum(other[0] == task[0] for other in tasks) > 1
    return f"{task[0]}\n{task[1].replace('_', ' ')}" if several else f"{task[0]}\n"


def curves_of(table: pd.DataFrame) -> dict[tuple[str, ...], Points]:
    """Every curve of two sizes or more."""
    found = {tuple(str(part) for part in key): measured(rows) for key, rows in table.groupby(KEYS, sort=True)}
    return {key: points for key, points in found.items() if len(points.n) > 1}


def alike(table: pd.DataFrame, draws: int) -> pd.DataFrame:
    """The first draws, of the curves and sizes that have all of them: what is set side by side shares its cases."""
    first = table[table["draw"] < draws]
    return first[first.groupby([*KEYS, "n"])["draw"].transform("nunique") == draws]


def draw_all(curves: dict[tuple[str, ...], Points], table: pd.DataFrame, out: Path) -> list[Path]:
    """The pages that there are data for; the first shows all draws, the others those that their curves share."""
    tasks = list(dict.fromkeys((key[0], key[1]) for key in curves))
    baseline = table[table["strategy"] == "baseline"]
    one, three = curves_of(alike(baseline, 1)), curves_of(alike(table[table["steps"] == "400"], 3))
    recipes = curves_of(pd.concat(same_cases()).query("strategy == 'baseline'"))
    fits = "dashed: power law, solid: with a floor"
    pages: list[
        tuple[str, str, dict[tuple[str, ...], Points], dict[tuple[str, ...], tuple[str, str]], bool]
    ] = [
        ("bank_curves.png", f"affine + intensity, all draws; {fits}", recipes, RECIPES, True),
        (
            "bank_networks.png",
            f"one draw; {fits}",
            one,
            {(network, size, "baseline", "400"): look for (network, size), look in MODELS.items()},
            True,
        ),
        (
            "bank_strategies.png",
            "Res-UNet, small, three draws",
            three,
            {("resunet", "small", name, "400"): look for name, look in NAMES.items()},
            False,
        ),
        ("bank_steps.png", "Res-UNet, small, affine + intensity, one draw", one, LENGTHS, False),
    ]
    made = []
    for name, note, known, looks, fit in pages:
        shown = {
            task: [(known[(*task, *kind)], look) for kind, look in looks.items() if (*task, *kind) in known]
            for task in tasks
        }
        shown = {task: found for task, found in shown.items() if len(found) >= min(2, len(looks))}
        if not shown:
            continue
        figure, axes = panels(len(shown))
        for axis, (task, found) in zip(axes, shown.items(), strict=True):
            for place, (points, (label, colour)) in enumerate(found):
                aside = 1.06 ** (place - (len(found) - 1) / 2)
                draw_points(axis, points, label, colour, aside=aside, fits=fit)
            dress(axis, title_of(task, tasks), [points for points, _ in found])
        made.append(finish(figure, axes, out / name, note))
    return made


def fit_rows(curves: dict[tuple[str, ...], Points]) -> list[str]:
    """The table of fits, one line for each curve of four sizes or more."""
    lines = [
        "| data set | structure | network | strategy | steps | sizes | draws | test cases | power law c | RMS relative error "
        "| with a floor: e_inf | c | RMS relative error |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (dataset, structure, network, capacity, strategy, steps), points in curves.items():
        plain, floor = points.fitted(POWER_LAW, 2), points.fitted(POWER_LAW_FLOOR, 3)
        if plain is None or floor is None:
            continue
        cells = [dataset, structure, f"{network}, {capacity}", strategy, steps]
        cells += [f"{points.n[0]:g} to {points.n[-1]:g} ({len(points.n)})", _range(points.draws)]
        cells += [str(points.cases), _interval(plain[0][:, 0]), _misfit(POWER_LAW, plain, points)]
        cells += [
            _interval(floor[1][:, 0]),
            _interval(floor[0][:, 0]),
            _misfit(POWER_LAW_FLOOR, floor, points),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def steps_rows(alike: pd.DataFrame, first: int = 8, last: int = 64) -> list[str]:
    """Points of Dice gained between two sizes by trainings of each length, else alike, on the draws that all lengths have."""
    lines = [
        f"| data set | steps | draws | test cases | Dice at {first} | Dice at {last} | points gained |",
        "|---|---|---|---|---|---|---|",
    ]
    sizes = alike[alike["n"].isin([first, last])]
    whole = sizes[sizes.groupby(["dataset", "steps", "draw"])["n"].transform("nunique") == 2]
    for dataset, found in whole.groupby("dataset"):
        shared = found[found.groupby("draw")["steps"].transform("nunique") == found["steps"].nunique()]
        if found["steps"].nunique() < 2:
            continue
        runs = Runs(shared.assign(strategy=shared["steps"]), "dice", ())
        for steps in runs.arms:
            at_first, at_last = runs.of(steps)
            levels = " | ".join(f"{100 * runs.mean(level)[0]:.1f}" for level in (at_first, at_last))
            gained = said(runs.difference(at_last, at_first), 1, "+")
            lines.append(
                f"| {dataset} | {steps} | {len(runs.draws)} | {len(runs.cases)} | {levels} | {gained} |"
            )
    return lines


def _range(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def _interval(values: Array) -> str:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:.2f} [{low:.2f}, {high:.2f}]"


def _misfit(family: Family, found: tuple[Array, Array], points: Points) -> str:
    usable = points.error[0] < MISSING_SHARE
    fitted = family.predict(found[0][:1], found[1][:1], points.n[usable])[0]
    return f"{100 * np.sqrt(np.mean((fitted / points.error[0, usable] - 1) ** 2)):.1f} %"


def main() -> None:
    """Draws the pages and writes the table."""
    results = Path(__file__).parent / "results"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bank", type=Path, default=results, help="folder of the tables")
    parser.add_argument("--out", type=Path, default=results)
    arguments = parser.parse_args()
    columns = [*KEYS, "n", "draw", "case", "patient", "dice"]
    table = pd.concat(
        pd.read_csv(file, usecols=columns, dtype={"steps": str}, keep_default_na=False, na_values=[""])
        for file in bank_files(arguments.bank)
    )
    curves = curves_of(table)
    small = table.query("network == 'resunet' and capacity == 'small' and strategy == 'baseline'")
    short = longer_trainings(small[small["steps"] == str(STEPS)], small[small["steps"] == str(LONG)])
    product = table[(table["steps"] == AUTO_STEPS) & (table["strategy"] == "baseline")]
    four_times = pd.read_csv(
        arguments.bank / BANKS["longer"].name, usecols=columns, keep_default_na=False, na_values=[""]
    )
    longer = longer_trainings(product, four_times)
    made = [*draw_all(curves, table, arguments.out), draw_longer(longer, arguments.out)]
    text = [
        "# Scaling laws fitted to the bank",
        "",
        "Made by `python -m benchmarks.bank.figures`: error e = 1 - Dice against n training cases, e = A n^-c and",
        "e = e_inf + A n^-c, relative errors counting alike; sizes at which nothing was found (error above 0.97) are",
        "left out. Brackets of fits: 95 % percentiles, draws of labels and test patients drawn anew (patients alone where there",
        "is one draw), too narrow for few draws; of gains: 95 % t intervals over draws and test patients. Exponents are sought from 0.02 to 3: at an edge the sizes do not tell. `auto`: trained as the app does.",
        "Floors are those of the trainings, not of the data sets.",
        "",
        *[f"![{path.stem}]({path.name})" for path in made[:-1]],
        "",
        *fit_rows(curves),
        "",
        "## Longer trainings",
        "",
        "What 64 cases gain over 8 in trainings of each length: same cases, draws and networks, affine + intensity.",
        "",
        *steps_rows(small),
        "",
        "What training four times as long as the app does gains on the same cases, beside what four times the cases gain.",
        "",
        f"![{made[-1].stem}]({made[-1].name})",
        "",
        markdown(longer_rows(longer)),
        "",
        f"The same of trainings of {STEPS} steps of the small network, and of {LONG}.",
        "",
        markdown(longer_rows(short)),
        "",
    ]
    (arguments.out / "bank_fits.md").write_text("\n".join(text), encoding="utf-8")
    print(*made, arguments.out / "bank_fits.md", sep="\n")


if __name__ == "__main__":
    main()
