"""The task distribution as the learner sees it: features in which users are w ~ N(w0, I), and where each starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metarl_rec.cross_fitting import fold_users
from metarl_rec.frozen import FrozenSettings
from metarl_rec.prior import (
    LinearEncoder,
    fit_linear_encoder,
    fit_prior,
    flattened,
    randomized,
    user_estimates,
    with_item_attributes,
)

__all__ = ["PriorConfig", "TaskSpace", "cross_fitted_spaces", "fit_task_space"]


class PriorConfig(FrozenSettings):
    """How the empirical-Bayes prior is fitted.

    Attributes:
        shrinkage: soft threshold on the spectrum of the users' covariance, in units of squared reward.
        max_rank: greatest number of features from the embedding; where item attributes have a scale, their A columns
            add up to A + 1. Random features are exactly as many.
        noise: residual variance of a reward around v, used for the users' estimates.
        user_ridge: ridge of the map from user attributes to w0.
        item_ridge: ridge of the map from item attributes to features and popularity.
        features: fitted (whitened by the empirical-Bayes prior), flat (the embedding's directions with one common
            scale, as if nothing were known about users; the geometry is left to meta-training) or random (nothing is
            known about items either; features are left to meta-training, at `train.feature_rate`).
        item_attribute_scale: standard deviation, in units of reward, of a user's taste for what an item is (its
            attributes), beside what the users before them liked together; 0 leaves attributes out.
        attribute_gain: g in w0(u) = g B'z_u, before meta-training.
    """

    features: Literal["fitted", "flat", "random"] = "fitted"
    shrinkage: float = Field(default=0.3, ge=0)
    max_rank: int = Field(default=64, ge=1, le=512)
    noise: float = Field(default=0.2, gt=0)
    user_ridge: float = Field(default=20.0, gt=0)
    item_ridge: float = Field(default=10.0, gt=0)
    item_attribute_scale: float = Field(default=0.15, ge=0, le=10)
    attribute_gain: float = Field(default=1.2, ge=0)


@dataclass(frozen=True, slots=True)
class TaskSpace:
    """Features and starting points, fitted on one set of users.

    Attributes:
        features: [n, D] float32, whitened; trailing columns may be zero.
        popularity: [n] float32, mu.
        user_encoder: user attributes [Z] -> shift of w0 [D], before the gain.
        users: [N] int64, the users it was fitted on.
    """

    features: NDArray[np.float32]
    popularity: NDArray[np.float32]
    user_encoder: LinearEncoder
    users: NDArray[np.int64]

    def starts(
        self, user_vectors: NDArray[np.float32], initialization: NDArray[Any], attribute_gain: float
    ) -> NDArray[np.float32]:
        """Returns w0 [N, D] float32 of users with attribute vectors [N, Z]."""
        shift = self.user_encoder(user_vectors)
        return (np.asarray(initialization, np.float32) + np.float32(attribute_gain) * shift).astype(np.float32)

    def prior_means(self, user_vectors: NDArray[np.float32], attribute_gain: float) -> NDArray[np.float32]:
        """Returns the empirical-Bayes prior's means [N, D] float32 of such users: w0 before meta-training."""
        return self.starts(user_vectors, np.zeros(self.features.shape[1]), attribute_gain)


def fit_task_space(
    rewards: NDArray[np.uint8],
    user_vectors: NDArray[np.float32],
    embedding: NDArray[Any],
    item_vectors: NDArray[np.float32],
    users: NDArray[np.int64],
    config: PriorConfig,
) -> TaskSpace:
    """Fits popularity, features and the attribute map on `users` alone.

    Args:
        rewards: [U, n] uint8, the whole reward table; rows outside `users` are not read.
        user_vectors: [U, Z] float32.
        embedding: [n, E] float, item embeddings whose span the features are confined to.
        item_vectors: [n, A] float32, encoded item attributes.
        users: [N] int64.
        config: settings.
    """
    table = rewards[users]
    prior = fit_prior(table, embedding, shrinkage=config.shrinkage, max_rank=config.max_rank)
    if config.features == "flat":
        prior = flattened(prior, embedding, item_vectors, config.item_attribute_scale)
    elif config.features == "random":
        prior = randomized(prior, config.max_rank)
    elif config.item_attribute_scale > 0:
        prior = with_item_attributes(prior, item_vectors, config.item_attribute_scale)
    estimates = user_estimates(table, prior, config.noise)
    encoder = fit_linear_encoder(user_vectors[users], estimates, config.user_ridge)
    # mu carries the population's mean, so a user about whom nothing is known starts at zero, not at the mean estimate.
    encoder = replace(encoder, offset=np.zeros_like(encoder.offset))
    return TaskSpace(prior.features, prior.popularity, encoder, users)


def _aligned(space: TaskSpace, reference: TaskSpace) -> TaskSpace:
    """Returns `space` rotated onto the reference's coordinates (orthogonal Procrustes), with as many columns.

    A rotation keeps w ~ N(0, I), so an initialization learned in one space means the same in another. The reference
    knows the fold's users: nothing is gained by that as long as all axes count alike, but what is learned for single
    axes (`train.scale_rate`) looks better to these users than to people whom nobody has seen.

    Reference: Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31 (1966).
    """
    dim = reference.features.shape[1]
    features = np.zeros((space.features.shape[0], dim), np.float32)
    width = min(dim, space.features.shape[1])
    features[:, :width] = space.features[:, :width]
    left, _, right = np.linalg.svd(features.T.astype(np.float64) @ reference.features)
    rotation = (left @ right).astype(np.float32)
    weight = np.zeros((space.user_encoder.weight.shape[0], dim), np.float32)
    weight[:, :width] = space.user_encoder.weight[:, :width]
    encoder = LinearEncoder(space.user_encoder.mean, weight @ rotation, np.zeros(dim, np.float32))
    return TaskSpace(features @ rotation, space.popularity, encoder, space.users)


def cross_fitted_spaces(
    rewards: NDArray[np.uint8],
    user_vectors: NDArray[np.float32],
    embeddings: Sequence[NDArray[Any]],
    item_vectors: NDArray[np.float32],
    users: NDArray[np.int64],
    config: PriorConfig,
    reference: TaskSpace,
    folds: int,
) -> list[tuple[TaskSpace, NDArray[np.int64]]]:
    """Returns `folds` pairs of a space fitted without some users, and those users.

    A user who helped to make the features is known to them already: the outer loop would learn to over-trust the
    features. So each task is played in a space that has never seen its user.

    Args:
        rewards: [U, n] uint8.
        user_vectors: [U, Z] float32.
        embeddings: one [n, E] float for each fold, from the users outside it.
        item_vectors: [n, A] float32.
        users: [N] int64, the meta-train users, in an order that carries no information.
        config: settings.
        reference: the space fitted on all of `users`; gives the coordinates.
        folds: number of parts, >= 2.
    """
    out = []
    for (held_out, others), embedding in zip(fold_users(users, folds), embeddings, strict=True):
        space = fit_task_space(rewards, user_vectors, embedding, item_vectors, others, config)
        out.append((_aligned(space, reference), held_out))
    return out
