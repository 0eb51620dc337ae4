"""Finished parts of a long protocol, kept as files: a run that was stopped goes on after them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from metarl_rec import dataset_store
from metarl_rec.config import RunConfig
from metarl_rec.protocols.result import Watch
from metarl_rec.provenance import sources
from metarl_rec.workspace import Workspace

__all__ = ["kept", "kept_splits"]


def kept(directory: Path, name: str, asked: object, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns a part as JSON gives it back: read where it was made before from the same, made and written otherwise.

    Args:
        directory: where the parts lie; created where it does not exist.
        name: beginning of the file's name.
        asked: everything that decides the part beside the code, as JSON takes it.
        make: makes the part.
    """
    # Other code may play otherwise: its parts do not count. Reports may read otherwise.
    digest = hashlib.sha256(json.dumps([sources(reports=False), asked]).encode()).hexdigest()[:20]
    path = directory / f"{name}-{digest}.json"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(make()) + "\n", encoding="utf-8")
        partial.replace(path)
    # A part that was just made is read, too: a later call finds the same, down to what JSON makes of it.
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


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
    parts = workspace.evaluation / protocol / "parts"
    digest = dataset_store.load(workspace.dataset).digest
    played = []
    for split in range(splits):
        watch(f"split {split}", split, splits)
        config = run.model_copy(update={"seed": split})
        played.append(kept(parts, str(split), [digest, config.model_dump(mode="json"), *asked], partial(make, config)))
    watch("report", splits, splits)
    return played
