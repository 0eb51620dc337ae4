"""Hierarchical-Bayes linear bandits: greedy, UCB and Thompson, with or without forgetting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metarl_rec.baselines.answers import answers
from metarl_rec.fatigue import RETENTIONS, Exposure
from metarl_rec.policies import Decision, Feedback, View, choose

__all__ = ["HierarchicalBayesPolicy"]


class HierarchicalBayesPolicy:
    """Exact Gaussian posterior of w ~ N(w0, I), y = mu + f . w + noise, updated after every reward.

    With forgetting q a user's w moves between two steps as w <- w0 + rho (w - w0) + sqrt(1 - rho^2) e, rho = 1 - q,
    e ~ N(0, I): a stationary process around the prior, of which this is the exact (Kalman) filter.

    Args:
        features: [n, D] float32.
        popularity: [n] float32.
        starts: [N, D] float32, prior means.
        noise: residual variance, > 0.
        thompson: draw w from the posterior at each step instead of taking its mean.
        bonus: width of an upper confidence bound, in posterior standard deviations of an item's value; 0 is greedy.
        forgetting: q in [0, 1).
        fatigue: h_m, taken off values as `fatigue.Exposure` has it, of the items' topics; zeros for nothing.
        topics: [n, T] float32, needed where `fatigue` is not zero.

    References: Agrawal & Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", 2013, arXiv:1209.3352;
        Li et al., "A Contextual-Bandit Approach to Personalized News Article Recommendation", 2010, arXiv:1003.0146,
        alg. 1 (the bonus); Kalman, "A New Approach to Linear Filtering and Prediction Problems", 1960.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        popularity: NDArray[np.float32],
        starts: NDArray[np.float32],
        noise: float,
        *,
        thompson: bool = False,
        bonus: float = 0.0,
        forgetting: float = 0.0,
        fatigue: Sequence[float] = (0.0,) * len(RETENTIONS),
        topics: NDArray[np.float32] | None = None,
    ) -> None:
        self._features = features.astype(np.float64)
        self._popularity = popularity.astype(np.float64)
        self._starts = starts.astype(np.float64)
        self._noise = noise
        self._thompson = thompson
        self._bonus = bonus
        self._retention = 1.0 - forgetting
        self._fatigue = fatigue
        self._topics = topics if any(fatigue) else None
        if any(fatigue) and topics is None:
            raise ValueError("fatigue is not zero; it needs the items' topics")
        if bonus > 0 and forgetting > 0:
            raise ValueError("bonus and forgetting are not combined: the bound is updated reward by reward")

    def begin(self, rng: np.random.Generator) -> None:
        """Returns every user to the prior."""
        users, dim = self._starts.shape
        self._rng = rng
        self._shown: list[NDArray[np.int32]] = []
        self._mean = self._starts.copy()
        self._covariance = np.broadcast_to(np.eye(dim), (users, dim, dim)).copy()
        # Posterior variances of all values; each reward takes off a square, which is cheaper than f' C f anew.
        self._exposure = None if self._topics is None else Exposure(self._topics, users)
        self._variance = np.tile(np.square(self._features).sum(axis=1), (users, 1)) if self._bonus > 0 else None

    def values(self) -> NDArray[np.float64]:
        """Returns [N, n]: the posterior mean of every item's value, its upper bound, or its value under one draw."""
        weights = self._mean
        if self._thompson:
            # The posterior precision is at least 1, so the covariance stays well conditioned for Cholesky.
            factor = np.linalg.cholesky(self._covariance)
            weights = weights + np.einsum("nij,nj->ni", factor, self._rng.standard_normal(weights.shape))
        values: NDArray[np.float64] = self._popularity + weights @ self._features.T
        if self._variance is not None:
            values += self._bonus * np.sqrt(np.maximum(self._variance, 0.0))
        return values

    def act(self, view: View) -> Decision:
        """Takes the best items by `values`, less fatigue."""
        values = self.values()
        if self._exposure is not None:
            values -= self._exposure.penalty(self._fatigue)
        decision = choose(values.astype(np.float32), view, None, self._rng)
        self._shown.append(decision.items)
        if self._exposure is not None:
            self._exposure.show(decision.items, view.present)
        return decision

    def observe(self, feedback: Feedback) -> None:
        """Conditions posteriors on the rewards that arrived, one by one, and lets time pass."""
        for users, items, rewards in answers(feedback, self._shown):
            self._condition(users, items, rewards)
        if self._retention < 1.0:
            square = self._retention**2
            self._mean = self._starts + self._retention * (self._mean - self._starts)
            self._covariance = square * self._covariance + (1 - square) * np.eye(self._mean.shape[1])

    def _condition(self, users: NDArray[np.int64], items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        rows = self._features[items]
        moved = np.einsum("nij,nj->ni", self._covariance[users], rows)
        spread = self._noise + np.einsum("ni,ni->n", moved, rows)
        gain = moved / spread[:, None]
        surprise = rewards - self._popularity[items] - np.einsum("ni,ni->n", self._mean[users], rows)
        self._mean[users] += gain * surprise[:, None]
        self._covariance[users] -= np.einsum("ni,nj->nij", gain, moved)
        if self._variance is not None:
            self._variance[users] -= np.square(moved @ self._features.T) / spread[:, None]
