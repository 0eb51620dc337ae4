"""Prequential play of logged users: show one item, see whether they came to it soon, then be told what they rated.

Everybody is told the same, so what a policy shows changes nothing but its hits, and policies differ in memory alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from metarl_rec.dataset import Dataset
from metarl_rec.errors import DataError
from metarl_rec.fastmath import FAST
from metarl_rec.inner_params import InnerParams
from metarl_rec.kernels import adapt_one
from metarl_rec.scoring_kernels import score_items
from metarl_rec.slates import greedy_slate

__all__ = ["Kind", "Memory", "Timelines", "play", "timelines"]

_NONE, _KALMAN, _FADING, _SERVED = range(4)
Kind = Literal["none", "kalman", "fading", "served"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a policy makes of the ratings that it is told; it shows the item with the greatest mu + f . w.

    Attributes:
        kind: none stays where it starts. kalman is the exact filter of a linear-Gaussian user, as in
            `baselines.HierarchicalBayesPolicy`: with every rating w - w0 shrinks by 1 - q and diffuses, so that its
            variance without ratings stays 1. fading is where the inner loop's value term alone ends with the posterior
            preconditioner: the minimum of sum_j omega_j (y_j - v_j)^2 / 2 + |w - w0|^2 / 2 with
            omega_j = exp(-lambda (number of later ratings)) / noise. served is the kernel that is served, with the
            latest ratings alone, each at its organic weight.
        noise: residual variance > 0 of kalman and fading.
        forgetting: q in [0, 1) of kalman, lambda >= 0 of fading.
        inner: meta-parameters of served.
        buffer: how many ratings served keeps.
    """

    kind: Kind
    noise: float = 1.0
    forgetting: float = 0.0
    inner: InnerParams = field(default_factory=InnerParams)
    buffer: int = 64


@dataclass(frozen=True, slots=True)
class Timelines:
    """N users' ratings in time order, the longest first.

    Attributes:
        users: [N] int64.
        lengths: [N] int64, ratings of each, descending.
        items: [N, R] int32, R the greatest length; 0 after a user's last rating.
        rewards: [N, R] float32; 0 after the last.
    """

    users: NDArray[np.int64]
    lengths: NDArray[np.int64]
    items: NDArray[np.int32]
    rewards: NDArray[np.float32]


def timelines(dataset: Dataset, users: NDArray[np.int64], threshold: float) -> Timelines:
    """Returns the timelines of users [N] int64; ties in length ascend by user.

    Ratings of one moment stay in the data set's order. A rating of at least `threshold` is a reward of 1.

    Raises:
        DataError: the data set has no times.
    """
    if dataset.timestamp is None:
        raise DataError(
            f"{dataset.name} has no times of ratings, so nothing can be said of drift; import ratings with a timestamp"
        )
    order = np.lexsort((dataset.timestamp, dataset.user_index))
    first = np.searchsorted(dataset.user_index[order], np.arange(len(dataset.user_ids) + 1))
    counts = np.diff(first)
    chosen = users[np.lexsort((users, -counts[users]))]
    lengths = counts[chosen]
    items = np.zeros((len(chosen), int(lengths.max(initial=0))), np.int32)
    rewards = np.zeros(items.shape, np.float32)
    for row, user in enumerate(chosen):
        ratings = order[first[user] : first[user + 1]]
        items[row, : len(ratings)] = dataset.item_index[ratings]
        rewards[row, : len(ratings)] = dataset.rating[ratings] >= threshold
    return Timelines(chosen, lengths, items, rewards)


def play(
    lines: Timelines,
    features: NDArray[np.float32],
    popularity: NDArray[np.float32],
    starts: NDArray[np.float32],
    memory: Memory,
    *,
    history: int,
    window: int,
) -> NDArray[np.bool_]:
    """Returns the hits [N, R - history] of a policy; False after a user's last rating.

    Before rating t = history, history + 1, ... the policy shows the item of greatest value that the user has not rated
    before t and that it has not shown yet: a hit where the user rates it with a reward of 1 among ratings t ..
    t + window - 1. Whoever has nothing left to be shown is shown nothing.

    Args:
        lines: the users.
        features: [n, D] float32.
        popularity: [n] float32.
        starts: [N, D] float32, w0 of each user.
        memory: learns these users' ratings one by one, from its beginning.
        history: ratings that are told before the first item is shown, >= 1.
        window: how many of the next ratings a hit may lie in, >= 1.
    """
    place = np.full((len(lines.users), len(popularity)), -1, np.int64)
    for row, length in enumerate(lines.lengths):
        liked = np.flatnonzero(lines.rewards[row, :length] == 1)
        place[row, lines.items[row, liked]] = liked
    inner = memory.inner
    return np.asarray(
        _play(
            get_args(Kind).index(memory.kind), np.ascontiguousarray(features), popularity,
            np.ascontiguousarray(starts), lines.items, lines.rewards, lines.lengths, place, history, window,
            memory.noise, memory.forgetting, memory.buffer, np.asarray(inner.step_sizes),
            inner.preconditioner == "posterior", np.asarray(inner.value_weight), inner.organic_weight,
            inner.forgetting, inner.caution,
        )
    )  # fmt: skip


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _play(
    kind: int,
    features: NDArray[np.float32],
    popularity: NDArray[np.float32],
    starts: NDArray[np.float32],
    items: NDArray[np.int32],
    rewards: NDArray[np.float32],
    lengths: NDArray[np.int64],
    place: NDArray[np.int64],
    history: int,
    window: int,
    noise: float,
    forgetting: float,
    buffer: int,
    step_sizes: NDArray[np.float64],
    posterior: bool,
    value_weight: NDArray[np.float64],
    organic_weight: float,
    served_forgetting: float,
    caution: float,
) -> NDArray[np.bool_]:
    users, steps = items.shape
    n, dim = features.shape
    hits = np.zeros((users, max(steps - history, 0)), np.bool_)
    for user in prange(users):
        weights = starts[user].copy()
        # kalman: mean and covariance of w - w0; fading: pull and curvature of the told ratings.
        vector, matrix = np.zeros(dim), np.zeros((dim, dim))
        if kind == _KALMAN:
            for d in range(dim):
                matrix[d, d] = 1.0
        candidate = np.ones(n, np.bool_)
        values = np.empty(n, np.float32)
        for t in range(lengths[user]):
            if t >= history:
                if kind == _KALMAN:
                    for d in range(dim):
                        weights[d] = starts[user, d] + vector[d]
                elif kind == _FADING:
                    moved = _ridge(matrix, vector)
                    for d in range(dim):
                        weights[d] = starts[user, d] + moved[d]
                elif kind == _SERVED:
                    first = max(0, t - buffer)
                    told = t - first
                    none, nothing = np.zeros(told, np.bool_), np.zeros(told, np.float32)
                    weights = adapt_one(
                        features, popularity, starts[user], items[user, first:t], rewards[user, first:t], nothing,
                        np.full(told, np.float32(organic_weight)), none, none, candidate,
                        items[user, first:t], np.zeros((told, told), np.bool_), step_sizes, posterior, value_weight,
                        0.0, 0.0, 1.0, 0.2, 0.0, served_forgetting, caution, np.zeros(3),
                    )  # fmt: skip
                score_items(features, popularity, weights, values)
                for best in greedy_slate(values, candidate, 1):
                    # What lies before t is no candidate any more; -1 is an item that the user never liked.
                    hits[user, t - history] = t <= place[user, best] < t + window
                    candidate[best] = False
            item = items[user, t]
            candidate[item] = False
            error = rewards[user, t] - popularity[item]
            for d in range(dim):
                error -= features[item, d] * starts[user, d]
            if kind == _KALMAN:
                _filter(vector, matrix, features[item], error, noise, 1.0 - forgetting)
            elif kind == _FADING:
                _add(vector, matrix, features[item], error, noise, math.exp(-forgetting))
    return hits


@njit(cache=True, nogil=True, fastmath=FAST)
def _filter(
    mean: NDArray[Any], covariance: NDArray[Any], row: NDArray[Any], error: float, noise: float, retention: float
) -> None:
    """One step of the Kalman filter: condition on error = row . (w - w0) + noise, then let time pass."""
    dim = len(mean)
    moved = np.empty(dim)
    spread, surprise = noise, error
    for d in range(dim):
        total = 0.0
        for e in range(dim):
            total += covariance[d, e] * row[e]
        moved[d] = total
        spread += total * row[d]
        surprise -= mean[d] * row[d]
    for d in range(dim):
        mean[d] = retention * (mean[d] + moved[d] * surprise / spread)
        share = moved[d] / spread
        for e in range(dim):
            covariance[d, e] = retention * retention * (covariance[d, e] - share * moved[e])
        covariance[d, d] += 1.0 - retention * retention


@njit(cache=True, nogil=True, fastmath=FAST)
def _add(
    pull: NDArray[Any], curvature: NDArray[Any], row: NDArray[Any], error: float, noise: float, kept: float
) -> None:
    """Adds one rating; what came before counts less. Of the curvature the lower triangle is kept."""
    for d in range(len(pull)):
        pull[d] = kept * pull[d] + row[d] * error / noise
        share = row[d] / noise
        for e in range(d + 1):
            curvature[d, e] = kept * curvature[d, e] + share * row[e]


@njit(cache=True, nogil=True, fastmath=FAST)
def _ridge(curvature: NDArray[Any], pull: NDArray[Any]) -> NDArray[np.float64]:
    """Returns (I + curvature)^-1 pull by Cholesky; reads the lower triangle."""
    dim = len(pull)
    lower = np.empty((dim, dim))
    x = np.empty(dim)
    for i in range(dim):
        for j in range(i + 1):
            total = curvature[i, j] + (1.0 if i == j else 0.0)
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = math.sqrt(total) if i == j else total / lower[j, j]
        total = pull[i]
        for k in range(i):
            total -= lower[i, k] * x[k]
        x[i] = total / lower[i, i]
    for back in range(dim):
        i = dim - 1 - back
        x[i] /= lower[i, i]
        for k in range(i):
            x[k] -= lower[i, k] * x[i]
    return x
