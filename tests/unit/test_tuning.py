"""The search for settings: it starts from the configuration, goes on where it stopped, and writes what train takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store, tuning
from metarl_rec.config import load_config
from metarl_rec.dataset import Dataset
from metarl_rec.errors import ConfigError
from metarl_rec.preparing import prepared
from metarl_rec.tuning import tune, write_settings
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset


def stored(directory: Path, dataset: Dataset) -> Workspace:
    workspace = Workspace(directory)
    dataset_store.save(dataset, workspace.dataset)
    return workspace


def test_tune_stopped_and_called_again_keeps_its_trials_and_never_ends_below_the_start(tmp_path: Path) -> None:
    workspace, told = stored(tmp_path, small_dataset()), []
    first = tune(workspace, small_config(), trials=2, on_trial=lambda *each: told.append(each))
    more = tune(workspace, small_config(), trials=4, on_trial=lambda *each: told.append(each))
    assert more.trials[:2] == first.trials
    assert [done for done, *_ in told] == [1, 2, 3, 4]
    assert more.reward >= more.start == first.trials[0][1]
    assert more.reward == max(reward for _, reward in more.trials)


@pytest.mark.parametrize("finished", [0, 1])
def test_tune_stopped_before_the_configuration_was_played_plays_it_first_when_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: int
) -> None:
    plain = tune(stored(tmp_path / "plain", small_dataset()), small_config(), trials=1)
    workspace = stored(tmp_path / "stopped", small_dataset())

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tuning._Objective, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            tune(workspace, small_config(), trials=1)
    # As an earlier release went on: with suggestions alone.
    study = tuning._study(workspace.tuning, prepared(workspace, small_config())[0], small_config())
    for _ in range(finished):
        trial = study.ask()
        tuning._suggested(trial, small_config())
        trial.set_user_attr("rewards", [0.0] * plain.people)
        study.tell(trial, 0.0)
    with pytest.raises(ConfigError, match="the configuration itself was not played in time"):
        tune(workspace, small_config(), trials=1, minutes=0)
    found = tune(workspace, small_config(), trials=1)
    assert found.start == found.reward == plain.start
    assert (found.difference, found.best) == (0.0, {})
    assert [reward for _, reward in found.trials] == [0.0] * finished + [plain.start]


def test_tune_never_looks_at_test_users(tmp_path: Path) -> None:
    dataset, config = small_dataset(), small_config()
    plain = stored(tmp_path / "plain", dataset)
    _, split = prepared(plain, config)
    kept = dataset.filter(min_positives=config.min_positives)
    ids = {kept.user_ids[user] for user in split.test}
    rating = dataset.rating.copy()
    mine = np.array([dataset.user_ids[user] in ids for user in dataset.user_index])
    # Likes stay as many, so that the same users take part; which items they are changes.
    rating[mine] = np.random.default_rng(0).permutation(rating[mine])
    changed = Dataset(**{name: getattr(dataset, name) for name in Dataset.__dataclass_fields__} | {"rating": rating})
    if not np.array_equal(prepared(stored(tmp_path / "changed", changed), config)[1].test, split.test):
        raise AssertionError("the change must not move users between the parts")
    found = [tune(Workspace(tmp_path / name), config, trials=2).trials for name in ("plain", "changed")]
    assert found[0] == found[1]


def test_write_settings_is_a_file_that_train_takes(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    write_settings(path, {"prior.shrinkage": 0.25, "inner.value_weight": [1.5, 0.0, 0.0, 0.0]})
    config = load_config(path)
    assert (config.prior.shrinkage, config.inner.value_weight) == (0.25, (1.5, 0.0, 0.0, 0.0))
