"""Files that the server owns, damaged; the ledger, held by another process; the clock, set back."""

from __future__ import annotations

import contextlib
import copy
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.faults import every_route
from benchmarks.faults.full_disk import contents
from benchmarks.faults.house import House, wait_for
from benchmarks.faults.outcomes import Outcome

FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)
DAYS_BACK = 40

LEDGER = "ledger.sqlite"


def _halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _emptied(content: bytes) -> bytes:
    return b""


def _garbled(content: bytes) -> bytes:
    return bytes((7 * i + 13) % 256 for i in range(len(content)))


WAYS = {"cut in half": _halved, "emptied": _emptied, "garbage": _garbled}


def damaged_files(house: House) -> Iterator[Outcome]:
    """Each kind of file is damaged in each way while the server is away; all labels stay, and the next server starts.

    A ledger that cannot be opened ends the start with a sentence that names it, since what it alone knows cannot be made anew; the
    labels are untouched, and with the ledger put back everything is as before.
    """
    _start(house)
    every_route.prepare(house)
    for trainer in ("segmentation", "learning_curve"):
        house.start_training(trainer, steps=2)
        wait_for(house.task_ended, 300)
    house.disagreements()
    kept = house.folder.with_name("kept")
    with contextlib.closing(sqlite3.connect(house.model_dir / LEDGER, isolation_level=None)) as reader:
        reader.execute("begin")  # whoever closes the ledger last empties its log: nobody shall
        reader.execute("select * from cases").fetchall()
        house.put_label(house.images[2]).raise_for_status()
        house.disagreements()
        house.kill()
        shutil.copytree(house.folder, kept)
    sent = copy.deepcopy(house.sent)
    for kind, pattern in _owned(house):
        for way, change in WAYS.items():
            shutil.rmtree(house.folder)
            shutil.copytree(kept, house.folder)
            house.sent = copy.deepcopy(sent)
            files = sorted(file for file in house.folder.glob(pattern) if file.is_file())
            if not files:
                raise RuntimeError(f"there is no file of {kind} to damage")
            for file in files:
                file.write_bytes(change(file.read_bytes()))
            yield _after_damage(house, f"{kind}, {way} ({len(files)} files)", kind)
            house.kill()


def _owned(house: House) -> Sequence[tuple[str, str]]:
    """What it is, and where it lies."""
    model = house.model_dir.relative_to(house.folder)
    return [
        ("the index of the studies", "studies/datastore_v2.json"),
        ("the ledger", f"{model}/{LEDGER}"),
        ("the ledger's write-ahead log", f"{model}/{LEDGER}-wal"),
        ("the ledger's shared memory", f"{model}/{LEDGER}-shm"),
        ("the models", f"{model}/published-*.pt"),
        ("which model is in use", f"{model}/published.json"),
        ("the training's stats", f"{model}/train_stats.json"),
        ("the prepared cases", f"{model}/cache/*"),
        ("the facts about lent images", "sessions/*/meta.info"),
        ("replaced labels", "studies/labels/.history/**/*"),
    ]


def _after_damage(house: House, detail: str, kind: str) -> Outcome:
    checked, trouble = house.acknowledged(), ""
    if failed := house.start(warm=True):
        sentence = failed.partition(": ")[2]
        said = failed.startswith("ended with 2:") and LEDGER in sentence and "scaling-app:" in sentence
        if not (said and kind.startswith("the ledger")):
            trouble = failed
        detail = f"{detail}: no start, said why" if said else detail
    else:
        trouble = "; ".join(house.disagreements(history=kind != "replaced labels"))
        info = house.request("GET", "/info/")
        answers = [info, house.request("GET", "/sufficiency/"), house.put_label(house.images[0])]
        trouble += "; ".join(f"{a.status_code} {a.text[:100]}" for a in answers if a.status_code != 200)
        if "models" in kind or "cases" in kind:
            house.start_training("segmentation", steps=2)
            wait_for(house.task_ended, 300)
            task = house.request("GET", "/train/").json()
            if task["status"] != "DONE":
                trouble += f" the next training: {task['status']} {list(task['details'])[-1][:200]}"
    return Outcome("damaged file", detail, checked, len(house.lost()), trouble.strip())


def locked_ledger(house: House) -> Iterator[Outcome]:
    """Another process holds the ledger's lock: every route is asked at once, and answers within its patience."""
    _start(house)
    session = every_route.prepare(house)
    house.disagreements()
    requests = [r for r in every_route.requests_of(house, session) if r.method != "DELETE"]
    requests = [r for r in requests if not r.route.startswith(("/train", "/batch", "/sufficiency/update"))]
    holder = sqlite3.connect(house.model_dir / LEDGER, isolation_level=None, timeout=60)
    holder.execute("begin immediate")
    before = contents(house)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda request: request.send(house), requests))
    label = house.request("GET", "/datastore/label", params=requests[0].options["params"] | {
        "label": house.images[every_route.LABELLED]}).content  # fmt: skip
    holder.execute("rollback")
    holder.close()
    for request, answer in zip(requests, answers, strict=True):
        trouble = ""
        if answer.status_code >= 500 and answer.status_code != every_route.UNABLE:
            trouble = f"{answer.status_code} {answer.text[:120]}"
        if request.route == "/datastore/label" and request.method == "PUT":
            version = house.sent[house.images[every_route.LABELLED]][-1]
            version.acknowledged = answer.status_code == 200
            if (label == version.content) != version.acknowledged:
                trouble = f"answered {answer.status_code}, and the file says otherwise"
        yield Outcome("locked ledger", f"{request}: {answer.status_code}", house.acknowledged(), 0, trouble)
    del before
    yield Outcome(
        "locked ledger",
        "free again",
        house.acknowledged(),
        len(house.lost()),
        "; ".join(house.disagreements()),
    )


def clock_set_back(house: House) -> Iterator[Outcome]:
    """The clock goes back while the server runs, and again between two servers; labels are saved throughout."""
    library = next((path for path in FAKETIME if Path(path).exists()), None)
    if library is None:
        print("clock set back: left out, there is no libfaketime here")
        return
    shift = house.folder / "shift"
    shift.write_text("+0d\n")
    house.environment = {
        **house.environment,
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(shift),
        "FAKETIME_NO_CACHE": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    _start(house, warm=False)
    for image in house.images[:4]:
        house.put_label(image).raise_for_status()
    for step, days in (("while it runs", DAYS_BACK), ("before the next start", 2 * DAYS_BACK)):
        if step == "before the next start":
            house.kill()
        shift.write_text(f"-{days}d\n")
        failed = "" if step == "while it runs" else house.start()
        trouble = [failed] if failed else []
        for image in (*house.images[:5], *house.images[:2]):
            time.sleep(0.05)
            answer = house.put_label(image)
            if answer.status_code != 200:
                trouble.append(f"{answer.status_code} {answer.text[:120]}")
        served = house.request("POST", "/activelearning/random", json={})
        if served.status_code != 200 or not served.json():
            trouble.append(f"next case: {served.status_code} {served.text[:120]}")
        trouble += house.disagreements()
        house.start_training("segmentation", steps=2)
        wait_for(house.task_ended, 300)
        if (state := house.request("GET", "/train/").json()["status"]) != "DONE":
            trouble.append(f"a training: {state}")
        yield Outcome(
            "clock set back",
            f"{days} days, {step}",
            house.acknowledged(),
            len(house.lost()),
            "; ".join(trouble),
        )
    with contextlib.suppress(OSError):
        shift.unlink()


def _start(house: House, *, warm: bool = True) -> None:
    if failed := house.start(warm=warm):
        raise RuntimeError(failed)
