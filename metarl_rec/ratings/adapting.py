"""A user's tastes by a few preconditioned gradient steps from the initialization."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.ratings.prior import Prior

__all__ = ["adapt"]


def adapt(
    prior: Prior, items: NDArray[np.int64], ratings: NDArray[np.float64], moment: NDArray[np.float64], steps: int = 5
) -> NDArray[np.float64]:
    """Returns w [d] after `steps` steps on squared error with a pull to the prior.

    Args:
        prior: initialization, features and noise.
        items: [S] support.
        ratings: [S] its ratings.
        moment: [d, d] mean of f f' over the train users' ratings; the preconditioner is the curvature it predicts.
        steps: gradient steps.
    """
    f, target = prior.features[items], ratings - prior.mean[items]
    eye = np.eye(f.shape[1])
    conditioner = np.linalg.inv(eye + len(items) * moment / prior.noise)
    curvature = conditioner @ (eye + f.T @ f / prior.noise)
    rate = 1.5 / float(np.abs(np.linalg.eigvals(curvature)).max())
    w = np.zeros(f.shape[1])
    for _ in range(steps):
        w = w + rate * conditioner @ (f.T @ (target - f @ w) / prior.noise - w)
    return w
