"""Cold-start curves from raw per-user results: means, standard errors over users, paired differences, users harmed.

A user who is a test user of several splits has several episodes. Their results are averaged over splits first; standard
errors are then over distinct users, because episodes of one user are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metarl_rec.protocol import HORIZONS

__all__ = ["Comparison", "Episodes", "PolicyRow", "by_user", "compare", "curve", "summarize"]


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
        hits: mean cumulated reward at each horizon, over users.
        standard_errors: of those means.
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
        difference: mean paired difference of hits at each horizon.
        standard_errors: of those differences.
        harmed: share of episodes with strictly fewer hits than `against`, at each horizon.
    """

    policy: str
    against: str
    difference: dict[int, float]
    standard_errors: dict[int, float]
    harmed: dict[int, float]


def by_user(user_ids: ArrayLike, values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the mean of values [E] or [E, H] over each distinct user's episodes: [users] or [users, H]."""
    _, index = np.unique(np.asarray(user_ids), return_inverse=True)
    counts = np.bincount(index)
    sums = np.stack([np.bincount(index, weights=column) for column in values.reshape(len(values), -1).T], axis=1)
    return np.asarray((sums / counts[:, None]).reshape(len(counts), *values.shape[1:]), dtype=np.float64)


def _mean_and_error(values: NDArray[np.float64], horizons: Sequence[int]) -> tuple[dict[int, float], dict[int, float]]:
    users = len(values)
    errors = values.std(axis=0, ddof=1) / np.sqrt(users) if users > 1 else np.full(values.shape[1], np.nan)
    means = values.mean(axis=0)
    return (
        {h: float(m) for h, m in zip(horizons, means, strict=True)},
        {h: float(e) for h, e in zip(horizons, errors, strict=True)},
    )


def _hits(rewards: NDArray[np.float32], horizons: Sequence[int]) -> NDArray[np.float64]:
    totals = rewards.astype(np.float64).cumsum(axis=1)
    return np.stack([totals[:, h - 1] for h in horizons], axis=1)


def summarize(episodes: Episodes, horizons: Sequence[int] = HORIZONS) -> list[PolicyRow]:
    """Returns one row a policy, in the order of `episodes.rewards`."""
    rows = []
    for name, rewards in episodes.rewards.items():
        means, errors = _mean_and_error(by_user(episodes.user_ids, _hits(rewards, horizons)), horizons)
        rows.append(PolicyRow(name, means, errors))
    return rows


def compare(episodes: Episodes, policy: str, against: str, horizons: Sequence[int] = HORIZONS) -> Comparison:
    """Returns the paired comparison of two policies that played the same episodes."""
    gap = _hits(episodes.rewards[policy], horizons) - _hits(episodes.rewards[against], horizons)
    means, errors = _mean_and_error(by_user(episodes.user_ids, gap), horizons)
    harmed = {h: float(share) for h, share in zip(horizons, (gap < 0).mean(axis=0), strict=True)}
    return Comparison(policy, against, means, errors, harmed)


def curve(
    episodes: Episodes, policy: str, against: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns a policy's mean cumulated reward after each step [T] and its standard error [T], over users.

    With `against`, mean and standard error are those of the paired difference to that policy.
    """
    rewards = episodes.rewards[policy].astype(np.float64)
    if against is not None:
        rewards = rewards - episodes.rewards[against]
    values = by_user(episodes.user_ids, rewards.cumsum(axis=1))
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
