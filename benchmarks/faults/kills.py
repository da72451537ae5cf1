"""SIGKILL at random moments, while viewers save labels: to the server, a training, the curve job, and the start."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import psutil

from benchmarks.faults.house import House, wait_for
from benchmarks.faults.outcomes import Outcome

SERVER, START = "kill the server", "kill the server while it starts"
TRAINERS = {"segmentation": "kill a training", "learning_curve": "kill a curve job"}
SHARES = {SERVER: 0.6, START: 0.25, TRAINERS["segmentation"]: 0.075, TRAINERS["learning_curve"]: 0.075}
"""Of all kills."""

WARM = 0.9
"""Of the servers that no training is asked of: the share that starts warm."""

SOON_SECONDS = 60
"""How long the next look at a dead training may take on a busy machine."""

Made = Callable[[], Counter]


def kill_often(house: House, kills: int, made: Made, rng: np.random.Generator) -> Iterator[Outcome]:
    """Kills until so many rows of each kind were made; `made` counts those that are there."""

    def due(kind: str) -> bool:
        return made()[kind] < round(SHARES[kind] * kills)

    if trouble := house.start(warm=True):
        raise RuntimeError(trouble)
    for image in house.images[:6]:
        house.put_label(image)
    while any(due(kind) for kind in SHARES):
        killed, wanted = [], [trainer for trainer, kind in TRAINERS.items() if due(kind)]
        with house.saving() as refused:
            if wanted and (not due(SERVER) or rng.random() < 0.3):
                trainer = wanted[rng.integers(len(wanted))]
                if (process := _training(house, trainer, rng)) is not None:
                    time.sleep(rng.uniform(0, 3))
                    if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                        if due(SERVER) and rng.random() < 0.5:
                            killed.append(TRAINERS[trainer])
                        else:
                            process.kill()
                            yield _after_training(house, TRAINERS[trainer], refused)
            if killed or due(SERVER):
                time.sleep(rng.uniform(0.3, 2))
                house.kill()
                killed.append(SERVER)
        if killed:
            yield from _after_server(house, killed, refused, warm=rng.random() < WARM)
        if due(START):
            house.kill()
            with house.saving():
                house.launch(warm=True)
                time.sleep(rng.uniform(0, 1.2 * house.start_seconds))
                house.kill()
            yield from _after_server(house, [START], [], warm=True)
    house.kill()


def _training(house: House, trainer: str, rng: np.random.Generator) -> psutil.Process | None:
    """Starts a training, short or endless, and waits until it is at work; None when it has ended already."""
    house.start_training(trainer, steps=int(rng.choice([4, 40, 100000])))
    query = "select count(*) from runs where state = 'running'"
    wait_for(lambda: house.ledger(query)[0][0] or house.task_ended(), 120)
    return house.trainer()


def _after_training(house: House, kind: str, refused: list[str]) -> Outcome:
    """The server answers, nobody's save was refused, and the ledger says that the run has ended."""
    query = "select count(*) from runs where state = 'running'"
    closed = wait_for(lambda: house.task_ended() and not house.ledger(query)[0][0], SOON_SECONDS)
    lost = house.lost()
    trouble = [] if closed else ["the ledger still says that the dead training runs"]
    trouble += [f"a label was refused: {answer}" for answer in refused[:1]]
    return Outcome(
        kind,
        f"{sum(map(len, house.sent.values()))} sent",
        house.acknowledged(),
        len(lost),
        "; ".join([*lost, *trouble]),
    )


def _after_server(house: House, kinds: list[str], refused: list[str], *, warm: bool) -> Iterator[Outcome]:
    """Every acknowledged label is there before the next start and after it, and the next server agrees."""
    checked, lost = house.acknowledged(), house.lost()
    left = len(list(house.studies.rglob(".part-*")))
    start = "warm" if warm else "cold"
    detail = f"{sum(map(len, house.sent.values()))} sent, {left} half written, {start} start after it"
    trouble = [f"a label was refused: {answer}" for answer in refused[:1]]
    if failed := house.start(warm=warm):
        trouble.append(f"no start: {failed}")
    else:
        trouble += house.disagreements()
        lost = lost or house.lost()
        if list(house.studies.rglob(".part-*")):
            trouble.append("half written files are left")
        if house.ledger("select count(*) from runs where state = 'running'")[0][0]:
            trouble.append("the ledger says that a dead training runs")
    for kind in kinds:
        yield Outcome(kind, detail, checked, len(lost), "; ".join([*lost, *trouble]))
    if failed:
        raise RuntimeError(failed)
