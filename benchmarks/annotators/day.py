"""Several annotators at one server, with trainings beside them, and what must hold in the evening."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks.common.served import Served
from scaling_app.curve import curve_points
from scaling_app.imaging import synthetic
from scaling_app.imaging.geometry import grid_of, read_label, write_label
from scaling_app.studies.labels.readers import tag_of

BUSY = (429, 503)
"""Answers that say: later."""

LABEL_INFO = [{"name": name, "idx": value} for name, value in synthetic.STRUCTURES.items()]


@dataclass
class Sent:
    """One label that was acknowledged: by whom, of what, its content, and how long the answer took."""

    client: str
    image: str
    digest: str
    second: bool
    minutes: float
    seconds: float


@dataclass
class Day:
    """What happened, and what was found wrong afterwards."""

    sent: list[Sent] = field(default_factory=list)
    next_seconds: list[float] = field(default_factory=list)
    later: Counter[str] = field(default_factory=Counter)
    trainings: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def work(served: Served, *, clients: int, labels: int, steps: int, curve_minutes: float) -> Day:
    """Every client labels so many cases as fast as it can; a training and a curve job run by turns.

    Returns:
        What happened, with every fault that `check` finds.
    """
    day, over = Day(), threading.Event()
    began = time.perf_counter()
    with ThreadPoolExecutor(clients + 1) as pool:
        trainer = pool.submit(_train, served, day, over, steps, curve_minutes)
        try:
            for done in [pool.submit(_annotate, served, day, f"client {k}", labels) for k in range(clients)]:
                done.result()
        finally:
            day.seconds = time.perf_counter() - began
            over.set()
        trainer.result()
    _settle(served)
    day.faults += check(served, day.sent)
    return day


def _annotate(served: Served, day: Day, client: str, labels: int) -> None:
    for _ in range(labels):
        began = time.perf_counter()
        sample = _asked(day, "POST", f"{served.base}/activelearning/random", json={"client_id": client})
        day.next_seconds.append(time.perf_counter() - began)
        if "id" not in sample:
            day.faults.append(f"{client} was handed no case: {sample}")
            return
        image, second = str(sample["id"]), "Second reading" in str(sample.get("message"))
        content, minutes = _drawn(served, image, client), 1 + len(day.sent) / 100
        params = json.dumps({"client_id": client, "label_info": LABEL_INFO, "minutes": minutes})
        began = time.perf_counter()
        _asked(
            day,
            "PUT",
            f"{served.base}/datastore/label",
            params={"image": image, "tag": "final"},
            data={"params": params},
            files={"label": ("label.nrrd", content)},
        )
        seconds = time.perf_counter() - began
        digest = hashlib.sha256(content).hexdigest()
        day.sent.append(Sent(client, image, digest, second, minutes, seconds))


def _asked(day: Day, method: str, url: str, **what: Any) -> dict[str, Any]:
    """The answer, over a connection of its own as viewers ask, and again while the server says later.

    Raises:
        RuntimeError: any other error; its text says which.
    """
    while True:
        answer = requests.request(method, url, timeout=300, **what)
        if answer.status_code not in BUSY:
            break
        day.later[f"{method} {answer.status_code}"] += 1
        time.sleep(0.2)
    if not answer.ok:
        raise RuntimeError(f"{method} {url}: {answer.status_code} {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found


def _drawn(served: Served, image: str, client: str) -> bytes:
    """The true label a little differently for every client, as people draw."""
    label = read_label(served.folder / "truth" / f"{image}.nrrd")
    voxels = label[0].numpy().copy()
    random = np.random.default_rng(zlib.crc32(f"{image} {client}".encode()))
    voxels[(voxels == 1) & (random.random(voxels.shape) < 0.05)] = 0
    with tempfile.TemporaryDirectory() as folder:
        return write_label(voxels, grid_of(label), Path(folder) / "label.nrrd").read_bytes()


def _train(served: Served, day: Day, over: threading.Event, steps: int, curve_minutes: float) -> None:
    """One training after another: the curve's, the model's, until the day is over and the last one has ended."""
    turn = 0
    options = {"steps": steps, "curve_minutes": curve_minutes}
    while len(day.sent) < curve_points.CURVE_SIZES[0] and not over.is_set():  # no curve of fewer
        time.sleep(0.1)
    while not over.is_set():
        trainer = ("learning_curve", "segmentation")[turn % 2]
        answer = requests.post(f"{served.base}/train/{trainer}", json=options, timeout=300)
        if answer.ok:
            turn += 1
        elif answer.status_code not in (422, *BUSY):  # nothing is labelled yet, or one is running
            day.faults.append(f"training {trainer}: {answer.status_code} {answer.text[:300]}")
        time.sleep(0.5)
        while (task := _task(served)) and task["status"] in ("SUBMITTED", "RUNNING"):
            time.sleep(0.5)
        if answer.ok and task:
            day.trainings.append({"trainer": trainer, "status": task["status"]})
            if task["status"] != "DONE":
                day.faults.append(f"training {trainer} ended as {task['status']}: {task.get('details')}")


def _task(served: Served) -> dict[str, Any] | None:
    answer = requests.get(f"{served.base}/train/", timeout=300)
    return answer.json() if answer.ok else None


def _settle(served: Served, seconds: float = 180.0) -> None:
    """Waits until every case read twice has been compared."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        readings, agreed = _rows(served, "SELECT image_id FROM readings WHERE independent"), set()
        agreed = {row[0] for row in _rows(served, "SELECT image_id FROM agreements")}
        twice = {image for (image,), n in Counter(readings).items() if n > 1}
        if twice <= agreed:
            return
        time.sleep(0.5)


def check(served: Served, sent: Sequence[Sent]) -> list[str]:
    """What is lost or doubled, a sentence each."""
    faults: list[str] = []
    of_image: dict[str, list[Sent]] = defaultdict(list)
    for one in sent:
        of_image[one.image].append(one)
    cases = {row[0]: row[1:] for row in _rows(served, "SELECT image_id, label_hash, annotator FROM cases")}
    history = Counter(_rows(served, "SELECT image_id, label_hash FROM labels"))
    readings = {row[:2]: row[2:] for row in _rows(
        served, "SELECT image_id, reader, label_hash, independent FROM readings WHERE label_hash IS NOT NULL"
    )}  # fmt: skip
    minutes: Mapping[str, float] = dict(_rows(served, "SELECT image_id, minutes FROM minutes"))
    if cases.keys() != of_image.keys():
        faults.append(
            f"cases of the ledger and of the viewers differ: {sorted(cases.keys() ^ of_image.keys())}"
        )
    if len(readings) != len(sent):
        faults.append(f"{len(sent)} labels were acknowledged, {len(readings)} readings are in the ledger")
    folder = served.folder / "studies" / "labels"
    for image, labels in of_image.items():
        firsts = [one for one in labels if not one.second]
        if len(firsts) != 1 or len({one.client for one in labels}) != len(labels):
            faults.append(f"{image} was handed out as {[(one.client, one.second) for one in labels]}")
            continue
        first = firsts[0]
        if cases.get(image) != (first.digest, first.client):
            faults.append(f"{image}: the ledger has {cases.get(image)}, sent was {first}")
        if history[image, first.digest] != 1 or sum(n for key, n in history.items() if key[0] == image) != 1:
            faults.append(f"{image}: its history is not the one label that was saved")
        if minutes.get(image) != first.minutes:
            faults.append(f"{image}: {minutes.get(image)} minutes, sent were {first.minutes}")
        for one in labels:
            tag = tag_of(one.client) if one.second else "final"
            files = list((folder / tag).glob(f"{image}.*"))
            if [hashlib.sha256(file.read_bytes()).hexdigest() for file in files] != [one.digest]:
                faults.append(
                    f"{image}: {tag} holds {[file.name for file in files]}, not what {one.client} sent"
                )
            if readings.get((image, one.client), ("",))[0] != one.digest:
                faults.append(f"{image}: the reading of {one.client} is not in the ledger")
    doubled = _rows(
        served,
        "SELECT run_id, image_id, label_hash, structure, kind, count(*) FROM observations GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1",
    )
    unfinished = _rows(served, "SELECT run_id, state FROM runs WHERE state != 'done'")
    faults += [f"observation twice: {row}" for row in doubled] + [
        f"run not done: {row}" for row in unfinished
    ]
    return faults


def _rows(served: Served, statement: str) -> list[tuple[Any, ...]]:
    (ledger,) = served.folder.glob("app/model/*/ledger.sqlite")
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(statement).fetchall()
