"""What was loaded before the first request is not looked through between two others, and threads take short turns."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import time
from collections.abc import Callable

from scaling_app.web.undisturbed import TURN_SECONDS, answer_promptly, hasten_start


def in_a_fork(check: Callable[[], bool]) -> bool:
    """What a process of its own finds: the tests' own is to stay as it is."""
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if check() else 1))
    process.start()
    process.join()
    return process.exitcode == 0


def seconds_of_a_collection() -> float:
    """Of the processor."""
    began = time.process_time()
    gc.collect()
    return time.process_time() - began


def test_a_collection_passes_over_what_was_there_when_the_server_was_up() -> None:
    def passes_over() -> bool:
        loaded = [[number] for number in range(300_000)]
        before = min(seconds_of_a_collection() for _ in range(3))
        answer_promptly()
        return min(seconds_of_a_collection() for _ in range(3)) < before / 10 and len(loaded) > 0

    assert in_a_fork(passes_over)


def test_nothing_is_collected_while_a_server_starts_and_garbage_is_once_it_is_up() -> None:
    def as_said() -> bool:
        hasten_start()
        while_starting = gc.isenabled()
        answer_promptly()
        return not while_starting and gc.isenabled()

    assert in_a_fork(as_said)


def test_threads_take_short_turns_once_a_server_is_up() -> None:
    def short() -> bool:
        answer_promptly()
        return abs(sys.getswitchinterval() - TURN_SECONDS) < 1e-6

    assert in_a_fork(short)
