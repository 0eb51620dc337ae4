"""Cold items, small: held-out items have no part in anything, and their rates are those of what was shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store
from metarl_rec.config import TrainConfig
from metarl_rec.errors import DataError
from metarl_rec.protocols import cold_items
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

RUN = small_config().model_copy(update={"train": TrainConfig(folds=3)})


def test_run_compares_everybody_on_the_same_held_out_items(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = cold_items.Settings(splits=1, steps=5, shown=3, run=RUN)
    result = cold_items.run(settings, workspace, lambda *_: None)
    (part,) = result.raw["splits"]
    assert part["items"] == len(small_dataset().item_ids) // 10
    assert {len(rates) for rates in part["rates"].values()} == {len(part["users"])}
    shown = np.array(part["rates"]["adapted"]) * 3
    np.testing.assert_allclose(shown, shown.round(), atol=1e-5)
    assert cold_items.run(settings, workspace, lambda *_: None).raw == result.raw
    by_step = np.array(part["by step"])
    assert by_step.shape == (len(part["users"]), 6)
    for step, name in ((0, cold_items.UNADAPTED), (-1, cold_items.OURS)):
        np.testing.assert_array_equal(by_step[:, step], part["rates"][name])
    (panel,) = result.panels
    gap = by_step[:, 3] - part["rates"][cold_items.SAME]
    curve = next(curve for curve in panel.curves if curve.label == cold_items.SAME)
    assert curve.y[3] == pytest.approx(gap.mean())
    worse = np.less(part["rates"][cold_items.OURS], part["rates"][cold_items.UNADAPTED]).mean()
    assert any(f"{cold_items.UNADAPTED}: " in line and f"{100 * worse:.1f} % of" in line for line in result.verdict)


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
    settings = cold_items.Settings(splits=1, cold=cold, shown=10, run=RUN)
    with pytest.raises(DataError, match=f"of 80 items leaves {left} cold ones, fewer than shown=10; raise `cold`"):
        cold_items.run(settings, workspace, lambda *_: None)


def test_run_more_steps_than_items_are_left_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = cold_items.Settings(splits=1, steps=73, shown=3, run=RUN)
    with pytest.raises(DataError, match="of 80 items leaves 72 others, fewer than steps=73; lower `steps` or `cold`"):
        cold_items.run(settings, workspace, lambda *_: None)
