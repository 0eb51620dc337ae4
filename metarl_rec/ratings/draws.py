"""Users, splits, supports and queries of the RecBole-MetaRec protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.dataset import Dataset

__all__ = ["Task", "draw_task", "eligible_users", "split_parts"]

QUERY = 10


@dataclass(frozen=True, slots=True)
class Task:
    """One user's ratings, as item positions [S] or [10] and ratings of the same shape; `user` is its position."""

    user: int
    items: NDArray[np.int64]
    ratings: NDArray[np.float64]
    query_items: NDArray[np.int64]
    query_ratings: NDArray[np.float64]


def eligible_users(dataset: Dataset, low: int = 13, high: int = 100) -> NDArray[np.int64]:
    """Returns positions of users with `low` to `high` ratings, by ascending id."""
    counts = np.bincount(dataset.user_index, minlength=len(dataset.user_ids))
    return np.flatnonzero((counts >= low) & (counts <= high))


def split_parts(users: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns train, validation and test users, 8:1:1."""
    order = users[np.random.default_rng(seed).permutation(len(users))]
    first, second = int(0.8 * len(users)), int(0.9 * len(users))
    return order[:first], order[first:second], order[second:]


def draw_task(dataset: Dataset, user: int, seed: int) -> Task:
    """Returns a user's support and query; the user's id must be an integer."""
    rows = np.flatnonzero(dataset.user_index == user)
    rows = rows[np.random.default_rng([seed, int(dataset.user_ids[user])]).permutation(len(rows))]
    items, ratings = dataset.item_index[rows].astype(np.int64), dataset.rating[rows].astype(np.float64)
    return Task(user, items[:-QUERY], ratings[:-QUERY], items[-QUERY:], ratings[-QUERY:])
