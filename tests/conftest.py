"""What holds for the tests of every room: one thread a process, and slow tests first."""

from __future__ import annotations

import gc
import os

import pytest

# Before torch is imported. Small tensors are slower on several threads, most of all beside other work; what a
# test computes does not depend on their number. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `slow_...` is `slow` too. Files with such tests come first: workers then end together."""
    files = set()
    for item in items:
        if any(mark.name.startswith("slow_") for mark in item.iter_markers()):
            item.add_marker("slow")
            files.add(item.path)
    items.sort(key=lambda item: item.path not in files)


def pytest_collection_finish() -> None:
    """What was imported stays: collections need not look through it again."""
    gc.collect()
    gc.freeze()
