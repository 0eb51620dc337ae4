"""Where a figure came from: the code, and the machine that it ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl_rec import __version__

__all__ = ["code", "machine"]


@cache
def _commit() -> str | None:
    """Returns the commit where the code lies in a checkout, marked where files differ from it."""
    described = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def code() -> str:
    """Returns version and commit of the code that runs."""
    return f"{__version__} {_commit()}"


def machine() -> dict[str, Any]:
    """Returns processor, versions, and the commit where the code lies in a checkout."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "commit": _commit(),
    }
