"""A hundred kinds of hostile uploads to a real server: what it answers, what it costs, and whether it still answers others.

    python -m benchmarks.hostile.run --out benchmarks/hostile/results

Each kind goes to every route that takes a file, one after the other; then all go to one route each, eight at once; then slow, endless and broken bodies,
and what is no file. Memory and the answers to others are looked at all the time. Ends with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from benchmarks.common.served import Served, served
from benchmarks.hostile import bodies
from benchmarks.hostile.files import Hostile, catalogue
from benchmarks.hostile.watch import ADDRESSES, MIB, Seen, Watch

MOST_OVER_IDLE = 1024 * MIB
MOST_SECONDS = 1.0
AT_ONCE = 8
BUSY = "503"
STEPS = 20
SECRET = "nobody but its owner may read this\n" * 37
ROUTES = ("label", "other label", "image", "session", "infer")


@dataclass
class Row:
    """One kind of upload, and what came of it."""

    group: str
    name: str
    answers: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    seconds: float = 0.0

    def note(self, where: str, answer: requests.Response) -> None:
        """Takes up an answer."""
        self.answers[f"{where} {answer.status_code}"] += 1
        sentence = sentence_of(answer)
        if sentence and sentence not in self.sentences:
            self.sentences.append(sentence)

    def to_json(self, idle: Seen) -> dict[str, object]:
        """As it is written down."""
        return {
            "group": self.group,
            "kind": self.name,
            "answers": dict(self.answers),
            "sentences": self.sentences,
            "seconds": round(self.seconds, 2),
            "over_idle_mib": round(max(0, self.seen.whole - idle.whole) / MIB),
            **{
                f"slowest{a.rstrip('/').replace('/', '_')}_s": round(self.seen.slowest(a), 3)
                for a in ADDRESSES
            },
        }


def sentence_of(answer: requests.Response) -> str:
    """What a refusal says."""
    if answer.status_code < 400:
        return ""
    try:
        said = answer.json()["detail"]
    except (ValueError, LookupError, TypeError):
        return f"no sentence: {answer.text[:100]}"
    return said if isinstance(said, str) else json.dumps(said)[:200]


class Sender:
    """Sends a file to every route that takes one."""

    def __init__(self, server: Served, contents: dict[str, bytes]) -> None:
        self.server, self.contents = server, contents
        self._number = iter(range(10**6))

    def send(self, hostile: Hostile, row: Row, routes: Sequence[str] = ROUTES) -> None:
        """To each route in turn."""
        for where in routes:
            row.note(where, self._sent(hostile, where, row))

    def _sent(self, hostile: Hostile, where: str, row: Row) -> requests.Response:
        content = self.contents[f"{hostile.group} {hostile.name}"]
        given = (hostile.sent_as, content)
        own_name = {} if "name" in hostile.name else {"image": f"sent_{next(self._number):04d}"}
        base = self.server.base
        if where.endswith("label"):
            known = {"image": "synthetic_000"} | ({} if where == "label" else {"tag": "other"})
            return requests.put(f"{base}/datastore/label", params=known, files={"label": given}, timeout=300)
        if where == "image":
            return requests.put(
                f"{base}/datastore/image", params=own_name, files={"file": given}, timeout=300
            )
        if where == "infer":
            return requests.post(
                f"{base}/infer/segmentation", params={"output": "json"}, files={"file": given}, timeout=300
            )
        lent = requests.put(f"{base}/session/", files={"files": given}, timeout=300)
        if lent.ok:
            known = {"session_id": lent.json()["session_id"], "output": "json"}
            row.note("infer lent", requests.post(f"{base}/infer/segmentation", params=known, timeout=300))
            requests.delete(f"{base}/session/{known['session_id']}", timeout=60)
        return lent


class _Opened(FileSystemEventHandler):
    def __init__(self) -> None:
        self.files: list[str] = []

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileOpenedEvent) and not event.is_directory:
            self.files.append(str(event.src_path))


def main() -> None:
    """Runs everything and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="kinds whose group and name this pattern is found in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        passed = measure(Path(folder), options.out, options.only)
    sys.exit(0 if passed else 1)


def measure(folder: Path, out: Path, only: str) -> bool:
    """Whether every bar is kept."""
    outside = folder / "outside"
    outside.mkdir()
    (outside / "secret.raw").write_text(SECRET)
    os.mkfifo(outside / "pipe.raw")
    kinds = [
        k
        for k in catalogue(f"{outside}/secret.raw", f"{outside}/pipe.raw")
        if re.search(only, f"{k.group} {k.name}")
    ]
    contents = {f"{k.group} {k.name}": k.make() for k in kinds}
    opened, observer = _Opened(), Observer()
    observer.schedule(opened, str(outside))
    observer.start()
    with served(folder / "served", {}, {}, images=4) as server:
        train(server)
        watch = Watch(server.base, server.process.pid)

        def facts() -> dict[str, object]:
            return {
                "opened_outside": sorted(set(opened.files)),
                "left_in_temporary_folders": [path.name for path in server.temporary()],
                "server_lives": server.process.poll() is None,
                "unanswered": list(watch.silent),
                "tracebacks": server.log.read_text(errors="replace").count("Traceback (most recent"),
            }

        with watch.watching():
            time.sleep(10)
            idle, rows = watch.taken(), []
            for row in sent(server, kinds, contents, watch):
                rows.append(row)
                write(out, folder, rows, idle, facts())
            still = bodies.genuine_round(server)
            time.sleep(8)
            after = {"afterwards_mib": round(watch.taken().whole / MIB), "afterwards": still}
        table = write(out, folder, rows, idle, facts() | after)
    observer.stop()
    observer.join()
    print(json.dumps({key: value for key, value in table.items() if key != "kinds"}, indent=1))
    return bool(table["server_lives"]) and all(bar["kept"] for bar in table["bars"].values())


def train(server: Served) -> None:
    """Labels every case and trains a model, so that there is something to ask for predictions."""
    for label in sorted((server.folder / "truth").iterdir()):
        bodies.put_label(server, label.name.split(".")[0], label).raise_for_status()
    requests.post(f"{server.base}/train/segmentation", json={"steps": STEPS}, timeout=60).raise_for_status()
    while requests.get(f"{server.base}/train/", timeout=60).json()["status"] in ("SUBMITTED", "RUNNING"):
        time.sleep(1)
    state = requests.get(f"{server.base}/train/", timeout=60).json()
    if state["status"] != "DONE":
        raise RuntimeError(f"{state}\n{server.tail()}")
    requests.post(
        f"{server.base}/infer/segmentation", params={"image": "synthetic_000", "output": "json"}, timeout=120
    ).raise_for_status()


def sent(server: Served, kinds: Sequence[Hostile], contents: dict[str, bytes], watch: Watch) -> Iterator[Row]:
    """The rows, each as soon as it is known."""
    sender = Sender(server, contents)
    for hostile in kinds:
        row = Row(hostile.group, hostile.name)
        yield _timed(row, watch, lambda row=row, hostile=hostile: sender.send(hostile, row))
    together = Row("at once", f"all of these, {AT_ONCE} at once")

    def send_together() -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            routes = itertools.cycle([[where] for where in ROUTES])
            list(pool.map(lambda hostile, one: sender.send(hostile, together, one), kinds, routes))
        together.sentences.clear()

    yield _timed(together, watch, send_together)
    for name, attack in bodies.ATTACKS.items():
        row = Row("bodies", name)
        yield _timed(row, watch, lambda row=row, attack=attack: attack(server, row.note))


def _timed(row: Row, watch: Watch, run: object) -> Row:
    watch.taken()
    began = time.monotonic()
    run()  # type: ignore[operator]
    row.seconds = time.monotonic() - began
    row.seen = watch.taken()
    print(
        f"{row.group}: {row.name}: {dict(row.answers)} {row.seconds:.1f} s, "
        f"{row.seen.whole / MIB:.0f} MiB, {row.seen.slowest('/info/'):.2f} s | {' | '.join(row.sentences)[:300]}",
        flush=True,
    )
    return row


def write(
    out: Path, folder: Path, rows: Sequence[Row], idle: Seen, facts: dict[str, object]
) -> dict[str, Any]:
    """Writes the tables of what is known by now."""
    whole = Seen()
    for row in rows:
        whole.add(row.seen)
    answers = Counter()
    for row in rows:
        for where, count in row.answers.items():
            answers[where.rsplit(" ", 1)[1]] += count
    bars = {
        "memory over idle, MiB": ((whole.whole - idle.whole) / MIB, MOST_OVER_IDLE / MIB),
        "slowest /info/, s": (whole.slowest("/info/"), MOST_SECONDS),
        "errors of the server": (sum(n for s, n in answers.items() if s >= "500" and s != BUSY), 0),
        "files left": (len(facts["left_in_temporary_folders"]), 0),  # type: ignore[arg-type]
        "files opened outside": (len(facts["opened_outside"]), 0),  # type: ignore[arg-type]
        "requests of others unanswered": (len(facts["unanswered"]), 0),  # type: ignore[arg-type]
    }
    kept = {name: value <= most for name, (value, most) in bars.items()}
    table = {
        "bars": {
            name: {"found": round(float(v), 3), "most": m, "kept": kept[name]}
            for name, (v, m) in bars.items()
        },
        "uploads": sum(answers.values()),
        "answers": dict(sorted(answers.items())),
        "idle_mib": round(idle.whole / MIB),
        "idle_own_mib": round(idle.own / MIB),
        "peak_mib": round(whole.whole / MIB),
        "peak_own_mib": round(whole.own / MIB),
        "asked_of_others": {address: len(whole.seconds[address]) for address in ADDRESSES},
        "slowest_of_others_s": {address: round(whole.slowest(address), 3) for address in ADDRESSES},
        "slowest_of_others_idle_s": {address: round(idle.slowest(address), 3) for address in ADDRESSES},
        "processors": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        **facts,
        "kinds": [row.to_json(idle) for row in rows],
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("hostile.json", json.dumps(table, indent=1) + "\n"),
        ("hostile.md", _page(rows, idle)),
    ):
        (out / name).write_text(text.replace(str(folder), ""))
    return table


def _page(rows: Sequence[Row], idle: Seen) -> str:
    lines = [
        "| kind | answers | over idle, MiB | slowest /info/, s | the sentence |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        answers = ", ".join(f"{where}{f' x {n}' if n > 1 else ''}" for where, n in row.answers.items())
        over = max(0, row.seen.whole - idle.whole) / MIB
        said = (row.sentences[0] if row.sentences else "").replace("|", "/").replace("\n", " ")
        lines.append(
            f"| {row.group}: {row.name} | {answers} | {over:.0f} | {row.seen.slowest('/info/'):.2f} | {said[:220]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
