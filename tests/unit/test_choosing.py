"""What a split chooses for itself: the best by those who choose, whatever those do who are tested."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from metarl_rec import dataset_store
from metarl_rec.choosing import Choices, choices_of, choose_within, chosen_problem, chosen_text
from metarl_rec.config import RunConfig
from metarl_rec.dataset import Dataset, split_users
from metarl_rec.errors import DataError
from metarl_rec.gate import best_of, worth
from metarl_rec.populations import TrainingPopulations
from metarl_rec.preparing import split_embeddings, split_problem
from metarl_rec.train import start_of
from metarl_rec.validate import validate_rivals
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

CONFIG = small_config().model_copy(update={"min_positives": 0})
CHOICES = Choices(
    item_attribute_scale=(0.0, 0.2), shrinkage=(0.3, 20.0, 0.05), attribute_gain=(), noises=((50.0, 50.0), (0.3, 0.1))
)
NOTHING = Choices(item_attribute_scale=(), shrinkage=(), attribute_gain=(), noises=())


def stored(directory: Path, dataset: Dataset) -> Workspace:
    workspace = Workspace(directory)
    dataset_store.save(dataset, workspace.dataset)
    return workspace


def test_chosen_problem_takes_one_after_the_other_what_is_better_by_more_than_luck(tmp_path: Path) -> None:
    workspace = stored(tmp_path, small_dataset())
    worths = {}
    for shrinkage in (0.05, 0.3):
        for scale in CHOICES.item_attribute_scale:
            prior = CONFIG.prior.model_copy(update={"item_attribute_scale": scale, "shrinkage": shrinkage})
            config = CONFIG.model_copy(update={"prior": prior})
            problem = split_problem(workspace, config)
            judged = validate_rivals(TrainingPopulations.fit(problem, config), [start_of(problem, config)])[0]
            worths[shrinkage, scale] = worth(judged, config.train.harm_cost)
    chosen = choices_of(chosen_problem(workspace, CONFIG, CHOICES)[1])
    scale = chosen["item_attribute_scale"]
    # A threshold of 20 leaves nothing of anybody's taste, and cannot be fitted.
    assert chosen["shrinkage"] == (0.3, 0.05)[best_of([worths[each, scale] for each in (0.3, 0.05)])]
    assert chosen["attribute_gain"] == CONFIG.prior.attribute_gain, "an empty list leaves the setting"
    assert chosen["noises"] == [0.3, 0.1], "with a noise of 50 nothing is learned from anybody"


def test_chosen_problem_is_fitted_with_what_it_chose(tmp_path: Path) -> None:
    workspace = stored(tmp_path, small_dataset())
    problem, config = chosen_problem(workspace, CONFIG, CHOICES)
    assert np.array_equal(problem.space.features, split_problem(workspace, config).space.features)
    given, same = chosen_problem(workspace, CONFIG, NOTHING)
    assert same == CONFIG
    assert not np.array_equal(given.space.features, problem.space.features)


def test_choice_does_not_know_those_who_are_tested(tmp_path: Path) -> None:
    dataset = small_dataset()
    tested = split_users(len(dataset.user_ids), CONFIG.seed).test
    theirs = np.isin(dataset.user_index, tested)
    turned = replace(dataset, rating=np.where(theirs, 6 - dataset.rating, dataset.rating).astype(dataset.rating.dtype))
    assert not np.array_equal(turned.rating, dataset.rating)
    first, second = (
        chosen_problem(stored(tmp_path / name, each), CONFIG, CHOICES)
        for name, each in (("as it is", dataset), ("turned", turned))
    )
    assert first[1] == second[1]
    assert np.array_equal(first[0].space.features, second[0].space.features)


def test_left_open_are_the_settings_that_nobody_changed(tmp_path: Path) -> None:
    theirs = CONFIG.model_copy(update={"prior": CONFIG.prior.model_copy(update={"shrinkage": 0.05})})
    everything, rest = Choices.left_open(RunConfig()), Choices.left_open(theirs)
    assert everything == Choices()
    assert (rest.shrinkage, rest.attribute_gain) == ((), Choices().attribute_gain)
    assert everything.count - rest.count == len(Choices().shrinkage)


def test_every_start_that_is_played_to_choose_is_reported_those_that_cannot_be_fitted_too(tmp_path: Path) -> None:
    dataset = small_dataset().filter(min_positives=0, min_ratings=0, threshold=CONFIG.threshold)
    users = split_users(len(dataset.user_ids), CONFIG.seed)
    embeddings = split_embeddings(dataset, users.train, CONFIG)
    seen: list[tuple[int, int]] = []
    _, chosen = choose_within(dataset, users, embeddings, CONFIG, CHOICES, lambda *played: seen.append(played))
    assert seen == [(number, CHOICES.count) for number in range(1, 8)]
    assert chosen == chosen_problem(stored(tmp_path, small_dataset()), CONFIG, CHOICES)[1]


def test_choices_of_gives_noises_back() -> None:
    weight = (-math.log(0.3), math.log(0.3 / 0.15), 0.0, 0.0)
    config = CONFIG.model_copy(update={"inner": CONFIG.inner.model_copy(update={"value_weight": weight})})
    assert choices_of(config)["noises"] == [0.3, 0.15]


def test_chosen_text_counts_splits() -> None:
    played = [{"chosen": {"shrinkage": each, "noises": [0.2, 0.15]}} for each in (0.3, 0.4, 0.3)]
    assert chosen_text(played) == (
        "Chosen within 3 splits, and how often: shrinkage 0.3 (2), 0.4 (1); noises [0.2, 0.15] (3)."
    )


def test_chosen_problem_of_which_no_choice_can_be_fitted_says_why(tmp_path: Path) -> None:
    choices = NOTHING.model_copy(update={"shrinkage": (20.0, 30.0)})
    with pytest.raises(DataError, match="than the threshold 20"):
        chosen_problem(stored(tmp_path, small_dataset()), CONFIG, choices)


def test_choices_refuse_a_noise_that_is_none() -> None:
    with pytest.raises(ValidationError, match=r"noises\.0\.1\s+Input should be greater than 0"):
        Choices(noises=((0.2, 0.0),))
