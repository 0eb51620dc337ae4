"""A Gaussian prior over users' tastes, by expectation maximization on the train users' observed ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.ratings.draws import Task

__all__ = ["Prior", "all_ratings", "fit_prior", "posterior_mean", "shrunk_item_mean"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """y = mean_i + features_i . w + noise, w ~ N(0, I).

    Attributes:
        mean: [n] ratings expected of a new user.
        features: [n, d]; the first column is the user's offset, then genres, then latent tastes.
        noise: variance.
    """

    mean: Floats
    features: Floats
    noise: float


def all_ratings(task: Task) -> tuple[NDArray[np.int64], Floats]:
    """Returns support and query of a train user together."""
    return np.concatenate([task.items, task.query_items]), np.concatenate([task.ratings, task.query_ratings])


def shrunk_item_mean(train: Sequence[Task], n_items: int, strength: float) -> Floats:
    """Returns [n] means over the train users, shrunk to the global mean by `strength` pseudo-ratings."""
    items, ratings = (np.concatenate(parts) for parts in zip(*map(all_ratings, train), strict=True))
    total = np.bincount(items, ratings, n_items) + strength * ratings.mean()
    return np.asarray(total / (np.bincount(items, minlength=n_items) + strength))


def posterior_mean(prior: Prior, items: NDArray[np.int64], ratings: Floats) -> tuple[Floats, Floats]:
    """Returns mean [d] and covariance [d, d] of w given ratings [S]."""
    features = prior.features[items]
    covariance = np.linalg.inv(np.eye(features.shape[1]) + features.T @ features / prior.noise)
    return covariance @ (features.T @ (ratings - prior.mean[items])) / prior.noise, covariance


def fit_prior(
    train: Sequence[Task], side: Floats, rank: int, side_scale: float, strength: float, rounds: int = 12
) -> Prior:
    """Returns the prior of the train users.

    Args:
        train: tasks whose support and query are both used.
        side: [n, g] item attributes.
        rank: latent tastes.
        side_scale: standard deviation of a taste for an attribute, in stars.
        strength: precision that pulls an item's latent features to 0, in pseudo-ratings.
        rounds: of expectation maximization.

    Reference: Tipping & Bishop, 1999, "Probabilistic principal component analysis", on observed cells only.
    """
    n_items = len(side)
    latent = np.random.default_rng(0).normal(0, 0.1, (n_items, rank))
    fixed = np.column_stack([np.full(n_items, 0.45), side_scale * side])
    prior = Prior(shrunk_item_mean(train, n_items, 5.0), np.column_stack([fixed, latent]), 0.8)
    data, d = [all_ratings(task) for task in train], fixed.shape[1]
    center = float(np.concatenate([ratings for _, ratings in data]).mean())
    for _ in range(rounds):
        # Unknowns of an item: its mean and its latent features.
        gram = np.tile(strength * np.eye(rank + 1), (n_items, 1, 1))
        gram[:, 0, 0] = 3.0
        right, error, count = np.zeros((n_items, rank + 1)), 0.0, 0
        for items, ratings in data:
            w, cov = posterior_mean(prior, items, ratings)
            f = prior.features[items]
            residual = ratings - prior.mean[items] - f @ w
            error += float(residual @ residual + np.einsum("nd,de,ne->", f, cov, f))
            count += len(items)
            design = np.concatenate([[1.0], w[d:]])
            second = np.outer(design, design)
            second[1:, 1:] += cov[d:, d:]
            gram[items] += second
            right[items] += np.outer(ratings - center - fixed[items] @ w[:d], design)
            right[items, 1:] -= fixed[items] @ cov[:d, d:]
        solved = np.linalg.solve(gram, right[..., None])[..., 0]
        prior = Prior(center + solved[:, 0], np.column_stack([fixed, solved[:, 1:]]), error / count)
    return prior
