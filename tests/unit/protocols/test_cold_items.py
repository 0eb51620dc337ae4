"""Cold items, small: held-out items have no part in anything, and their rates are those of what was shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store
from metarl_rec.errors import DataError
from metarl_rec.protocols import cold_items
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset


def test_run_compares_everybody_on_the_same_held_out_items(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = cold_items.Settings(splits=1, steps=5, shown=3, run=small_config())
    result = cold_items.run(settings, workspace, lambda *_: None)
    (part,) = result.raw["splits"]
    assert part["items"] == len(small_dataset().item_ids) // 10
    assert {len(rates) for rates in part["rates"].values()} == {len(part["users"])}
    shown = np.array(part["rates"]["adapted"]) * 3
    np.testing.assert_allclose(shown, shown.round(), atol=1e-5)
    assert cold_items.run(settings, workspace, lambda *_: None).raw == result.raw


def test_rate_of_the_answers_themselves_is_that_of_the_best_items() -> None:
    rewards = np.array([[0, 1, 1, 0], [1, 0, 0, 0]], np.uint8)
    np.testing.assert_allclose(cold_items._rate(rewards.astype(float), rewards, 2), [1.0, 0.5])


@pytest.mark.parametrize("cold", [0.0, 0.9])
def test_settings_hold_out_some_items_but_not_nearly_all(cold: float) -> None:
    with pytest.raises(ValueError, match="cold"):
        cold_items.Settings(cold=cold)


@pytest.mark.parametrize(("cold", "left"), [(0.01, 0), (0.1, 8)])
def test_run_fewer_cold_items_than_are_shown_is_refused(tmp_path: Path, cold: float, left: int) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = cold_items.Settings(splits=1, cold=cold, shown=10, run=small_config())
    with pytest.raises(DataError, match=f"of 80 items leaves {left} cold ones, fewer than shown=10; raise `cold`"):
        cold_items.run(settings, workspace, lambda *_: None)
