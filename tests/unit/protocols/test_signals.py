"""Signals, small: what is told counts, what is not told does not, and told items are shown to nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.config import TrainConfig
from metarl_rec.dataset import Dataset, split_users
from metarl_rec.errors import DataError
from metarl_rec.inner_params import InnerParams
from metarl_rec.partial_feedback import ClicksOnly, Warmed
from metarl_rec.policies import Feedback, View
from metarl_rec.protocols import signals
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

RUN = small_config().model_copy(update={"train": TrainConfig(folds=3)})
FEATURES = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
PARTS = (FEATURES, np.full(12, 0.2, np.float32), np.zeros((2, 3), np.float32), InnerParams(policy_coef=0.0))
VIEW = View.of(np.ones((2, 12), bool))


def test_run_reports_every_kind_and_nothing_told_is_the_plain_policy(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = signals.Settings(splits=1, slate_sizes=(5,), shown=10, steps=6, run=RUN)
    result = signals.run(settings, workspace, lambda *_: None)
    (part,) = result.raw["splits"]
    assert np.array(part["answers"]["5"][signals.CLICKS]).shape == (len(part["users"]), 2)
    assert set(part["warm-up"]) == {"0", "5", "10", "20"}
    assert np.array(part["warm-up"]["20"]).shape == (len(part["users"]), 6)
    assert signals.run(settings, workspace, lambda *_: None).raw == result.raw


def with_few_ratings(dataset: Dataset, users: int) -> Dataset:
    """Returns the data set with the first 15 ratings alone of so many users."""
    first = np.searchsorted(dataset.user_index, dataset.user_index)
    kept = (dataset.user_index >= users) | (np.arange(len(first)) - first < 15)
    parts = {name: getattr(dataset, name)[kept] for name in ("user_index", "item_index", "rating")}
    return replace(dataset, **parts)


def test_run_leaves_out_who_has_fewer_ratings_than_are_told(tmp_path: Path) -> None:
    workspace, dataset = Workspace(tmp_path), with_few_ratings(small_dataset(), 100)
    dataset_store.save(dataset, workspace.dataset)
    run = RUN.model_copy(update={"min_positives": 0})
    settings = signals.Settings(splits=1, slate_sizes=(5,), shown=10, steps=6, run=run)
    result = signals.run(settings, workspace, lambda *_: None)
    (part,) = result.raw["splits"]
    counts = np.bincount(dataset.user_index)
    test = split_users(len(counts), 0).test
    assert part["users"] == [dataset.user_ids[user] for user in test if counts[user] >= 20]
    assert 0 < len(part["users"]) < len(test)
    assert np.array(part["answers"]["5"][signals.CLICKS]).shape == (len(part["users"]), 2)
    assert "with at least 20 ratings" in result.tested[0]
    assert "those with fewer are left out" in result.tested[0]


@pytest.mark.parametrize(
    ("few", "changes", "words"),
    [
        (300, {}, "no test user of split 0 has 20 ratings to be told beforehand; raise run.min_ratings to 20"),
        (0, {"steps": 61}, "80 items are too few for steps, 81 are needed"),
        (0, {"shown": 85}, "80 items are too few for shown, 85 are needed; lower it or import more"),
    ],
)
def test_run_data_that_cannot_be_told_or_shown_are_refused(
    tmp_path: Path, few: int, changes: dict[str, object], words: str
) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(with_few_ratings(small_dataset(), few), workspace.dataset)
    run = RUN.model_copy(update={"min_positives": 0})
    given = {"splits": 1, "slate_sizes": (5,), "shown": 10, "steps": 6, "run": run, **changes}
    with pytest.raises(DataError, match=words):
        signals.run(signals.Settings.model_validate(given), workspace, lambda *_: None)


def test_settings_shown_that_is_no_whole_number_of_slates_is_refused() -> None:
    with pytest.raises(
        ValueError, match="slate_sizes has 7, and shown=100 items are no whole number of such slates; set"
    ):
        signals.Settings(slate_sizes=(5, 7))
    assert signals.Settings(slate_sizes=(5, 7), shown=70).shown == 70


def test_clicks_only_ignores_what_got_no_reward() -> None:
    weights = []
    for kind in (ClicksOnly, AdaptedPolicy):
        policy = kind(*PARTS)
        policy.begin(np.random.default_rng(1))
        policy.act(VIEW)
        policy.observe(Feedback.at_once(0, np.array([[1.0], [0.0]], np.float32)))
        weights.append(policy.weights.copy())
    clicks, everything = weights
    np.testing.assert_allclose(clicks[0], everything[0])
    np.testing.assert_array_equal(clicks[1], 0)
    assert np.abs(everything[1]).max() > 0


def test_warmed_equals_a_policy_that_was_shown_the_same_and_never_shows_it() -> None:
    told, rewards = np.array([[3, 7], [1, 2]], np.int32), np.array([[1, 0], [1, 1]], np.float32)
    closed = np.zeros((2, 12), bool)
    np.put_along_axis(closed, told.astype(np.int64), True, axis=1)
    warmed = Warmed(told, rewards, closed, *PARTS)
    warmed.begin(np.random.default_rng(1))
    shown = [warmed.act(VIEW).items[:, 0]]
    after_history = warmed.weights.copy()
    warmed.observe(Feedback.at_once(0, np.ones((2, 1), np.float32)))
    shown.append(warmed.act(VIEW).items[:, 0])
    assert not (np.array(shown).T[:, :, None] == told[:, None, :]).any()
    plain = AdaptedPolicy(*PARTS)
    plain.begin(np.random.default_rng(1))
    plain.act(VIEW)
    assert plain.history is not None
    plain.history.shown, plain.history.rewards = told, rewards
    for name in ("log_propensities", "weight", "known", "usable", "arrived", "sessions"):
        row = getattr(plain.history, name)
        setattr(plain.history, name, np.repeat(row, 2, axis=1))
    plain.history.known[:] = True
    plain.history.weight[:] = 0.4
    plain._adapt(plain.history)
    np.testing.assert_allclose(after_history, plain.weights, rtol=1e-5)
    assert warmed.history is not None
    np.testing.assert_array_equal(warmed.history.known, [[True, True, True, False]] * 2)
