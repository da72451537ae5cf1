"""How long is long enough? One run at a constant rate, left for an end at ever greater lengths; resumable.

    python -m benchmarks.engine.length --data DIR --work DIR --tasks acdc,busi --sizes 4,16 [--least 1200 --most 4800]

At each length the run branches: the rate falls to zero over another third of the steps, and the mean of the weights
is tested on development cases. The trunk goes on from where it branched, so all lengths share its steps. What a run
could know of itself at the branch (losses, how its averages agree) stands in the same row, so that one may ask which
of them tells that four times the length would bring nothing.
"""

from __future__ import annotations

import csv
import time
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from benchmarks.common.tables import add_rows
from benchmarks.engine.recipes import recipe
from benchmarks.engine.run import TASKS, Trainer, arguments, prepared, tested
from scaling_app.strategies.making import make_strategy
from scaling_app.trials import sampling

WARMUP = 20
PROBES = 8
LENGTHS = (75, 150, 300, 600, 1200, 2400, 4800)
KEY = ("task", "n", "draw", "candidate")
COLUMNS = (
    *KEY,
    *("trunk", "steps", "dice", "structures", "cases", "cpu_seconds", "step_seconds"),
    *("train_loss", "mean_loss", "slow_loss", "last_loss", "agreement", "slow_agreement", "end_loss"),
    *("patch", "batch", "voxels"),
)


class Trunk(Trainer):
    """A run at a constant rate, with a second, slower mean of its weights."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.slow = deepcopy(self.average)
        self.sampler = sampling.PatchSampler(self.cases, self.ids, make_strategy("baseline"), self.seed)
        plain = sampling.PatchSampler(self.cases, self.ids, make_strategy("none"), self.seed + 1)
        self.probes = [plain.batch(step) for step in range(PROBES)]

    def steps_to(self, stop: int, ends: bool = False) -> None:
        """Trains to a step; `ends`: the rate falls to zero on the way."""
        start = self.step
        with sampling.Prefetcher(self.sampler, start, stop) as batches:
            for batch in batches:
                share = 1 - (self.step - start) / (stop - start) if ends else 1.0
                began = time.process_time()
                self.at_rate(batch, self.chosen.rate * share * min(1.0, (self.step + 1) / WARMUP))
                self.follow(self.slow, 1 - 3 / (self.step + 10))
                self.step += 1
                self.used += time.process_time() - began

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict, int, int]:
        """All that a branch changes."""
        states = tuple(
            {name: value.clone() for name, value in net.state_dict().items()}
            for net in (self.network, self.average, self.slow)
        )
        return *states, deepcopy(self.optimiser.state_dict()), self.step, len(self.losses)  # type: ignore[return-value]

    def back_to(self, state: tuple) -> None:
        """As it was at the branch."""
        for net, kept in zip((self.network, self.average, self.slow), state[:3], strict=True):
            net.load_state_dict(kept)
        optimiser: Optimizer = self.optimiser
        optimiser.load_state_dict(state[3])
        self.step = state[4]
        del self.losses[state[5] :]

    @torch.inference_mode()
    def signals(self) -> dict[str, float]:
        """What a run could know of itself: losses on plain patches of its own cases, and how its weights agree."""
        losses = {"mean_loss": 0.0, "slow_loss": 0.0, "last_loss": 0.0}
        same = {"agreement": 0, "slow_agreement": 0}
        sizes = dict(same)
        for probe in self.probes:
            found = {
                "last_loss": self.network(probe.image),
                "mean_loss": self.average(probe.image),
                "slow_loss": self.slow(probe.image),
            }
            for name, logits in found.items():
                losses[name] += float(self.criterion(logits.contiguous(), probe.label)) / PROBES
            mean = found["mean_loss"].argmax(1)
            for name, other in (("agreement", "last_loss"), ("slow_agreement", "slow_loss")):
                classes = found[other].argmax(1)
                same[name] += int(((classes == mean) & (mean > 0)).sum())
                sizes[name] += int((mean > 0).sum()) + int((classes > 0).sum())
        return losses | {name: 2 * same[name] / max(1, sizes[name]) for name in same}


def ladder(
    data: Path, work: Path, task: str, n: int, draw: int, candidate: str, lengths: list[int], out: Path
) -> None:
    """One trunk with its branches; a row each."""
    chosen = recipe(candidate)
    cohort, cases = prepared(data, work, TASKS[task], n, draw, chosen)
    ids = list(cases.labelled)
    voxels = sum(cases[unit].image[0].numel() for unit in cases.units(ids))
    trunk = Trunk(cases, ids, chosen, draw, 1.0)
    for length in lengths:
        trunk.steps_to(length)
        state, used = trunk.state(), trunk.used
        signals = trunk.signals()
        window = trunk.losses[-max(20, length // 4) :]
        trunk.steps_to(length + length // 3, ends=True)
        row = {
            **dict(zip(KEY, (task, n, draw, candidate), strict=True)),
            "trunk": length,
            "steps": trunk.step,
            **tested(trunk.average, cases.plan, cohort),
            "cpu_seconds": f"{trunk.used:.0f}",
            "step_seconds": f"{trunk.used / trunk.step:.4f}",
            "train_loss": f"{sum(window) / len(window):.4f}",
            **{name: f"{value:.4f}" for name, value in signals.items()},
            "end_loss": f"{sum(trunk.losses[-20:]) / 20:.4f}",
            "voxels": voxels,
        }
        add_rows(out, COLUMNS, [row])
        print(row, flush=True)
        trunk.back_to(state)
        trunk.used = used


def _finished(out: Path, last: int) -> set[tuple[str, ...]]:
    if not out.is_file():
        return set()
    with out.open(newline="") as stream:
        return {tuple(row[k] for k in KEY) for row in csv.DictReader(stream) if int(row["trunk"]) >= last}


def main() -> None:
    """Runs what the table lacks."""
    parser = arguments(__doc__, "lengths.csv", "product")
    parser.add_argument("--least", type=int, default=LENGTHS[0], help="shortest trunk, steps")
    parser.add_argument("--most", type=int, default=LENGTHS[-2], help="longest trunk, steps")
    args = parser.parse_args()
    lengths = [step for step in LENGTHS if args.least <= step <= args.most]
    torch.set_num_threads(1)
    for candidate in args.candidates.split(","):
        for draw in map(int, args.draws.split(",")):
            for n in map(int, args.sizes.split(",")):
                for task in args.tasks.split(","):
                    key = (task, n, draw, candidate)
                    if tuple(map(str, key)) not in _finished(args.out, lengths[-1]):
                        ladder(args.data, args.work, *key, lengths, args.out)


if __name__ == "__main__":
    main()
