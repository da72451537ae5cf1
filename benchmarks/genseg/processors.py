"""How far do the same trainings differ between two kinds of processor? The same seeds, other rounding.

    python -m benchmarks.genseg.processors one.csv other.csv

Points of Dice, `other` less `one`, of every training of the arm `baseline` that both hold: the mean of the
draws for each task, size and network, and single draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

CELL = ["network", "task", "n", "steps"]


def main() -> None:
    """Prints medians and the largest difference of cells and of draws, for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    draws = 100 * (_draws(options.other) - _draws(options.one)).dropna()
    for network, of_network in draws.groupby("network", sort=False):
        for kind, found in (("means of the draws", of_network.groupby(CELL).mean()), ("draws", of_network)):
            largest = found.abs().idxmax()
            print(
                f"{network}, {kind}: {len(found)}, median of the sizes {found.abs().median():.2f}, "
                f"mean {found.mean():+.2f}, largest {found[largest]:+.2f} ({', '.join(map(str, largest[1:]))})"
            )


def _draws(path: Path) -> pd.Series:
    table = pd.read_csv(path)
    return table[table["arm"] == "baseline"].groupby([*CELL, "draw"])["dice"].mean()


if __name__ == "__main__":
    main()
