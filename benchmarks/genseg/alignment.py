"""Do generated pairs teach more than unpainted ones? Their gradients' alignment along trainings.

    python -m benchmarks.genseg.alignment --data DIR --out benchmarks/genseg/results/alignment.md

The trainings of `run.py`'s arm `genseg`, without tests: at each outer step the alignments of the generated
pairs, and of the same pairs unpainted, with the gradient of a patient left out (see `proof.py`).
Consistency is their mean over the mean of their sizes; t is of the difference between a step's two means, over
stretches of the training, since neighbours in time share most of their segmenter. Resumable: each training's
outer steps are kept beside the table.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.common.tables import markdown
from benchmarks.genseg.run import ARMS, TASKS, Arm, append_rows, cohort_of, parser_of, trained
from scaling_app.strategies.base import PreparedCase, StrategyContext
from scaling_app.strategies.catalogue import register
from scaling_app.strategies.generative.proof import Proof
from scaling_app.strategies.generative.strategy import GenSeg

KEY = ("task", "network", "n", "draw", "steps")
COLUMNS = (*KEY, "outer_step", "generated", "generated_size", "unpainted", "unpainted_size", "evidence")
STRETCHES = 5
"""A t value is over so many stretches of a training."""
record: list[tuple[float, ...]] = []
"""The outer steps of the present training."""


class RecordingProof(Proof):
    """A proof that writes down what it sees."""

    def observe(self, alignment: Tensor, sources: Sequence[str], unpainted: Tensor) -> None:
        """As the proof does."""
        super().observe(alignment, sources, unpainted)
        means = (float(x.mean()) for x in (alignment, alignment.abs(), unpainted, unpainted.abs()))
        record.append((len(record), *means, self.evidence))


class RecordedGenSeg(GenSeg):
    """GenSeg with such a proof."""

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """As GenSeg."""
        super().prepare(cases, context)
        self.coupling.proof = RecordingProof(self.coupling.proof.asked)


def main() -> None:
    """Makes the trainings that are missing, and the table."""
    options = _options()
    torch.set_num_threads(1)
    register("recorded", RecordedGenSeg)
    ARMS["recorded"] = Arm("recorded")
    path = options.out.with_suffix(".csv")
    done = set()
    if path.is_file():
        done = {*pd.read_csv(path, dtype=str)[list(KEY)].itertuples(index=False, name=None)}
    for name in options.tasks.split(","):
        task, cohort = TASKS[name], cohort_of(TASKS[name], options)
        networks = [network for network in options.networks.split(",") if network in task.networks]
        for draw, network, n in itertools.product(options.only_draws.split(","), networks, task.sizes):
            key = (name, network, str(n), draw, options.steps)
            if key in done:
                continue
            record.clear()
            trained((name, network, "recorded", str(n), draw, options.steps), task, cohort, options)
            append_rows(path, [dict(zip(COLUMNS, (*key, *step), strict=True)) for step in record])
            print(*key, f"evidence {record[-1][-1]:.2f}", flush=True)
    trainings = pd.read_csv(path).groupby(list(KEY), sort=False)
    lines = [_line(dict(zip(KEY, key, strict=True)), steps) for key, steps in trainings]
    options.out.write_text(markdown(lines) + "\n")
    print(options.out.read_text())


def _line(key: dict[str, object], steps: pd.DataFrame) -> dict[str, str]:
    difference = steps["generated"] - steps["unpainted"]
    stretches = [stretch.mean() for stretch in np.array_split(difference, STRETCHES)]
    error = np.std(stretches, ddof=1) / STRETCHES**0.5
    consistency = {
        kind: steps[kind].mean() / steps[f"{kind}_size"].mean() for kind in ("generated", "unpainted")
    }
    return {
        **{name: str(value) for name, value in key.items()},
        "outer steps": str(len(steps)),
        **{f"consistency, {kind}": f"{value:+.2f}" for kind, value in consistency.items()},
        "t of the difference": f"{np.mean(stretches) / error:+.1f}",
        "evidence, highest": f"{steps['evidence'].max():.1f}",
        "at the end": f"{steps['evidence'].iloc[-1]:.1f}",
    }


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--networks", default="unet")
    parser.add_argument("--only-draws", default="0", help="the draws to train on, of --draws")
    parser.add_argument("--steps", default="400")
    return parser.parse_args()


if __name__ == "__main__":
    main()
