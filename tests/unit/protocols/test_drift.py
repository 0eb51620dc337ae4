"""The protocol of moving worlds, small: what is learned where, parts kept, figures that follow from the rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from metarl_rec import dataset_store
from metarl_rec.protocols import drift
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset


def test_run_learns_forgetting_in_drift_and_fatigue_in_satiation(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = drift.Settings(
        splits=1, worlds=("drift", "satiation"), steps=10, users=30, validation_users=20, iterations=2, train_users=12,
        run=small_config(),
    )  # fmt: skip
    result = drift.run(settings, workspace, lambda *_: None)
    moving, satiated = result.raw["parts"]
    assert moving["inner"]["forgetting"] > 0
    assert moving["inner"]["fatigue"] == [0.0, 0.0, 0.0]
    assert satiated["inner"]["forgetting"] == 0
    assert min(satiated["inner"]["fatigue"]) > 0
    assert len(moving["totals"][drift.OURS]) == 30
    assert set(drift.PARTS) - set(moving["totals"]) == {"adapted, no fatigue"}
    assert set(drift.PARTS) - set(satiated["totals"]) == {"adapted, no forgetting"}
    assert moving["totals"]["adapted, no forgetting"] != moving["totals"][drift.OURS]
    again = drift.run(settings, workspace, lambda *_: None)
    assert again.raw == result.raw
    gap = np.subtract(moving["totals"][drift.OURS], moving["totals"][drift.STATIONARY])
    row = next(row for row in result.tables[0].rows if row[0] == drift.STATIONARY)
    assert row[2].startswith(f"{gap.mean():+.2f}")


def test_config_of_a_world_changes_only_what_the_world_needs() -> None:
    settings = drift.Settings()
    steady = drift.config_of(settings, "abrupt drift", 3)
    assert (steady.seed, steady.inner.discount, steady.train.form) == (3, 0.0, "bandit")
    sessions = drift.config_of(settings, "sessions", 0)
    assert (sessions.inner.discount, sessions.train.form) == (0.9, "session")
    assert sessions.prior == settings.run.prior


def test_settings_refuse_an_unknown_name_of_worlds() -> None:
    with pytest.raises(ValidationError, match="no such world: abrupt-drift; choose from drift, abrupt drift"):
        drift.Settings(worlds=("abrupt-drift",))
