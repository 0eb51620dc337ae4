"""Fitting users on a log: how strongly tastes matter, how much users differ in liking at all, how active they are.

Items' features are given in units of reward (a reward's change per unit of taste). A logistic model wants logits, and
one unit of reward is 1 / (mu (1 - mu)) logits of an item with rate mu for a small change; between the two stands the
correlation scale f_i / sqrt(mu_i (1 - mu_i)), which fits best (tests/learning/README.md). Two numbers are then fitted
by expectation maximization with Laplace posteriors: the taste's scale and the spread of users' intercepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simulator.errors import SimulatorError
from simulator.factors import LatentFactorUsers, calibrated_intercepts

__all__ = ["Posterior", "UserPrior", "fit_user_prior", "smoothed_popularity", "standardized"]

_LEAST_VARIANCE = 1e-3
_NEWTON_STEPS = 6
_HALVINGS = 12
_TOLERANCE = 1e-3


def smoothed_popularity(rewards: Tensor, observed: Tensor, pseudo_count: float) -> Tensor:
    """Returns reward rates [n] float32, each pulled to the overall rate by `pseudo_count` more observations of it.

    Args:
        rewards: [N, n], 0 or 1; read where observed.
        observed: [N, n] bool.
        pseudo_count: > 0.
    """
    seen = observed.to(torch.float64)
    liked = (rewards.to(torch.float64) * seen).sum(dim=0)
    counts = seen.sum(dim=0)
    overall = liked.sum() / counts.sum().clamp_min(1)
    return ((liked + pseudo_count * overall) / (counts + pseudo_count)).to(torch.float32)


def standardized(features: Tensor, popularity: Tensor) -> Tensor:
    """Returns f_i / sqrt(mu_i (1 - mu_i)) [n, D]: features of a logistic model from features in units of reward.

    Reference: Townes et al., "Feature selection and dimension reduction ... based on a multinomial model", Genome
        Biology 2019, eq. 10 (Pearson residuals as the first-order form of a generalized factor model).
    """
    variance = (popularity * (1 - popularity)).clamp_min(_LEAST_VARIANCE)
    return features / variance.sqrt().unsqueeze(1)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian approximation of what is known of N users: (w, z) whitened by the prior.

    Attributes:
        loadings: [n, D + 1], utility's change per unit of (w, z).
        intercepts: [n].
        mean: [N, D + 1].
        covariance: [N, D + 1, D + 1].
    """

    loadings: Tensor
    intercepts: Tensor
    mean: Tensor
    covariance: Tensor

    def probabilities(self) -> Tensor:
        """Returns P(like) [N, n], averaged over the posterior.

        Reference: MacKay, "The evidence framework applied to classification networks", 1992, eq. 14.
        """
        utilities = self.intercepts + self.mean @ self.loadings.T
        variance = torch.einsum("ni,uij,nj->un", self.loadings, self.covariance, self.loadings)
        return torch.sigmoid(utilities / (1 + torch.pi / 8 * variance).sqrt())


@dataclass(frozen=True, eq=False)
class UserPrior:
    """The fitted distribution of users.

    Attributes:
        features: [n, D] float32, standardized; logits per unit of `taste`.
        popularity: [n] float32.
        taste: scale of the features, >= 0.
        spread: standard deviation of users' intercepts, logits.
        activity_median: median number of interactions.
        activity_sigma: spread of its logarithm.
    """

    features: Tensor
    popularity: Tensor
    taste: float
    spread: float
    activity_median: float = 60.0
    activity_sigma: float = 1.0

    @property
    def intercepts(self) -> Tensor:
        """Returns the calibrated intercepts [n]."""
        return calibrated_intercepts(
            self.popularity, self.features.double().square().sum(dim=1) * self.taste**2 + self.spread**2
        )

    def draw(self, n_users: int, seed: int) -> LatentFactorUsers:
        """Returns `n_users` users of the distribution."""
        return LatentFactorUsers(
            self.features * self.taste, self.intercepts, n_users, seed, self.spread,
            max(self.activity_median, 1.0), self.activity_sigma,
        )  # fmt: skip

    def posterior(self, rewards: Tensor, observed: Tensor, start: Tensor | None = None) -> Posterior:
        """Returns what rewards [N, n] tell of N users where `observed` [N, n] bool: Laplace's approximation.

        `start` [N, D + 1] is where Newton's method begins; the prior's mean when absent.

        Reference: Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.5.1; damped Newton steps.
        """
        loadings = torch.cat([self.features * self.taste, torch.full_like(self.features[:, :1], self.spread)], dim=1)
        y, seen, a = rewards.to(torch.float32), observed.to(torch.float32), self.intercepts
        dim = loadings.shape[1]
        outer = (loadings.unsqueeze(2) * loadings.unsqueeze(1)).reshape(len(loadings), -1)

        def loss(mean: Tensor) -> Tensor:
            u = a + mean @ loadings.T
            return ((torch.nn.functional.softplus(u) - y * u) * seen).sum(dim=1) + mean.square().sum(dim=1) / 2

        def curvature(mean: Tensor) -> tuple[Tensor, Tensor]:
            p = torch.sigmoid(a + mean @ loadings.T)
            hessian = ((p * (1 - p) * seen) @ outer).view(-1, dim, dim) + torch.eye(dim)
            return hessian, ((y - p) * seen) @ loadings - mean

        mean = torch.zeros(len(y), dim) if start is None else start
        best = loss(mean)
        for _ in range(_NEWTON_STEPS):
            hessian, gradient = curvature(mean)
            step = torch.linalg.solve(hessian, gradient)
            for _ in range(_HALVINGS):
                value = loss(mean + step)
                worse = value > best
                if not bool(worse.any()):
                    break
                # Far from the mode a logistic's curvature vanishes and a whole step overshoots.
                step = torch.where(worse.unsqueeze(1), step / 2, step)
            mean = torch.where((value <= best).unsqueeze(1), mean + step, mean)
            gain = best - value
            best = torch.minimum(value, best)
            if float(gain.max()) < _TOLERANCE:
                break
        return Posterior(loadings, a, mean, torch.linalg.inv(curvature(mean)[0]))


def fit_user_prior(
    features: Tensor, popularity: Tensor, rewards: Tensor, observed: Tensor, *, rounds: int = 20
) -> UserPrior:
    """Returns the distribution of users behind rewards, with items' features and rates given.

    Args:
        features: [n, D] float32, in units of reward, from other users than these: a user who helped to make them would
            seem to follow them more closely than people do.
        popularity: [n] float32, reward rates.
        rewards: [N, n], 0 or 1; read where observed.
        observed: [N, n] bool; all True takes an unrated item as a reward of 0.
        rounds: of expectation maximization.

    Raises:
        SimulatorError: shapes do not fit, or all rewards are the same.

    Reference: Bishop, 2006, section 9.3.4 (EM for a scale hyperparameter); Laplace's approximation in the E-step.
    """
    if rewards.shape != observed.shape or rewards.shape[1:] != popularity.shape or len(rewards) == 0:
        raise SimulatorError(
            f"popularity {tuple(popularity.shape)}, rewards {tuple(rewards.shape)} and observed "
            f"{tuple(observed.shape)} do not fit; give [items], [users, items] and [users, items]"
        )
    seen = rewards[observed]
    if len(seen) == 0 or int(seen.min()) == int(seen.max()):
        raise SimulatorError("rewards are all the same; a distribution of users needs both outcomes")
    activity = (
        torch.log(observed.sum(dim=1).clamp_min(1).double())
        if not bool(observed.all())
        else torch.log(rewards.sum(dim=1).clamp_min(1).double())
    )
    scaled = standardized(features, popularity)
    taste, spread = 1.0, 0.5
    start = None
    for _ in range(rounds):
        known = UserPrior(scaled, popularity, taste, spread).posterior(rewards, observed, start)
        second = (known.mean.square() + torch.diagonal(known.covariance, dim1=1, dim2=2)).mean(dim=0)
        change = (float(second[:-1].mean().sqrt()), float(second[-1].sqrt()))
        taste, spread = taste * change[0], spread * change[1]
        start = known.mean
        if max(abs(change[0] - 1), abs(change[1] - 1)) < _TOLERANCE:
            break
    if not np.isfinite([taste, spread]).all():
        raise SimulatorError("fitting users diverged; the features or rewards hold extreme values")
    sigma = float(activity.std()) if len(activity) > 1 else 0.0
    return UserPrior(scaled, popularity, taste, spread, float(activity.mean().exp()), sigma)
