"""Real drift, small: what the data must hold is said before anything is played."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store
from metarl_rec.errors import DataError
from metarl_rec.protocols import real_drift
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset


def test_run_nobody_with_more_ratings_than_asked_for_is_refused_with_the_remedy(tmp_path: Path) -> None:
    dataset = small_dataset()
    dataset = replace(dataset, timestamp=np.arange(len(dataset.rating), dtype=np.float64))
    workspace = Workspace(tmp_path)
    dataset_store.save(dataset, workspace.dataset)
    settings = real_drift.Settings(splits=1, above=80, run=small_config())
    with pytest.raises(DataError, match=r"^split 0 has no user with more than 80 ratings to tune on; lower `above`"):
        real_drift.run(settings, workspace, lambda *_: None)
