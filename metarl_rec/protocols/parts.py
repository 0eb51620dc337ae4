"""Finished parts of a long protocol, kept as files: a stopped run goes on after them, several processes share them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from metarl_rec import dataset_store
from metarl_rec.config import RunConfig
from metarl_rec.protocols.result import Watch
from metarl_rec.provenance import sources
from metarl_rec.workspace import Workspace

__all__ = ["Part", "kept_parts", "kept_splits"]

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a protocol that is made by itself.

    Attributes:
        name: beginning of its file's name.
        note: says what is being made.
        asked: everything that decides it beside the code, as JSON takes it.
        make: makes it.
    """

    name: str
    note: str
    asked: object
    make: Callable[[], dict[str, Any]]


def kept_parts(directory: Path, parts: Sequence[Part], watch: Watch) -> list[dict[str, Any]]:
    """Returns all parts, as JSON gives them back: read where made before from the same, made and kept otherwise.

    Processes with the same directory share the work: each makes what no other is making, and all wait for the last.

    Args:
        directory: where the parts lie; created where it does not exist.
        parts: what is wanted.
        watch: told of progress.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # Other code may play otherwise: its parts do not count. Reports may read otherwise.
    code = sources(reports=False)
    paths = [directory / f"{part.name}-{_digest(code, part.asked)}.json" for part in parts]

    def tell(note: str) -> None:
        watch(note, sum(path.exists() for path in paths), len(paths))

    wanted = dict(zip(paths, parts, strict=True))
    while left := [path for path in wanted if not path.exists()]:
        there = [_is_there(path, wanted[path], tell) for path in left]
        if not any(there):
            tell("wait for another process")
            time.sleep(_POLL_SECONDS)
    tell("report")
    # Parts that were just made are read, too: a later call finds the same, down to what JSON makes of it.
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _digest(*decided: object) -> str:
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:20]


def _is_there(path: Path, part: Part, tell: Callable[[str], None]) -> bool:
    """Returns whether the part is on disk, made now if need be; false where another process is making it."""
    with _claimed(path.with_suffix(".lock")) as mine:
        # Another may have finished it between the look and the lock.
        if mine and not path.exists():
            tell(part.note)
            unfinished = path.with_suffix(".partial")
            unfinished.write_text(json.dumps(part.make()) + "\n", encoding="utf-8")
            unfinished.replace(path)
        return mine


@contextmanager
def _claimed(lock: Path) -> Iterator[bool]:
    """Tells whether the lock is this process's until the block ends; it goes with the process, however that ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        # Only where nothing failed: whoever opened the removed file before finds the part made once they have its lock.
        lock.unlink(missing_ok=True)


def kept_splits(
    protocol: str,
    workspace: Workspace,
    run: RunConfig,
    splits: int,
    asked: list[Any],
    make: Callable[[RunConfig], dict[str, Any]],
    watch: Watch,
) -> list[dict[str, Any]]:
    """Returns one part for each of splits 0 .. splits - 1, made or read again.

    Args:
        protocol: names the directory that they lie in.
        workspace: whose data set decides them, too.
        run: settings; the seed is the split's number.
        splits: how many.
        asked: what else decides a part.
        make: makes a part from its split's settings.
        watch: told of progress.
    """
    data = dataset_store.load(workspace.dataset).digest
    parts = []
    for split in range(splits):
        config = run.model_copy(update={"seed": split})
        decided = [data, config.model_dump(mode="json"), *asked]
        parts.append(Part(str(split), f"split {split}", decided, partial(make, config)))
    return kept_parts(workspace.evaluation / protocol / "parts", parts, watch)
