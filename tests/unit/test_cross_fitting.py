"""Cross-fitting: what a fold's users did must not be in the space that they are played in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metarl_rec.cross_fitting import fold_users, folded_embeddings, side_by_side
from metarl_rec.dataset import Dataset
from metarl_rec.embeddings import item_embeddings
from metarl_rec.problem import Problem, build_problem
from tests.unit.synthetic import small_config, small_dataset, small_problem


def _turned(dataset: Dataset, users: np.ndarray) -> Dataset:
    """Returns the data set with likes and dislikes of `users` exchanged."""
    rating = np.where(np.isin(dataset.user_index, users), 7.0 - dataset.rating, dataset.rating)
    return replace(dataset, rating=rating.astype(np.float32))


def _problem_without_filter(dataset: Dataset, like: Problem) -> Problem:
    config = small_config()
    embeddings = folded_embeddings(dataset, like.split.train, config.train.folds, model="svd", dim=16, seed=0)
    return build_problem(dataset, like.split, embeddings, config)


def test_spaces_of_a_fold_do_not_depend_on_what_its_users_like() -> None:
    given = small_problem(small_config())
    before = _problem_without_filter(given.dataset, given)
    left_out = before.folds[0][1]
    after = _problem_without_filter(_turned(given.dataset, left_out), given)
    # Alignment to the space of all users turns the coordinates; the covariance of values is what a space is.
    covariances = [
        [problem.folds[fold][0].features @ problem.folds[fold][0].features.T for problem in (before, after)]
        for fold in (0, 1)
    ]
    np.testing.assert_allclose(covariances[0][0], covariances[0][1], atol=1e-5)
    np.testing.assert_array_equal(before.folds[0][0].popularity, after.folds[0][0].popularity)
    assert np.abs(covariances[1][0] - covariances[1][1]).max() > 0.01
    assert np.abs(before.space.popularity - after.space.popularity).max() > 0.01


def test_without_cross_fitting_the_same_people_play_in_the_space_of_everybody() -> None:
    with_it, without = (small_problem(small_config(cross_fitting=each)) for each in (True, False))
    for (_, left_out), (space, members) in zip(with_it.folds, without.folds, strict=True):
        assert space is without.space
        np.testing.assert_array_equal(members, left_out)


def test_folded_embeddings_are_those_of_the_users_outside_each_fold() -> None:
    dataset, users = small_dataset(60, 40), np.arange(50)[::-1]
    seen: list[tuple[int, int]] = []
    made = folded_embeddings(dataset, users, 3, lambda *at: seen.append(at), model="svd", dim=8, seed=0)
    assert [len(part) for part, _ in fold_users(users, 3)] == [17, 17, 16]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    np.testing.assert_array_equal(made.whole, item_embeddings(dataset, users, model="svd", dim=8, seed=0))
    for (left_out, _), fold in zip(fold_users(users, 3), made.folds, strict=True):
        others = np.setdiff1d(users, left_out)
        np.testing.assert_array_equal(fold, item_embeddings(dataset, others, model="svd", dim=8, seed=0))


def test_side_by_side_joins_each_fold_with_its_own() -> None:
    dataset, users = small_dataset(60, 40), np.arange(50)
    narrow, wide = (folded_embeddings(dataset, users, 2, model="svd", dim=dim, seed=0) for dim in (3, 5))
    joined = side_by_side([narrow, wide])
    assert joined.whole.shape == (40, 8)
    assert len(joined.folds) == 2
    np.testing.assert_array_equal(joined.folds[1], np.hstack([narrow.folds[1], wide.folds[1]]))
