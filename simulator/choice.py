"""Response models: probabilities first; sampling is the environment's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulator.errors import SimulatorError

__all__ = ["LogisticResponse", "fit_logistic_response"]

_NEWTON_STEPS = 50
_EDGE = 1e-4


@dataclass(frozen=True, slots=True)
class LogisticResponse:
    """P(reward = 1) = sigmoid(intercept + population * logit(mu_i) + personal * f_i . w).

    Attributes:
        intercept: shift of all probabilities, in logits.
        population: weight of the item's population reward.
        personal: weight of the user's own taste, in logits per unit of value.

    Reference: Train, "Discrete Choice Methods with Simulation", 2009, eq. 3.6 (binary logit).
    """

    intercept: float
    population: float
    personal: float

    def probabilities(self, popularity: Tensor, taste: Tensor) -> Tensor:
        """Returns P(reward = 1) [N, n] float32.

        Args:
            popularity: [n], mu in [0, 1].
            taste: [N, n], f_i . w of each user and item.
        """
        logits = torch.logit(popularity.clamp(_EDGE, 1 - _EDGE))
        return torch.sigmoid(self.intercept + self.population * logits + self.personal * taste).to(torch.float32)


def fit_logistic_response(
    popularity: NDArray[Any], taste: NDArray[Any], rewards: NDArray[np.uint8], ridge: float = 1e-3
) -> LogisticResponse:
    """Returns the maximum-likelihood response model, by Newton's method.

    Args:
        popularity: [n] float.
        taste: [N, n] float, each user's f_i . w, from estimates that have not seen these rewards, or shrunken ones.
        rewards: [N, n] uint8, 0 or 1.
        ridge: penalty on the coefficients that keeps Newton's step finite on separable data.

    Raises:
        SimulatorError: shapes do not fit, or all rewards are the same.

    Reference: McCullagh & Nelder, "Generalized Linear Models", 1989, section 4.4 (iteratively reweighted least
        squares).
    """
    if taste.shape != rewards.shape or popularity.shape != taste.shape[1:]:
        raise SimulatorError(
            f"popularity {popularity.shape}, taste {taste.shape} and rewards {rewards.shape} do not fit; "
            "give [items], [users, items] and [users, items]"
        )
    if rewards.min() == rewards.max():
        raise SimulatorError("rewards are all the same; a response model needs both outcomes")
    clipped = np.clip(popularity.astype(np.float64), _EDGE, 1 - _EDGE)
    logits = np.broadcast_to(np.log(clipped / (1 - clipped)), taste.shape)
    design = np.stack([np.ones(taste.size), logits.ravel(), taste.astype(np.float64).ravel()], axis=1)
    outcome = rewards.ravel().astype(np.float64)
    beta = np.array([0.0, 1.0, 0.0])
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(design @ beta)))
        gradient = design.T @ (outcome - p) - ridge * beta
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + ridge * np.eye(3)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return LogisticResponse(*(float(value) for value in beta))
