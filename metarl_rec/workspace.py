"""Where the offline stages read and write: one directory, one place for every name in it.

ROOT/
  dataset/      interactions and attributes      (import)
  embedding/    item embeddings                  (embed)
  training/     state for --resume               (train)
  checkpoint/   the meta-policy that serves      (train)
  evaluation/   evaluation.json, curve.png       (evaluate)
  tuning/       journal.jsonl, best.toml         (tune)
  simulation/   simulation.json, plots           (simulate)
  calibration/  calibration.json, plots          (calibrate)
  service/      Redis data and lock of a service (serve)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl_rec import __version__

__all__ = ["Workspace", "stamp_matches", "write_stamp"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths below one root.

    Attributes:
        root: the directory; created by the first stage that writes.
    """

    root: Path

    @property
    def dataset(self) -> Path:
        """Directory of the imported data set."""
        return self.root / "dataset"

    @property
    def embedding_file(self) -> Path:
        """The item embeddings; what they were trained on lies beside them as JSON."""
        return self.root / "embedding" / "items.safetensors"

    @property
    def training(self) -> Path:
        """Directory of the resumable training state."""
        return self.root / "training"

    @property
    def checkpoint(self) -> Path:
        """Directory of the checkpoint."""
        return self.root / "checkpoint"

    @property
    def evaluation(self) -> Path:
        """Directory of the evaluation report."""
        return self.root / "evaluation"

    @property
    def report(self) -> Path:
        """The evaluation's JSON."""
        return self.evaluation / "evaluation.json"

    @property
    def tuning(self) -> Path:
        """Directory of the search for settings."""
        return self.root / "tuning"

    @property
    def simulation(self) -> Path:
        """Directory of simulation reports."""
        return self.root / "simulation"

    @property
    def calibration(self) -> Path:
        """Directory of the calibration report."""
        return self.root / "calibration"

    @property
    def service(self) -> Path:
        """Data directory of the service."""
        return self.root / "service"

    @property
    def stamp(self) -> Path:
        """What the last complete quickstart was made from."""
        return self.root / "quickstart.json"


def _stamp(config_json: str) -> dict[str, Any]:
    return {"release": __version__, "config_sha256": hashlib.sha256(config_json.encode()).hexdigest()}


def stamp_matches(workspace: Workspace, config_json: str) -> bool:
    """Returns whether a complete quickstart of this release with this configuration lies in the workspace."""
    try:
        found = json.loads(workspace.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == _stamp(config_json))


def write_stamp(workspace: Workspace, config_json: str) -> None:
    """Notes that every stage is complete."""
    workspace.stamp.write_text(json.dumps(_stamp(config_json)) + "\n", encoding="utf-8")
