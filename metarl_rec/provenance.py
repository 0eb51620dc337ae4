"""Where a figure came from: the code, and the machine that it ran on."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["machine", "sources"]

_ROOT = Path(__file__).resolve().parents[1]


_REPORTING = frozenset(
    f"metarl_rec/protocols/{name}.py"
    for name in ("cold_start_report", "drift_report", "limits", "moving", "result", "writing")
)
"""What says how a report reads, and decides nothing that is played."""


@cache
def sources(root: Path = _ROOT, *, reports: bool = True) -> str:
    """Returns the SHA-256 of all Python files of metarl_rec and simulator below `root`, as they were when first asked.

    A commit does not tell one uncommitted edit from the next, and changes where no code did.

    Args:
        root: top of the checkout.
        reports: whether modules count that decide no more than how reports read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for package in ("metarl_rec", "simulator") for path in (root / package).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if reports or name not in _REPORTING:
            digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def _commit(root: Path = _ROOT) -> str:
    """Returns the commit of the checkout whose top is `root`, marked where files differ from it, or "unknown"."""
    # A virtual environment may lie in somebody else's checkout: that commit says nothing about this code.
    if (top := _git(root, "rev-parse", "--show-toplevel")) and Path(top).resolve() == root:
        return _git(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or "unknown"
    return "unknown"


def _git(directory: Path, *arguments: str) -> str:
    """Returns what git says in a directory; nothing where it fails or is not installed."""
    try:
        said = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return ""
    return said.strip()


def machine() -> dict[str, Any]:
    """Returns processor, versions, the digest of the code, and its commit, or "unknown" where it is no checkout."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "commit": _commit(),
        "sources": sources(),
    }
