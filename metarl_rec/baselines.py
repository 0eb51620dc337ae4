"""Baselines that learn: hierarchical-Bayes linear bandits, greedy and Thompson, with the same prior as ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.policies import Decision, Feedback, View, choose

__all__ = ["HierarchicalBayesPolicy"]


class HierarchicalBayesPolicy:
    """Exact Gaussian posterior of w ~ N(w0, I), y = mu + f . w + noise, updated after every reward.

    Args:
        features: [n, D] float32.
        popularity: [n] float32.
        starts: [N, D] float32, prior means.
        noise: residual variance, > 0.
        thompson: draw w from the posterior at each step instead of taking its mean.

    Reference: Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", 2013, arXiv:1209.3352;
        the update is the Kalman filter's for a static state.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        popularity: NDArray[np.float32],
        starts: NDArray[np.float32],
        noise: float,
        *,
        thompson: bool = False,
    ) -> None:
        self._features = features.astype(np.float64)
        self._popularity = popularity.astype(np.float64)
        self._starts = starts.astype(np.float64)
        self._noise = noise
        self._thompson = thompson

    def begin(self, rng: np.random.Generator) -> None:
        """Returns every user to the prior."""
        users, dim = self._starts.shape
        self._rng = rng
        self._shown: list[NDArray[np.int32]] = []
        self._mean = self._starts.copy()
        self._covariance = np.broadcast_to(np.eye(dim), (users, dim, dim)).copy()

    def act(self, view: View) -> Decision:
        """Takes the best items under the posterior mean or under one posterior draw."""
        weights = self._mean
        if self._thompson:
            # The posterior precision is at least 1, so the covariance stays well conditioned for Cholesky.
            factor = np.linalg.cholesky(self._covariance)
            weights = weights + np.einsum("nij,nj->ni", factor, self._rng.standard_normal(weights.shape))
        values = (self._popularity + weights @ self._features.T).astype(np.float32)
        decision = choose(values, view, None, self._rng)
        self._shown.append(decision.items)
        return decision

    def observe(self, feedback: Feedback) -> None:
        """Conditions posteriors on the rewards that arrived, one by one."""
        # A user's late answers come beside the newest: each step's are one batch without repeated users.
        for step in np.unique(feedback.steps):
            at = np.flatnonzero(feedback.steps == step)
            users = feedback.users[at]
            for position in range(feedback.rewards.shape[1]):
                self._condition(users, self._shown[step][users, position], feedback.rewards[at, position])

    def _condition(self, users: NDArray[np.int64], items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        rows = self._features[items]
        moved = np.einsum("nij,nj->ni", self._covariance[users], rows)
        gain = moved / (self._noise + np.einsum("ni,ni->n", moved, rows))[:, None]
        surprise = rewards - self._popularity[items] - np.einsum("ni,ni->n", self._mean[users], rows)
        self._mean[users] += gain * surprise[:, None]
        self._covariance[users] -= np.einsum("ni,nj->nij", gain, moved)
