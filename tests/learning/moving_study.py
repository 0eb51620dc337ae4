"""What studies in the drift protocol's worlds have in common: their options, and what they write."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metarl_rec.provenance import machine
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace


def study(
    description: str | None,
    worlds: Sequence[str],
    played: Callable[[Workspace, str, int, int], dict[str, Any]],
    *,
    splits: int,
    users: int,
) -> list[dict[str, Any]]:
    """Plays every world and split that the command line asks for, writes the parts to `--out` and returns them.

    Args:
        description: what `--help` says.
        worlds: names of drift_worlds.WORLDS.
        played: plays one part: work directory, world, split, number of users.
        splits: how many by default.
        users: how many by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, default=Path("metarl-data"), help="workspace with an imported data set")
    parser.add_argument("--splits", type=int, default=splits)
    parser.add_argument("--users", type=int, default=users)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    share_cores()
    parts = [
        played(Workspace(asked.workdir), world, split, asked.users) for world in worlds for split in range(asked.splits)
    ]
    report = {"machine": machine(), "settings": {"splits": asked.splits, "users": asked.users}, "parts": parts}
    asked.out.write_text(json.dumps(report) + "\n", encoding="utf-8")
    return parts
