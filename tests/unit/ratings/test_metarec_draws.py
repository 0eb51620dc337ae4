"""Draws, measures, what the prior recovers, and that nothing is learned from those who are tested."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarl_rec.atomic import bundled_ml_100k
from metarl_rec.protocols import metarec
from metarl_rec.ratings.adapting import adapt
from metarl_rec.ratings.draws import Task, draw_task, eligible_users, split_parts
from metarl_rec.ratings.measures import at_five, relevance
from metarl_rec.ratings.prior import fit_prior, posterior_mean, shrunk_item_mean
from metarl_rec.statistics import by_user
from metarl_rec.workspace import Workspace


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


def test_draw_task_of_ml_100k_is_pinned() -> None:
    dataset = bundled_ml_100k()
    users = eligible_users(dataset)
    assert len(users) == 582
    task = draw_task(dataset, int(users[0]), 0)
    assert [dataset.item_ids[item] for item in task.query_items[:3]] == ["297", "316", "282"]
    assert len(task.query_items) == 10
    assert not set(task.items) & set(task.query_items)


def test_run_tested_users_ratings_change_no_mean_and_no_prior() -> None:
    dataset = bundled_ml_100k()
    train, _, test = split_parts(eligible_users(dataset), 0)
    changed = replace(dataset, rating=np.where(np.isin(dataset.user_index, test), 6 - dataset.rating, dataset.rating))
    side = np.zeros((len(dataset.item_ids), 1))
    fitted = []
    for each in (dataset, changed):
        tasks = [draw_task(each, int(user), 0) for user in train]
        prior = fit_prior(tasks, side, 1, 0.25, 10.0, rounds=1)
        fitted.append((shrunk_item_mean(tasks, len(side), 3.0), prior.mean, prior.features))
    for first, second in zip(*fitted, strict=True):
        np.testing.assert_array_equal(first, second)


def test_run_two_splits_counts_every_tested_user_and_is_repeatable(tmp_path: Path) -> None:
    settings = metarec.Settings(splits=2)
    first, second = (metarec.run(settings, Workspace(tmp_path), lambda *_: None) for _ in range(2))
    assert first.raw == second.raw
    assert len(first.raw["user"]) == sum(len(split_parts(eligible_users(bundled_ml_100k()), s)[2]) for s in range(2))
    assert [table.rows[1][-1] for table in first.tables] == ["0 %", "0 %"], "nobody is harmed by the item mean itself"
    rows = {name: np.array(first.raw["measures"])[:, index] for index, name in enumerate(first.raw["rows"])}
    ours, mean, before = (rows[name][:, 0, 1] for name in ("five gradient steps", "item mean", "not adapted"))
    told = np.array(first.raw["told"])
    assert told.min() == 10, "ten of at least twenty ratings are asked for"
    assert f"{100 * (ours < mean).mean():.0f} % of episodes" in first.verdict[0], "who is harmed"
    assert f"{by_user(first.raw['user'], ours - before).mean():+.4f}" in first.verdict[0], "what adapting is worth"
    assert {bar.name for bar in first.bars if bar.name.startswith("stretch")} == {
        f"stretch: {setting}: {measure} over item mean"
        for setting in ("rating", "click")
        for measure in ("nDCG", "MRR")
    }
    for table, bar in zip(first.tables, first.bars[::5], strict=True):
        published = [row for row in table.rows if row[0].endswith("(published)")]
        assert bar.asked == f"above {tuple(max(float(row[k]) for row in published) for k in (1, 2, 3))}"
    few = told < 16
    for curve, base in zip(first.panels[0].curves, (mean, before), strict=True):
        assert curve.x[0] == pytest.approx(told[few].mean())
        assert curve.y[0] == pytest.approx(
            by_user(np.array(first.raw["user"])[few], (ours - base)[few]).mean(), abs=1e-4
        )
