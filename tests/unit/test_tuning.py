"""The search for settings: it starts from the configuration, goes on where it stopped, and writes what train takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store, tuning
from metarl_rec.config import RunConfig, assigned, load_config, validated
from metarl_rec.dataset import Dataset, split_users
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.inner_params import InnerParams
from metarl_rec.preparing import prepared, split_embeddings
from metarl_rec.tuning import SPACE, Range, tune, write_settings
from metarl_rec.workspace import Workspace
from service.commands import offline
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


def test_tune_called_again_suggests_something_else(tmp_path: Path) -> None:
    workspace, config = stored(tmp_path, small_dataset()), small_config()
    for trials in (2, 3):
        tune(workspace, config, trials=trials)
    _, first, second = tuning._study(workspace.tuning, prepared(workspace, config)[0], config).trials
    assert set(first.params) == set(second.params) == set(SPACE)
    assert all(first.params[name] != second.params[name] for name in SPACE)


def test_tune_trials_that_cannot_be_played_fail_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SPACE", {"prior.shrinkage": Range(500.0, 600.0)})
    workspace, told = stored(tmp_path, small_dataset()), []
    for trials in (2, 3, 3):
        found = tune(workspace, small_config(), trials=trials, on_trial=lambda *each: told.append(each))
    assert [number for number, _ in found.failed] == [1, 2]
    assert all("lower the shrinkage" in why for _, why in found.failed)
    assert (found.trials, found.best) == ([(0, found.start)], {})
    assert told == [(1, found.start, found.start), (2, None, found.start), (3, None, found.start)]


def test_tune_verb_says_how_many_trials_failed_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "SPACE", {"prior.shrinkage": Range(500.0, 600.0)})
    workspace = stored(tmp_path, small_dataset())
    settings = ["min_positives=8", "train.folds=3", "train.horizon=12", "prior.shrinkage=0.1"]
    offline.tune(trials=3, minutes=10, workdir=workspace.root, set_=settings)
    said = capsys.readouterr().out
    assert "2 more could not be played; the last, number 2: no direction of the embedding" in said
    assert "nothing beat the settings as configured" in said


def test_tune_configuration_that_cannot_be_played_is_an_error(tmp_path: Path) -> None:
    config = load_config(None, ["min_positives=8", "train.folds=3", "train.horizon=12", "prior.shrinkage=500"])
    with pytest.raises(DataError, match="lower the shrinkage"):
        tune(stored(tmp_path, small_dataset()), config, trials=2)


@pytest.mark.parametrize("setting", ["inner.temperature=0.05", "inner.policy_coef=0.1"])
def test_a_trial_plays_what_is_served_the_temperature_and_the_policy_gradient_count(setting: str) -> None:
    given = small_config()
    dataset = small_dataset().filter(min_positives=given.min_positives)
    split = split_users(len(dataset.user_ids), given.seed)
    trial_of = tuning._Objective(dataset, split, split_embeddings(dataset, split.train, given), given)
    other = validated(RunConfig, assigned(given.model_dump(mode="json"), [setting]), "")
    assert not np.array_equal(trial_of(given), trial_of(other))


def test_suggested_settings_are_those_that_the_space_names_and_no_others() -> None:
    given = small_config().model_copy(update={"inner": InnerParams(value_weight=(0.0, 0.0, 0.3, -0.2))})
    chosen = {name: each.high for name, each in SPACE.items()} | {"noise_0": 0.25, "noise_1": 0.125}
    settings = tuning._as_settings(chosen, given)
    weight = settings.pop("inner.value_weight")
    assert weight == pytest.approx([np.log(4), np.log(2), 0.3, -0.2])
    assert settings == {name: each.high for name, each in SPACE.items() if not name.startswith("noise")}


def test_help_of_tune_names_everything_that_is_searched_and_between_what() -> None:
    text = " ".join((offline.tune.__doc__ or "").split())
    for name, each in SPACE.items():
        bounds = f"{each.low:g} to {each.high:g}"
        assert (bounds if name.startswith("noise") else f"{name} ({bounds})") in text


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
