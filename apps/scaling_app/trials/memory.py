"""The RAM that a training may take, as people say it: half of it for cases, the other half for a step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from scaling_app.words import number_within

GIB = 2**30
LEAST_GB, MOST_GB = 0.25, 4096
"""Bounds of what may be allowed, GiB."""
_USUAL_GB = 4.0
_GPU_SHARE, _STEP_SHARE = 0.8, 0.5


class NoRoomError(ValueError):
    """Not even the smallest step of a plan's network fits the memory allowed; `ram_bytes`, of a training, would do.

    None on a GPU, whose memory is what it is.
    """

    def __init__(self, said: str, ram_bytes: int | None = None) -> None:
        super().__init__(said)  # what a run on another process ended with is made again of these words alone
        self.ram_bytes = ram_bytes


def parse_memory(text: str) -> float:
    """The GiB of RAM that a training may take.

    Raises:
        ValueError: no number, or out of range.
    """
    memory = number_within(text, LEAST_GB, MOST_GB)
    if memory is None:
        raise ValueError(f"a number between {LEAST_GB:g} and {MOST_GB:g} is wanted")
    return memory


def bytes_of(memory_gb: float) -> int:
    """The same in bytes."""
    return int(memory_gb * GIB)


def bytes_for_cases(memory_gb: float, at_once: int = 1) -> int:
    """What the prepared cases of one of so many trainings on a machine may take: all share half of it."""
    return int(memory_gb * GIB * (1 - _STEP_SHARE)) // at_once


def step_bytes(ram_bytes: int = bytes_of(_USUAL_GB)) -> int:
    """What a training step may take: most of the GPU's memory, or half of the RAM that the training may take.

    Whatever is free at the moment, so that plans at any time agree.
    """
    import torch

    if torch.cuda.is_available():
        return int(_GPU_SHARE * torch.cuda.mem_get_info()[1])
    return int(_STEP_SHARE * ram_bytes)


def ram_of_step(needed: int) -> int:
    """The RAM of a training of whose steps each takes so many bytes."""
    return math.ceil(needed / _STEP_SHARE)


@contextmanager
def saying_what_would_do(option: str) -> Iterator[None]:
    """Adds to the refusal of a plan for want of memory the option of this name, and the GiB that would do.

    Raises:
        NoRoomError: the refusal. On a GPU, whose memory no option changes, as it was.
    """
    try:
        yield
    except NoRoomError as error:
        if error.ram_bytes is None:
            raise
        enough = math.ceil(100 * error.ram_bytes / GIB) / 100
        said = (
            f"{option} {enough:g} would do" if enough <= MOST_GB else f"not even {option} {MOST_GB} would do"
        )
        raise NoRoomError(f"{error}; {said}", error.ram_bytes) from error
