"""Populations: each is a distribution over tasks, and every user of it is one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulator.choice import LogisticResponse, fit_logistic_response
from simulator.errors import SimulatorError
from simulator.randomness import normals

__all__ = ["LatentFactorUsers", "LoggedUsers", "Population", "fit_latent_factor_users"]


class Population(Protocol):
    """Users whose answers to every item are defined, whether or not the item is ever shown."""

    @property
    def n_users(self) -> int:
        """Number of users."""

    @property
    def n_items(self) -> int:
        """Number n of items."""

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns P(reward = 1) [N, n] float32 of users [N] int64."""

    def candidates(self, users: Tensor) -> Tensor:
        """Returns the items [N, n] bool that may be shown to users [N] int64."""

    def activity(self, users: Tensor) -> Tensor:
        """Returns the number of interactions [N] int64 after which each of users [N] int64 is gone."""


class LoggedUsers:
    """Users of a log: their real ratings decide the reward.

    Args:
        rewards: [U, n] uint8, 1 where the rating was positive.
        rated: [U, n] bool, where there is a rating at all.
        convention: "unrated-zero" offers every item, and an unrated one gives 0; "rated-only" offers only rated ones.
    """

    def __init__(
        self,
        rewards: NDArray[np.uint8],
        rated: NDArray[np.bool_],
        convention: Literal["unrated-zero", "rated-only"] = "unrated-zero",
    ) -> None:
        if rewards.shape != rated.shape or rewards.ndim != 2 or 0 in rewards.shape:
            raise SimulatorError(
                f"rewards {rewards.shape} and rated {rated.shape} must be the same [users, items], neither of them zero"
            )
        if rewards.max() > 1:
            raise SimulatorError(f"rewards must be 0 or 1, not {rewards.max()}")
        if convention not in ("unrated-zero", "rated-only"):
            raise SimulatorError(f"convention {convention!r} must be unrated-zero or rated-only")
        self._rewards = torch.from_numpy(rewards)
        self._rated = torch.from_numpy(rated)
        self._everything = convention == "unrated-zero"

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self._rewards.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self._rewards.shape[1])

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns 0 or 1: a log has one answer to each item."""
        return self._rewards[users].to(torch.float32)

    def candidates(self, users: Tensor) -> Tensor:
        """Returns all items, or the rated ones, by the convention."""
        rated = self._rated[users]
        return torch.ones_like(rated) if self._everything else rated

    def activity(self, users: Tensor) -> Tensor:
        """Returns each user's number of ratings."""
        return self._rated[users].sum(dim=1)


@dataclass(frozen=True, slots=True)
class LatentFactorUsers:
    """Users drawn from a prior: w_u ~ N(0, I), a response model over mu_i and f_i . w_u, and heavy-tailed activity.

    User u's taste and activity depend on (seed, u) alone, whatever other users there are.

    Attributes:
        features: [n, D] float32.
        popularity: [n] float32 in [0, 1].
        response: reward probabilities from popularity and taste.
        n_users: number of users, at least 1.
        seed: decides every user.
        activity_median: median number of interactions, >= 1.
        activity_sigma: spread of its logarithm, >= 0.
    """

    features: Tensor
    popularity: Tensor
    response: LogisticResponse
    n_users: int
    seed: int
    activity_median: float = 60.0
    activity_sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.n_users < 1:
            raise SimulatorError(f"n_users must be at least 1, not {self.n_users}")
        if self.features.ndim != 2 or self.popularity.shape != self.features.shape[:1]:
            raise SimulatorError(
                f"features {tuple(self.features.shape)} and popularity {tuple(self.popularity.shape)} do not fit; "
                "give [items, dim] and [items]"
            )
        if not bool(((self.popularity >= 0) & (self.popularity <= 1)).all()):
            raise SimulatorError("popularity must lie in 0..1: it is a reward rate")
        if self.activity_median < 1 or self.activity_sigma < 0:
            raise SimulatorError(
                f"activity_median {self.activity_median} must be >= 1 and activity_sigma {self.activity_sigma} >= 0"
            )

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.features.shape[0])

    def weights(self, users: Tensor) -> Tensor:
        """Returns the tastes w [N, D] float32 of users [N] int64."""
        dims = torch.arange(self.features.shape[1])
        return normals(self.seed, "taste", users.unsqueeze(1), dims.unsqueeze(0)).to(torch.float32)

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns the response model's probabilities."""
        return self.response.probabilities(self.popularity, self.weights(users) @ self.features.T)

    def candidates(self, users: Tensor) -> Tensor:
        """Returns all items."""
        return torch.ones((len(users), self.n_items), dtype=torch.bool)

    def activity(self, users: Tensor) -> Tensor:
        """Returns log-normal activity, rounded down, at least 1."""
        steps = torch.exp(normals(self.seed, "activity", users) * self.activity_sigma) * self.activity_median
        return steps.clamp(min=1).to(torch.int64)


def fit_latent_factor_users(
    rewards: NDArray[np.uint8],
    features: NDArray[np.float32],
    popularity: NDArray[np.float32],
    user_weights: NDArray[Any],
    n_users: int,
    seed: int,
) -> LatentFactorUsers:
    """Returns a population whose response model and activity are fitted on real users.

    Args:
        rewards: [N, n] uint8, real users' rewards.
        features: [n, D] float32.
        popularity: [n] float32.
        user_weights: [N, D], the real users' tastes: draws from their posteriors rather than estimates, which are
            shrunken and would make the drawn users differ from one another too much.
        n_users: how many users to draw.
        seed: decides them.
    """
    response = fit_logistic_response(popularity, user_weights @ features.T, rewards)
    positives = np.log(np.maximum(rewards.sum(axis=1), 1))
    return LatentFactorUsers(
        features=torch.from_numpy(np.ascontiguousarray(features)),
        popularity=torch.from_numpy(np.ascontiguousarray(popularity)),
        response=response,
        n_users=n_users,
        seed=seed,
        activity_median=float(np.exp(positives.mean())),
        activity_sigma=float(positives.std()),
    )
