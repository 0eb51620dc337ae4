"""Cold-start curves from raw per-user results: means, standard errors over users, paired differences, users harmed.

A user who is a test user of several splits has several episodes, which are not independent. Levels (hits, shares of
users harmed) are means over episodes, as published tables average, with standard errors clustered by user; paired
differences are averaged over a user's episodes first, then over users, as science.md section 1 asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metarl_rec.protocol import HORIZONS

__all__ = [
    "Comparison",
    "Episodes",
    "PolicyRow",
    "by_user",
    "compare",
    "curve",
    "over_episodes",
    "over_users",
    "summarize",
]


@dataclass(frozen=True, slots=True)
class Episodes:
    """Every test episode of every policy.

    Attributes:
        user_ids: [E] user of each episode.
        splits: [E] split of each episode.
        rewards: by policy name, [E, T] float32, reward of every step.
    """

    user_ids: Sequence[str]
    splits: Sequence[int]
    rewards: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One policy's hits.

    Attributes:
        policy: its name.
        hits: mean cumulated reward at each horizon, over episodes.
        standard_errors: of those means, clustered by user.
    """

    policy: str
    hits: dict[int, float]
    standard_errors: dict[int, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One policy against another on the same users.

    Attributes:
        policy: the policy judged.
        against: the policy compared with.
        difference: mean paired difference of hits at each horizon, over users.
        standard_errors: of those differences.
        harmed: share of episodes with strictly fewer hits than `against`, at each horizon.
        harmed_errors: standard errors of those shares, clustered by user.
    """

    policy: str
    against: str
    difference: dict[int, float]
    standard_errors: dict[int, float]
    harmed: dict[int, float]
    harmed_errors: dict[int, float]


def by_user(user_ids: ArrayLike, values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the mean of values [E] or [E, H] over each distinct user's episodes: [users] or [users, H]."""
    _, index = np.unique(np.asarray(user_ids), return_inverse=True)
    counts = np.bincount(index)
    sums = np.stack([np.bincount(index, weights=column) for column in values.reshape(len(values), -1).T], axis=1)
    return np.asarray((sums / counts[:, None]).reshape(len(counts), *values.shape[1:]), dtype=np.float64)


def over_episodes(user_ids: ArrayLike, values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the mean of values [E, H] over episodes [H] and its standard error [H], clustered by user; NaN for one.

    Reference: Cochran, "Sampling Techniques", 3rd ed. 1977, eq. 9.3 (ratio estimator of clusters of unequal size).
    """
    _, index = np.unique(np.asarray(user_ids), return_inverse=True)
    users, means = int(index.max()) + 1, values.mean(axis=0, dtype=np.float64)
    sums = np.stack([np.bincount(index, weights=column) for column in (values - means).T], axis=1)
    if users == 1:
        return means, np.full(len(means), np.nan)
    return means, np.sqrt(np.square(sums).sum(axis=0) * users / (users - 1)) / len(values)


def over_users(user_ids: ArrayLike, values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the mean of values [E, H] over users [H], each one's episodes averaged first, and its error [H]."""
    return over_episodes(np.unique(np.asarray(user_ids)), by_user(user_ids, values))


def _at(horizons: Sequence[int], figures: NDArray[np.float64]) -> dict[int, float]:
    return {horizon: float(figure) for horizon, figure in zip(horizons, figures, strict=True)}


def _hits(rewards: NDArray[np.float32], horizons: Sequence[int]) -> NDArray[np.float64]:
    totals = rewards.astype(np.float64).cumsum(axis=1)
    return np.stack([totals[:, h - 1] for h in horizons], axis=1)


def summarize(episodes: Episodes, horizons: Sequence[int] = HORIZONS) -> list[PolicyRow]:
    """Returns one row a policy, in the order of `episodes.rewards`."""
    rows = []
    for name, rewards in episodes.rewards.items():
        means, errors = over_episodes(episodes.user_ids, _hits(rewards, horizons))
        rows.append(PolicyRow(name, _at(horizons, means), _at(horizons, errors)))
    return rows


def compare(episodes: Episodes, policy: str, against: str, horizons: Sequence[int] = HORIZONS) -> Comparison:
    """Returns the paired comparison of two policies that played the same episodes."""
    gap = _hits(episodes.rewards[policy], horizons) - _hits(episodes.rewards[against], horizons)
    figures = (*over_users(episodes.user_ids, gap), *over_episodes(episodes.user_ids, gap < 0))
    return Comparison(policy, against, *(_at(horizons, each) for each in figures))


def curve(
    episodes: Episodes, policy: str, against: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns a policy's mean cumulated reward after each step [T] and its standard error [T].

    With `against`, they are those of the paired difference to that policy; see the module for what they are over.
    """
    rewards = episodes.rewards[policy].astype(np.float64)
    if against is None:
        return over_episodes(episodes.user_ids, rewards.cumsum(axis=1))
    return over_users(episodes.user_ids, (rewards - episodes.rewards[against]).cumsum(axis=1))
