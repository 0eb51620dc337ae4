"""Several processes make a protocol's parts, each on its share of the cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from metarl_rec.errors import ConfigError
from metarl_rec.protocols.registry import DIVIDED, run_protocol, settings_of
from metarl_rec.protocols.result import Watch
from metarl_rec.threads import cores
from metarl_rec.workspace import Workspace

__all__ = ["make_parts"]

_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    # A pipe for each: one that is killed ends its own, while a queue's lock would die with it and stop the others.
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    workers = [
        context.Process(target=_work, args=(sender, os.getpid(), name, workspace, list(assignments), seed))
        for _, sender in pipes
    ]
    try:
        with _threads(max(1, cores() // processes)):
            for worker, (_, sender) in zip(workers, pipes, strict=True):
                worker.start()
                sender.close()
        _follow([reader for reader, _ in pipes], watch or (lambda *_: None))
        for worker in workers:
            worker.join()
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


def _follow(readers: list[Connection], watch: Watch) -> None:
    while readers:
        ready = wait(readers)
        for reader in [each for each in readers if each in ready]:
            try:
                watch(*reader.recv())
            except EOFError:
                readers.remove(reader)


class _EndError(Exception):
    """Ends a worker: nothing is left to make, or nobody to make it for."""


def _work(
    sender: Connection, parent: int, name: str, workspace: Workspace, assignments: list[str], seed: int | None
) -> None:
    def watch(note: str, done: int, total: int) -> None:
        orphaned = os.getppid() != parent
        if not orphaned:
            sender.send((note, done, total))
        # The parent reports what is made, and nobody would want what an orphan makes.
        if orphaned or done == total:
            raise _EndError

    try:
        run_protocol(name, workspace, assignments, seed, watch)
    except (_EndError, KeyboardInterrupt):
        return
    except Exception:  # noqa: BLE001 - the parent comes to the same error and tells it once
        raise SystemExit(1) from None
