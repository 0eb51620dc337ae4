"""Finished parts of a long protocol, kept as files: a run that was stopped goes on after them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["kept"]


def kept(directory: Path, name: str, asked: object, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns a part as JSON gives it back: read where it was made before from the same, made and written otherwise.

    Args:
        directory: where the parts lie; created where it does not exist.
        name: beginning of the file's name.
        asked: everything that decides the part, as JSON takes it.
        make: makes the part.
    """
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:20]
    path = directory / f"{name}-{digest}.json"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(make()) + "\n", encoding="utf-8")
        partial.replace(path)
    # A part that was just made is read, too: a later call finds the same, down to what JSON makes of it.
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
