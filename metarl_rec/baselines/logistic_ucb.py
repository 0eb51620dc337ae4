"""Logistic bandit with an upper confidence bound: a generalized linear model on factors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.baselines.answers import answers
from metarl_rec.policies import Decision, Feedback, View, choose

__all__ = ["LogisticUCBPolicy"]

_LEAST = 1e-3


class LogisticUCBPolicy:
    """P(like) = sigmoid(logit(mu) + f . w), w ~ N(0, s I), a Gaussian approximation updated after every reward.

    Each update is one Newton step at the current mean (the dynamic generalized linear model's), and the item of the
    greatest upper bound on the logit is shown.

    Args:
        features: [n, D] float32.
        popularity: [n] float32, mu.
        users: N.
        scale: prior standard deviation of a logit along a row of length 1, > 0.
        bonus: width of the bound, in standard deviations of the logit.

    References: Filippi et al., "Parametric Bandits: The Generalized Linear Case", NeurIPS 2010; West, Harrison & Migon,
        "Dynamic Generalized Linear Models and Bayesian Forecasting", JASA 80 (1985), section 3.
    """

    def __init__(
        self, features: NDArray[np.float32], popularity: NDArray[np.float32], users: int, scale: float, bonus: float
    ) -> None:
        self._features = scale * features.astype(np.float64)
        rate = np.clip(popularity.astype(np.float64), _LEAST, 1 - _LEAST)
        self._base = np.log(rate / (1 - rate))
        self._users = users
        self._bonus = bonus

    def begin(self, rng: np.random.Generator) -> None:
        """Returns every user to the prior."""
        dim = self._features.shape[1]
        self._rng = rng
        self._shown: list[NDArray[np.int32]] = []
        self._mean = np.zeros((self._users, dim))
        self._covariance = np.broadcast_to(np.eye(dim), (self._users, dim, dim)).copy()
        # Variances of all logits; each reward takes off a square, which is cheaper than f' C f anew.
        self._variance = np.tile(np.square(self._features).sum(axis=1), (self._users, 1))

    def act(self, view: View) -> Decision:
        """Takes the items of the greatest upper bounds."""
        logits = self._base + self._mean @ self._features.T
        if self._bonus > 0:
            logits += self._bonus * np.sqrt(np.maximum(self._variance, 0.0))
        decision = choose(logits.astype(np.float32), view, None, self._rng)
        self._shown.append(decision.items)
        return decision

    def observe(self, feedback: Feedback) -> None:
        """Takes a Newton step for every reward that arrived."""
        for users, items, rewards in answers(feedback, self._shown):
            self._condition(users, items, rewards)

    def _condition(self, users: NDArray[np.int64], items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        rows = self._features[items]
        chance = 1 / (1 + np.exp(-self._base[items] - np.einsum("ni,ni->n", self._mean[users], rows)))
        slope = chance * (1 - chance)
        moved = np.einsum("nij,nj->ni", self._covariance[users], rows)
        spread = 1 + slope * np.einsum("ni,ni->n", moved, rows)
        gain = moved / spread[:, None]
        self._mean[users] += gain * (rewards - chance)[:, None]
        self._covariance[users] -= np.einsum("n,ni,nj->nij", slope, gain, moved)
        self._variance[users] -= np.square(moved @ self._features.T) * (slope / spread)[:, None]
