"""Several processes make a protocol's parts, each on its share of the cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from queue import Empty

from metarl_rec.errors import ConfigError
from metarl_rec.protocols.registry import DIVIDED, run_protocol, settings_of
from metarl_rec.protocols.result import Watch
from metarl_rec.workspace import Workspace

__all__ = ["make_parts"]

_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_POLL_SECONDS = 0.2

_Told = tuple[str, int, int]


def make_parts(
    processes: int,
    name: str,
    workspace: Workspace,
    assignments: Sequence[str] = (),
    seed: int | None = None,
    watch: Watch | None = None,
) -> list[int]:
    """Makes a protocol's parts in new processes; what `run_protocol` is asked for next finds them made.

    A process that fails leaves its part to the others, and at last to `run_protocol`, which says what is wrong with it.

    Args:
        processes: how many; each has as many threads as there are cores for each, unless the environment says.
        name: of the protocol.
        workspace: as `run_protocol` takes it.
        assignments: as `run_protocol` takes them.
        seed: as `run_protocol` takes it.
        watch: told of progress.

    Returns:
        Exit codes of processes that failed; -9 is one that was killed, for example because memory ran out.

    Raises:
        ConfigError: no such protocol or setting, or one that is not made of parts.
    """
    settings_of(name, assignments, seed)
    if name not in DIVIDED:
        raise ConfigError(f"protocol {name} is not made of parts that processes share; leave --processes out")
    context = get_context("spawn")
    told: Queue[_Told] = context.Queue()
    workers = [
        context.Process(target=_work, args=(told, os.getpid(), name, workspace, list(assignments), seed))
        for _ in range(processes)
    ]
    try:
        with _threads(max(1, len(os.sched_getaffinity(0)) // processes)):
            for worker in workers:
                worker.start()
        _follow(workers, told, watch or (lambda *_: None))
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
    return [worker.exitcode for worker in workers if worker.exitcode]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Has processes that start meanwhile begin with so many threads: libraries read it once, when they are loaded."""
    ours = {name: str(count) for name in _THREADS if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def _follow(workers: Sequence[SpawnProcess], told: Queue[_Told], watch: Watch) -> None:
    while any(worker.is_alive() for worker in workers):
        try:
            watch(*told.get(timeout=_POLL_SECONDS))
        except Empty:
            continue


class _AllMadeError(Exception):
    """Ends a worker: nothing is left to make."""


def _work(
    told: Queue[_Told], parent: int, name: str, workspace: Workspace, assignments: list[str], seed: int | None
) -> None:
    def watch(note: str, done: int, total: int) -> None:
        told.put((note, done, total))
        # Nobody would want what an orphan makes; the parent reports what is made.
        if done == total or os.getppid() != parent:
            raise _AllMadeError

    try:
        run_protocol(name, workspace, assignments, seed, watch)
    except (_AllMadeError, KeyboardInterrupt):
        return
    except Exception:  # noqa: BLE001 - the parent comes to the same error and tells it once
        raise SystemExit(1) from None
