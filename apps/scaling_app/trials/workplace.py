"""Where runs are carried out: on this machine, or by the workers of a Dask cluster.

Either is an `Executor` of `concurrent.futures` with as many places as it can work at. Trainings use the seeds and
threads of their whole process, so a process carries out one at a time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from threading import Thread
from typing import TYPE_CHECKING, Any

from scaling_app.trials.wire import WorkerError

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from distributed import Client

ANSWER_SECONDS = 20
"""A scheduler that has not answered for so long is gone."""

WORKER_SECONDS = 300.0
"""How long a cluster may be without a worker: a queue of batch jobs needs its time."""

_ASK_EVERY = 5.0


class ClusterError(ValueError):
    """A cluster that cannot be used; the sentence says why."""


FAULTS = (ClusterError, WorkerError, BrokenExecutor, CancelledError, ImportError)
"""What a run on other processes ends with when not the run is to blame, but the machines."""


@dataclass(frozen=True)
class Workplace:
    """Where runs are carried out.

    Attributes:
        name: for people: `here`, or `on the cluster ADDRESS`.
        places: how many runs it takes at once, at the moment; raises `ClusterError` where it is gone.
        on_one_machine: how many of these one machine takes, and its RAM is for.
        is_cluster: whether other machines work there.
        shared: whether runs are in processes of their own, and several use the prepared cases at the same time.
    """

    executor: Executor
    name: str
    places: Callable[[], int]
    on_one_machine: Callable[[], int]
    is_cluster: bool
    shared: bool


AnyPlace = AbstractContextManager[Workplace]


class AtOnce(Executor):
    """Carries out what is submitted at once, in the very thread that submits it; a Ctrl-C reaches it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of a call that has ended."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def here(workers: int | None = None) -> Iterator[Workplace]:
    """This machine: one run at a time in this very process, or several processes.

    Args:
        workers: processes; None: as many as there are GPUs.
    """
    count = places_here(workers)
    if count == 1:
        yield Workplace(AtOnce(), "here", lambda: 1, lambda: 1, is_cluster=False, shared=False)
        return
    gpus = _gpus()
    context = multiprocessing.get_context("spawn")  # a forked torch may hang: its threads are not copied
    cards: Queue[str] = context.Queue()
    for card in _visible(gpus):
        cards.put(card)
    settle = partial(_settle_in, cards if gpus else None, count)
    with ProcessPoolExecutor(count, mp_context=context, initializer=settle) as processes:
        yield Workplace(processes, "here", lambda: count, lambda: count, is_cluster=False, shared=True)


def places_here(workers: int | None) -> int:
    """How many runs `here(workers)` takes: no more than there are GPUs where there are any, as each has one for itself."""
    if workers is not None and workers <= 1:
        return 1
    gpus = _gpus()
    return max(1, gpus if workers is None else min(workers, gpus or workers))


@contextmanager
def cluster(address: str) -> Iterator[Workplace]:
    """The workers of an existing Dask cluster, one run each; with GPU resources, one run a GPU.

    Raises:
        ClusterError: Dask is not installed, or no scheduler answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("a scheduler needs Dask: pip install 'scaling-app[cluster]'") from error
    try:
        # a client waits for ever for what listens and says nothing
        asyncio.run(asyncio.wait_for(_greeted(address), ANSWER_SECONDS))
        client = Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except Exception as error:  # what another version or another program answers is not bounded
        raise ClusterError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}): start it, or correct the address"
        ) from error
    try:
        workers = _Workers(client, address)
        wanted = {"resources": {"GPU": 1}} if workers.have_gpus() else {}
        executor = client.get_executor(pure=False, **wanted)
        name = f"on the cluster {address}"
        yield Workplace(executor, name, workers.places, workers.on_one_machine, is_cluster=True, shared=True)
    finally:
        with suppress(Exception):  # it may be gone
            client.close(timeout=2)


async def _greeted(address: str) -> None:
    """Asks who is there, and ends when somebody answers as a scheduler does."""
    from distributed import Security, rpc

    async with rpc(address, connection_args=Security().get_connection_args("client")) as scheduler:
        await scheduler.identity()


class _Workers:
    """How many runs the workers of a cluster take; asked now and then."""

    def __init__(self, client: Client, address: str) -> None:
        self._client: Any = client  # its scheduler is None once it has closed itself
        self._address = address
        self._asked = -_ASK_EVERY
        self._known: list[dict[str, Any]] = []
        self._seen_at = time.monotonic()

    def have_gpus(self) -> bool:
        return any(_gpus_of(worker) for worker in self._now())

    def places(self) -> int:
        workers = self._now()
        if workers:
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > WORKER_SECONDS:
            raise ClusterError(
                f"the cluster {self._address} has had no worker for {WORKER_SECONDS / 60:.0f} minutes"
            )
        return _places_of(workers)

    def on_one_machine(self) -> int:
        """Of the machine that takes the most, as of when it was last asked."""
        machines = defaultdict(list)
        for worker in self._known:
            machines[worker.get("host")].append(worker)
        return max(map(_places_of, machines.values()), default=1)

    def _now(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._asked > _ASK_EVERY:
            try:
                if (scheduler := self._client.scheduler) is None:
                    raise ConnectionError("the client was closed")
                told = self._client.sync(scheduler.identity, callback_timeout=ANSWER_SECONDS)
            except Exception as error:
                raise ClusterError(f"the Dask scheduler at {self._address} answers no more") from error
            self._known = list(told["workers"].values())
            self._asked = time.monotonic()
        return self._known


def _places_of(workers: Sequence[dict[str, Any]]) -> int:
    gpus = sum(_gpus_of(worker) for worker in workers)
    return max(1, gpus or len(workers))  # a cluster that grows with its work has none before


def _gpus_of(worker: dict[str, Any]) -> int:
    return int(worker.get("resources", {}).get("GPU", 0))


def _end_with_parent() -> None:
    """Waits until the parent is gone: a killed one tells nobody, and its workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _visible(gpus: int) -> list[str]:
    """What names the GPUs that this process may use."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return told[:gpus] if len(told) >= gpus else [str(card) for card in range(gpus)]


def _settle_in(cards: Queue[str] | None, count: int) -> None:
    """A new process ends with the one that it works for, and takes its GPU and its share of the processors."""
    Thread(target=_end_with_parent, daemon=True).start()
    if cards is None:
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = cards.get()  # before torch looks for GPUs
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // count))
