"""Inputs tried in processes that may die or hang: each such end is counted, and the next process goes on behind it."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable

SECONDS_EACH = 20
MEMORY_BYTES = 2 << 30
BATCH = 500

Try = Callable[[int], str]
"""What came of the input of this number: `read` or `refused`; any exception is an error."""


def try_inputs(attempt: Try, numbers: range, until: float) -> tuple[Counter[str], list[str], int]:
    """Tries inputs by number.

    Args:
        until: monotonic time at which no further batch begins.

    Returns:
        How many ended how, what the bad ones were, and how many were tried.
    """
    counts: Counter[str] = Counter()
    bad: list[str] = []
    at = numbers.start
    while at < numbers.stop and time.monotonic() < until:
        stop = min(at + BATCH, numbers.stop)
        said = _in_child(attempt, range(at, stop))
        for number, how, words in said:
            counts[how] += 1
            if how not in ("read", "refused"):
                bad.append(f"{number}: {how} {words}")
        at += len(said)
    return counts, bad, at - numbers.start


def _in_child(attempt: Try, numbers: range) -> list[tuple[int, str, str]]:
    """What came of the inputs up to the one that ended the process, that one included."""
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(out)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the libraries say of each damaged file
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            grown = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115, PTH123
            resource.setrlimit(resource.RLIMIT_AS, (grown + MEMORY_BYTES, hard))
            with os.fdopen(back, "wb", buffering=0) as sink:
                for number in numbers:
                    signal.alarm(SECONDS_EACH)
                    sink.write(pickle.dumps((number, *_tried(attempt, number))))
        finally:
            os._exit(0)
    os.close(back)
    said = []
    with os.fdopen(out, "rb") as source:
        while True:
            try:
                said.append(pickle.load(source))
            except EOFError:
                break
    _, status = os.waitpid(child, 0)
    if len(said) < len(numbers):
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        how = "hung" if ended == signal.SIGALRM else "crashed"
        said.append((numbers[len(said)], how, f"signal {ended}"))
    return said


def _tried(attempt: Try, number: int) -> tuple[str, str]:
    try:
        return attempt(number), ""
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"[:300]
