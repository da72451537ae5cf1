"""A disk that takes its time: every flush of every program waits, while viewers save labels and others only look."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.faults.house import House
from benchmarks.faults.outcomes import Outcome

FLUSH_SECONDS = 2.0
SAVERS, SAVES = 2, 2
READS = (
    "/info/",
    "/sufficiency/",
    "/datastore/",
    "/datastore/label?tag=final&label={image}&client_id={client}",
)

# also SQLite's flushes, which Python cannot reach; the file says how long, so that it can change while a server runs
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void take_time(void) {
    const char *name = getenv("SLOW_DISK");
    FILE *file = name ? fopen(name, "r") : NULL;
    double seconds = 0;
    if (!file) return;
    if (fscanf(file, "%lf", &seconds) == 1 && seconds > 0) usleep((useconds_t)(seconds * 1e6));
    fclose(file);
}

int fsync(int handle) {
    take_time();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(handle);
}

int fdatasync(int handle) {
    take_time();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(handle);
}
"""


def slow_library(folder: Path) -> Path:
    """A library that stands before the system's flushes, made on the spot.

    Raises:
        OSError: there is no C compiler, or it makes no such library.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise OSError("there is no C compiler here")
    library = folder / "slow_disk.so"
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"]
    done = subprocess.run(command, input=SOURCE, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"the C compiler says: {done.stderr[-200:]}")
    return library


def slow_flushes(house: House) -> Iterator[Outcome]:
    """Labels are saved on a slow disk, and a server is killed at it: reads are answered, and what was acknowledged is there.

    Every read has to be quicker than one flush, and that of a label comes from somebody new each time: who was shown it is noted.
    """
    try:
        library = slow_library(house.folder)
    except OSError as error:
        print(f"slow disk: left out, {error}")
        return
    delay = house.folder / "flush-seconds"
    house.environment = {**house.environment, "LD_PRELOAD": str(library), "SLOW_DISK": str(delay)}
    if trouble := house.start():
        raise RuntimeError(trouble)
    for image in house.images[:6]:
        house.put_label(image).raise_for_status()
    _, usual, _ = _watched(house)
    delay.write_text(str(FLUSH_SECONDS))
    saves, reads, answers = _watched(house)
    with house.saving():
        time.sleep(1.5 * FLUSH_SECONDS)
        house.kill()
    delay.unlink()
    quickest, (path, slowest) = min(saves), max(reads.items(), key=lambda read: read[1])
    detail = (
        f"{FLUSH_SECONDS:g} s a flush: {len(saves)} saves of {quickest:.0f} s and more, "
        f"{len(answers)} reads of {slowest:.1f} s and less ({path.partition('?')[0]}; before: {max(usual.values()):.1f} s)"
    )
    trouble = [f"{path} took {seconds:.1f} s" for path, seconds in reads.items() if seconds > FLUSH_SECONDS]
    trouble += [answer for answer in answers if not answer.startswith("200")][:1]
    yield Outcome("slow disk", detail, house.acknowledged(), len(house.lost()), "; ".join(trouble))
    failed = house.start(warm=True)
    trouble = [failed] if failed else house.disagreements()
    yield Outcome(
        "slow disk", "killed meanwhile", house.acknowledged(), len(house.lost()), "; ".join(trouble)
    )


def _watched(house: House) -> tuple[list[float], dict[str, float], list[str]]:
    """How long saves took, the slowest answer to each kind of read meanwhile, and the status of each."""
    reads, answers = dict.fromkeys(READS, 0.0), []
    with ThreadPoolExecutor(SAVERS) as pool:
        saving = [pool.submit(_saves, house, image) for image in house.images[:SAVERS]]
        while not all(viewer.done() for viewer in saving):
            for path in READS:
                asked = time.monotonic()
                answer = house.request(
                    "GET", path.format(image=house.images[SAVERS], client=f"looker-{len(answers)}")
                )
                reads[path] = max(reads[path], time.monotonic() - asked)
                answers.append(f"{answer.status_code} {path}")
    return [seconds for viewer in saving for seconds in viewer.result()], reads, answers


def _saves(house: House, image: str) -> list[float]:
    seconds = []
    for _ in range(SAVES):
        began = time.monotonic()
        house.put_label(image).raise_for_status()
        seconds.append(time.monotonic() - began)
    return seconds
