"""Trains candidate recipes on fixed draws, tests them on development cases, adds rows to a table; resumable.

    python -m benchmarks.engine.run --data DIR --work DIR --tasks acdc --sizes 8 --draws 1 --candidates base,wide --seconds 150

The budget of a run is processor time of its process, whatever else the machine does; the rate falls with the time
used. Test cases of the final tables are those that `replay` sets aside (`Task.final` of whole patients, seed in
`cohort.py`): they are left out here before anything is drawn.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from monai.metrics import compute_dice
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common.data_sets import BY_NAME
from benchmarks.common.tables import add_rows
from benchmarks.engine.recipes import CANDIDATES, Recipe, build, planned, recipe
from scaling_app.experiments.cohort import Cohort, make_cohort
from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.imaging.networks import memory_format, parameter_count
from scaling_app.strategies.base import Batch, StrategyContext
from scaling_app.strategies.baseline import Baseline
from scaling_app.strategies.making import make_strategy
from scaling_app.trials import plan as planning
from scaling_app.trials import sampling
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import CaseList, PreparedCases
from scaling_app.trials.inference import segment
from scaling_app.trials.plan import Plan, make_plan

STEP_BYTES = 2**31
PLANNED_STEPS = 1000


@dataclass(frozen=True)
class Task:
    """A data set, how many of its cases are untouched (at least those that the bank tests on), and how many for development."""

    folder: str
    final: int = 50
    development: int = 20


TASKS = {
    "hippocampus": Task("msd_hippocampus"),
    "acdc": Task("acdc"),
    "busi": Task("busi"),
    "axons": Task("axondeepseg_sem"),
    "wbc": Task("wbc"),
    "ventricle": Task("sunnybrook_lv", final=120, development=40),
    "heads": Task("hc18"),
    "nuclei": Task("dsb2018_nuclei"),
    "vessels": Task("chase_db1", final=10, development=6),
}
KEY = ("task", "n", "draw", "seed", "candidate", "seconds")
COLUMNS = (
    *KEY,
    *("share", "weights", "dice", "structures", "cases", "steps", "cpu_seconds", "loader_share"),
    *("loss", "agreement", "parameters", "patch", "batch"),
)


def cohort_of(data: Path, task: Task, sizes: list[int], draws: int) -> Cohort:
    """Training draws and development cases; the final test cases are in neither."""
    cases = BY_NAME[task.folder].cases(data)
    final = make_cohort(cases, task.final, [1], 1)
    untouched = {case.patient for case in final.test}
    rest = [case for case in cases if case.patient not in untouched]
    return make_cohort(rest, task.development, sizes, draws)


class _Twice(Baseline):
    """The usual augmentation with two rounds of intensity changes."""

    def appearance(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return super().appearance(super().appearance(image, generator), generator)


class Trainer:
    """One run: a network, its average, and the processor time it has used."""

    def __init__(
        self, cases: PreparedCases, ids: list[str], chosen: Recipe, seed: int, seconds: float
    ) -> None:
        self.cases, self.ids, self.chosen, self.seed, self.seconds = cases, ids, chosen, seed, seconds
        self.plan = cases.plan
        self.network = build(self.plan, chosen, seed).to(memory_format=memory_format(self.plan.spatial_dims))
        self.average = deepcopy(self.network).requires_grad_(False)
        self.criterion = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
        self.heads = _deep_heads(self.network) if chosen.deep else None
        weights = [*self.network.parameters(), *(self.heads.parameters() if self.heads else ())]
        self.optimiser = _optimiser(weights, chosen)
        self.step, self.used, self.losses = 0, 0.0, []
        self.loader = 0.0

    def until(self, shares: list[float]) -> Iterator[float]:
        """Trains; gives each share of the budget when it is reached."""
        sampler = self.sampler_of(self.chosen)
        for share in shares:
            began, start = time.process_time() - self.used, self.step
            with sampling.Prefetcher(sampler, start, start + 10**6) as batches:
                for batch in batches:
                    self._one(batch)
                    self.step += 1
                    self.used = time.process_time() - began
                    if self.used >= share * self.seconds:
                        break
                self.loader += batches.cpu_seconds
            yield share

    def sampler_of(self, chosen: Recipe) -> sampling.PatchSampler:
        """Draws batches as the recipe wants them."""
        strategy = _Twice() if chosen.twice else make_strategy(chosen.strategy)
        strategy.prepare(
            CaseList(self.cases, self.ids),
            StrategyContext(
                spatial_dims=self.plan.spatial_dims,
                spacing=self.plan.spacing,
                patch=self.plan.patch,
                structures=self.plan.classes,
                seed=self.seed,
                steps=PLANNED_STEPS,
                cache_dir=self.cases.cache_dir / "strategies",
            ),
        )
        sampling._FOREGROUND_SHARE = chosen.foreground
        sampler = sampling.PatchSampler(self.cases, self.ids, strategy, self.seed)
        if sampler._affine is not None and chosen.affine != 1:
            usual = sampling.AffineRange
            sampler._affine.probability = 1.0
            sampler._affine.rotation = usual.rotation * chosen.affine
            sampler._affine.log_scale = usual.log_scale * chosen.affine
        return sampler

    def _one(self, batch: Batch) -> None:
        done = min(1.0, self.used / self.seconds)
        rate = (
            self.chosen.rate
            * min(1.0, (done + 1e-3) / self.chosen.warmup)
            * _fall(self.chosen.schedule, done)
        )
        self.at_rate(batch, rate)

    def at_rate(self, batch: Batch, rate: float) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.chosen.clip)
        self.optimiser.step()
        self.losses.append(float(loss.detach()))
        self.follow(self.average, min(self.chosen.ema, (1 + self.step) / (10 + self.step)))

    @torch.no_grad()
    def follow(self, mean: nn.Module, decay: float) -> None:
        """Moves a mean of the weights towards the present ones."""
        now = [weight.detach() for weight in self.network.parameters()]
        torch._foreach_lerp_(list(mean.parameters()), now, 1 - decay)

    def _loss(self, batch: Batch) -> Tensor:
        logits = self.network(batch.image)
        loss = self.criterion(logits.contiguous(), batch.label)
        if self.heads is None:
            return loss
        inner, total, weight = self.network.network, 1.0, 1.0
        label = batch.label.permute(0, 1, *(axis + 2 for axis in inner.order)).float()
        for head, found in zip(reversed(self.heads), reversed(self.found), strict=True):
            weight *= self.chosen.deep
            coarse = F.interpolate(label, size=found.shape[2:], mode="nearest-exact")
            loss = loss + weight * self.criterion(
                head(found.movedim(1, -1)).movedim(-1, 1).contiguous(), coarse
            )
            total += weight
        return loss / total

    @property
    def found(self) -> list[Tensor]:
        """The decoder's coarser maps of the last forward pass, coarsest first."""
        return self.network.found

    @torch.inference_mode()
    def agreement(self, batches: int = 4) -> float:
        """Dice of the classes that the last weights and their average find in patches of the training cases."""
        sampler = sampling.PatchSampler(self.cases, self.ids, make_strategy("none"), self.seed + 1)
        same = sizes = 0
        for step in range(batches):
            image = sampler.batch(step).image
            first, second = (net(image).argmax(1) for net in (self.network, self.average))
            same += int(((first == second) & (first > 0)).sum())
            sizes += int((first > 0).sum()) + int((second > 0).sum())
        return 2 * same / max(1, sizes)


def _fall(schedule: str, done: float) -> float:
    if schedule == "poly":
        return (1 - done) ** 0.9 if done < 1 else 0.0
    if schedule == "flat":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * done)


def _optimiser(weights: list[nn.Parameter], chosen: Recipe) -> torch.optim.Optimizer:
    if chosen.optimiser == "sgd":
        return torch.optim.SGD(weights, chosen.rate, 0.99, nesterov=True, weight_decay=chosen.weight_decay)
    return torch.optim.AdamW(weights, chosen.rate, weight_decay=chosen.weight_decay)


def _deep_heads(network: nn.Module) -> nn.ModuleList:
    inner = network.network
    network.found = []
    heads = nn.ModuleList()
    inner.register_forward_pre_hook(lambda *_: network.found.clear())
    for up in list(inner.ups)[:-1]:
        up.register_forward_hook(lambda _m, _i, out: network.found.append(out))
        heads.append(nn.Linear(up.mix.out_channels, inner.head.out_features))
    return heads


def dice_of(network: nn.Module, plan: Plan, cases: tuple[CaseFiles, ...]) -> dict[str, list[float]]:
    """Structure to Dice of each case that holds it, on the cases' own grids."""
    network.eval()
    found: dict[str, list[float]] = {name: [] for name in plan.structures}
    for case in cases:
        assert case.label is not None
        label = read_label(case.label).as_tensor()
        predicted = segment(network, plan, read_image(case.image), torch.device("cpu")).as_tensor()
        for name, value in plan.structures.items():
            true = label == value
            if true.any():
                found[name].append(
                    float(compute_dice((predicted == value)[None].float(), true[None].float()))
                )
    network.train()
    return found


def tested(network: nn.Module, plan: Plan, cohort: Cohort) -> dict[str, object]:
    """The columns of a table that say how well a network does on the development cases, and how it was planned."""
    scores = dice_of(network, plan, cohort.test)
    means = {name: sum(v) / len(v) for name, v in scores.items() if v}
    return {
        "dice": f"{sum(means.values()) / len(means):.4f}",
        "structures": " ".join(f"{name}={value:.4f}" for name, value in means.items()),
        "cases": len(cohort.test),
        "patch": "x".join(map(str, plan.patch)),
        "batch": plan.batch,
    }


def prepared(
    data: Path, work: Path, task: Task, n: int, draw: int, chosen: Recipe
) -> tuple[Cohort, PreparedCases]:
    """The cohort of a run and its training cases, on the grid that the recipe plans."""
    cohort = cohort_of(data, task, [n], draw + 1)
    training = cohort.training(n, draw)
    network = "resunet" if chosen.network == "resenc" and not chosen.product else chosen.network
    planning._COARSEST = chosen.coarsest
    plan = make_plan(training, network=network, memory_bytes=STEP_BYTES)
    if chosen.coarser != 1:
        extent = [n * size for n, size in zip(plan.median_shape, plan.spacing, strict=True)]
        spacing = [
            size if axis == plan.coarse_axis else size * chosen.coarser
            for axis, size in enumerate(plan.spacing)
        ]
        plan = planning._with_patch(planning._at_spacing(plan, extent, spacing), on_gpu=False)
    plan = planned(plan, chosen)
    cases = PreparedCases(plan, training, work / "prepared", 2**32)
    for case_id in cases.labelled:
        cases.foreground(case_id)
    return cohort, cases


def one_run(
    data: Path,
    work: Path,
    task: str,
    n: int,
    draw: int,
    seed: int,
    candidate: str,
    seconds: float,
    out: Path,
    last: bool = False,
) -> None:
    """Trains one candidate, and adds a row for each snapshot."""
    chosen = recipe(candidate)
    cohort, cases = prepared(data, work, TASKS[task], n, draw, chosen)
    run = Trainer(cases, list(cases.labelled), chosen, seed, seconds)
    for share in run.until([0.5, 1.0]):
        models = {"average": (run.average, cases.plan)}
        if last and share == 1:
            models["last"] = (run.network, cases.plan)
        if cases.plan.mirrored and share == 1:
            models["average, one side"] = (run.average, replace(cases.plan, mirrored=()))
        for weights, (model, plan) in models.items():
            row = {
                **dict(zip(KEY, (task, n, draw, seed, candidate, seconds), strict=True)),
                "share": share,
                "weights": weights,
                **tested(model, plan, cohort),
                "steps": run.step,
                "cpu_seconds": f"{run.used:.0f}",
                "loader_share": f"{run.loader / max(run.used, 1e-9):.3f}",
                "loss": f"{sum(run.losses[-20:]) / len(run.losses[-20:]):.4f}",
                "agreement": f"{run.agreement():.4f}",
                "parameters": parameter_count(run.network),
            }
            add_rows(out, COLUMNS, [row])
            print(
                *(
                    row[name]
                    for name in ("task", "n", "draw", "candidate", "seconds", "share", "weights", "dice")
                ),
                row["structures"],
                "steps",
                row["steps"],
                "loss",
                row["loss"],
                flush=True,
            )
    name = "-".join(map(str, (task, n, draw, seed, candidate, seconds)))
    torch.save(run.average.state_dict(), work / f"{name}.pt")
    every = max(1, len(run.losses) // 40)
    curve = [
        {
            "run": name,
            "step": i,
            "loss": f"{sum(run.losses[i : i + every]) / len(run.losses[i : i + every]):.4f}",
        }
        for i in range(0, len(run.losses), every)
    ]
    add_rows(out.with_name("losses.csv"), ("run", "step", "loss"), curve)


def _finished(path: Path) -> set[tuple[str, ...]]:
    if not path.is_file():
        return set()
    with path.open(newline="") as stream:
        return {tuple(row[k] for k in KEY) for row in csv.DictReader(stream) if float(row["share"]) == 1}


def arguments(described: str | None, table: str, candidates: str) -> argparse.ArgumentParser:
    """What is asked of every run of this folder."""
    parser = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for prepared cases")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / table)
    parser.add_argument("--tasks", default="acdc", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--sizes", default="8")
    parser.add_argument("--draws", default="0", help="numbers of the draws")
    parser.add_argument(
        "--candidates", default=candidates, help=f"of {', '.join(CANDIDATES)}; a+b adds b's changes"
    )
    return parser


def main() -> None:
    """Runs what the table lacks."""
    parser = arguments(__doc__, "runs.csv", "base")
    parser.add_argument("--seconds", type=float, default=150.0, help="processor seconds of a training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--last", action="store_true", help="test the last weights beside their average")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for candidate in args.candidates.split(","):
        for task in args.tasks.split(","):
            for draw in map(int, args.draws.split(",")):
                for n in map(int, args.sizes.split(",")):
                    key = (task, n, draw, draw, candidate, args.seconds)
                    if tuple(map(str, key)) not in _finished(args.out):
                        one_run(args.data, args.work, *key, args.out, args.last)


if __name__ == "__main__":
    main()
