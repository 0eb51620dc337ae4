"""Draws, measures, and what the prior recovers."""

import numpy as np
import pytest

from metarl_rec.ratings.adapting import adapt
from metarl_rec.ratings.draws import Task, split_parts
from metarl_rec.ratings.measures import at_five, relevance
from metarl_rec.ratings.prior import fit_prior, posterior_mean


def test_split_parts_of_ten_users_are_pinned() -> None:
    train, validation, test = split_parts(np.arange(10), 0)
    assert [*train, *validation, *test] == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]


def test_at_five_second_and_fourth_of_two_relevant_gives_literal_values() -> None:
    relevant = np.isin(np.arange(10), [1, 3])
    assert at_five(-np.arange(10.0), relevant) == pytest.approx([0.4, 0.650920, 0.5], abs=1e-6)


def test_relevance_of_ties_takes_the_earlier() -> None:
    assert np.flatnonzero(relevance(np.full(10, 3.0), "rating")).tolist() == [0, 1, 2, 3, 4]


def test_fit_prior_planted_taste_is_recovered_and_steps_reach_the_posterior() -> None:
    rng = np.random.default_rng(0)
    sign = np.where(np.arange(40) % 2, 1.0, -1.0)
    tasks = []
    for user in range(200):
        items = rng.permutation(40)[:30]
        ratings = 3 + rng.normal() * sign[items] + rng.normal(0, 0.3, 30)
        tasks.append(Task(user, items[:20], ratings[:20], items[20:], ratings[20:]))
    prior = fit_prior(tasks, np.zeros((40, 1)), 1, 0.25, 10.0)
    assert abs(np.corrcoef(prior.features[:, -1], sign)[0, 1]) > 0.95
    task = tasks[0]
    moment = prior.features.T @ prior.features / 40
    exact = posterior_mean(prior, task.items, task.ratings)[0]
    assert prior.features @ adapt(prior, task.items, task.ratings, moment) == pytest.approx(
        prior.features @ exact, abs=0.15
    )
