"""Users with latent tastes: given factors, or drawn from a fitted prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simulator.checks import at_least
from simulator.errors import SimulatorError
from simulator.randomness import normals

__all__ = ["FactorUsers", "LatentFactorUsers", "calibrated_intercepts"]

_QUADRATURE = 32
_BISECTIONS = 60


def calibrated_intercepts(popularity: Tensor, variance: Tensor) -> Tensor:
    """Returns a_i [n] float32 such that E sigmoid(a_i + s_i z) = popularity_i for z ~ N(0, 1).

    Averaging over users pulls probabilities towards a half, so an intercept of logit(popularity) would give rare items
    too many rewards; this one gives every item its own rate.

    Args:
        popularity: [n], reward rates; those outside (1e-5, 1 - 1e-5) are moved there.
        variance: [n], s_i^2, the variance of the item's utility over users.

    Reference: Agresti, "Categorical Data Analysis", 2013, section 13.2 (marginal and conditional effects in logistic
        random-effects models); Gauss-Hermite quadrature for the mean.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)  # type: ignore[no-untyped-call]
    z = torch.from_numpy(nodes)
    mass = torch.from_numpy(weights / weights.sum())
    target = popularity.double().clamp(1e-5, 1 - 1e-5)
    offsets = variance.double().clamp_min(0).sqrt().unsqueeze(1) * z
    low, high = torch.full_like(target, -200.0), torch.full_like(target, 200.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = (torch.sigmoid(middle.unsqueeze(1) + offsets) @ mass) > target
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return ((low + high) / 2).to(torch.float32)


@dataclass(frozen=True, eq=False)
class _Factors:
    """u_i = intercept_i + g_i . w: the part that given and drawn users share.

    Attributes:
        features: [n, D] float32, g; logits per unit of taste.
        intercepts: [n] float32, logits of an average user's P(like).
    """

    features: Tensor
    intercepts: Tensor

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.intercepts.shape != self.features.shape[:1] or len(self.intercepts) == 0:
            raise SimulatorError(
                f"features {tuple(self.features.shape)} and intercepts {tuple(self.intercepts.shape)} do not fit; "
                "give [items, dim] and [items], at least one item"
            )
        for name, tensor in (("features", self.features), ("intercepts", self.intercepts)):
            if not bool(torch.isfinite(tensor).all()):
                raise SimulatorError(f"{name} holds a number that is not finite")

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.features.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the features lie."""
        return self.features.device

    def tastes(self, users: Tensor) -> Tensor:
        """Returns w [N, D] float32."""
        raise NotImplementedError

    def utilities(self, users: Tensor, tastes: Tensor, items: Tensor | None = None) -> Tensor:
        """Returns intercept_i + g_i . w."""
        if items is None:
            return torch.addmm(self.intercepts, tastes, self.features.T)
        # A product and a sum: a batch of matrix products of this size costs more.
        return self.intercepts[items] + (self.features[items] * tastes.unsqueeze(1)).sum(dim=2)

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns sigmoid of the utilities."""
        return torch.sigmoid(self.utilities(users, self.tastes(users)))

    def candidates(self, users: Tensor) -> Tensor:
        """Returns all items."""
        return torch.ones((len(users), self.n_items), dtype=torch.bool, device=self.device)


@dataclass(frozen=True, eq=False)
class FactorUsers(_Factors):
    """Users whose factors are given.

    Attributes:
        weights: [U, D] float32, w of every user.
    """

    weights: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights.ndim != 2 or len(self.weights) == 0 or self.weights.shape[1] != self.features.shape[1]:
            raise SimulatorError(
                f"weights {tuple(self.weights.shape)} must be [users, {self.features.shape[1]}], at least one user"
            )
        if not bool(torch.isfinite(self.weights).all()):
            raise SimulatorError("weights holds a number that is not finite")

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.weights.shape[0])

    def tastes(self, users: Tensor) -> Tensor:
        """Returns the given factors."""
        return self.weights[users]

    def activity(self, users: Tensor) -> Tensor:
        """Returns a number that no user reaches: nothing is known of how active they are."""
        return torch.full((len(users),), torch.iinfo(torch.int64).max, device=self.device)


@dataclass(frozen=True, eq=False)
class LatentFactorUsers(_Factors):
    """Users drawn from a prior: u_i = intercept_i + g_i . w + spread z, w ~ N(0, I), z ~ N(0, 1).

    User u's taste and activity depend on (seed, u) alone, whatever other users there are.

    Attributes:
        n_users: number of users, at least 1.
        seed: decides every user.
        spread: standard deviation, in logits, of how much a user likes everything; >= 0.
        activity_median: median number of interactions in a user's life, >= 1.
        activity_sigma: spread of its logarithm, >= 0.
    """

    n_users: int
    seed: int
    spread: float = 0.0
    activity_median: float = 60.0
    activity_sigma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_users < 1:
            raise SimulatorError(f"n_users is {self.n_users}; give at least 1")
        at_least("spread", self.spread, 0)
        at_least("activity_median", self.activity_median, 1)
        at_least("activity_sigma", self.activity_sigma, 0)

    @classmethod
    def calibrated(
        cls,
        features: Tensor,
        popularity: Tensor,
        n_users: int,
        seed: int,
        *,
        spread: float = 0.0,
        activity_median: float = 60.0,
        activity_sigma: float = 1.0,
    ) -> LatentFactorUsers:
        """Returns users who like every item at its rate `popularity` [n], averaged over users.

        Raises:
            SimulatorError: a rate is outside 0..1, or another field is wrong.
        """
        if not bool(((popularity >= 0) & (popularity <= 1)).all()):
            raise SimulatorError("popularity holds a number outside 0..1; give reward rates")
        if features.ndim != 2 or popularity.shape != features.shape[:1]:
            raise SimulatorError(
                f"features {tuple(features.shape)} and popularity {tuple(popularity.shape)} do not fit; "
                "give [items, dim] and [items]"
            )
        at_least("spread", spread, 0)
        variance = features.double().square().sum(dim=1).cpu() + spread**2
        intercepts = calibrated_intercepts(popularity.cpu(), variance).to(features.device)
        return cls(features, intercepts, n_users, seed, spread, activity_median, activity_sigma)

    def tastes(self, users: Tensor) -> Tensor:
        """Returns w [N, D] float32 of users [N] int64."""
        dims = torch.arange(self.features.shape[1], device=self.device)
        return normals(self.seed, "taste", users.unsqueeze(1), dims).to(torch.float32)

    def utilities(self, users: Tensor, tastes: Tensor, items: Tensor | None = None) -> Tensor:
        """Returns intercept_i + g_i . w + spread z."""
        base = super().utilities(users, tastes, items)
        if self.spread == 0:
            return base
        return base + (normals(self.seed, "spread", users) * self.spread).to(torch.float32).unsqueeze(1)

    def activity(self, users: Tensor) -> Tensor:
        """Returns log-normal activity, rounded down, at least 1."""
        steps = torch.exp(normals(self.seed, "activity", users) * self.activity_sigma) * self.activity_median
        return steps.clamp(min=1, max=1e15).to(torch.int64)
