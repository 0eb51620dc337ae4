"""Adapting to a task: gradient steps on its support points, one learning rate for every weight.

The error after every step is what all learners of this package are judged by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.sines.network import loss_gradient, predict
from metarl_rec.sines.tasks import Shots

__all__ = ["error_curves"]


@njit(cache=True, nogil=True)
def _curves(
    weights: NDArray[Any],
    rates: NDArray[Any],
    support_x: NDArray[Any],
    support_y: NDArray[Any],
    query_x: NDArray[Any],
    query_y: NDArray[Any],
    tanh: bool,
    steps: int,
    errors: NDArray[np.float64],
) -> None:
    """Writes errors [N, T] after the last T of 0 to `steps` steps."""
    first = steps + 1 - errors.shape[1]
    grad = np.empty_like(weights)
    for task in range(len(support_x)):
        adapted = weights.copy()
        for step in range(steps + 1):
            if step > 0:
                loss_gradient(adapted, support_x[task], support_y[task], tanh, grad)
                adapted -= rates * grad
            if step < first:
                continue
            out = predict(adapted, query_x[task], tanh)
            total = 0.0
            for i in range(len(out)):
                total += (out[i] - query_y[task, i]) ** 2
            errors[task, step - first] = total / len(out)


def error_curves(
    weights: NDArray[Any], rates: NDArray[Any] | float, shots: Shots, steps: int, *, tanh: bool, last_only: bool = False
) -> NDArray[np.float64]:
    """Returns the mean squared error on the query points before and after each step: [N, steps + 1], or [N, 1].

    Args:
        weights: [P] float, where every task starts.
        rates: [P] float or one number, learning rates.
        shots: N tasks.
        steps: gradient steps, each on all support points of the task.
        tanh: the network's activation, or else rectifiers.
        last_only: whether only the error after all steps is wanted, at a fraction of the time.
    """
    errors = np.empty((len(shots.support_x), 1 if last_only else steps + 1))
    full = np.broadcast_to(np.asarray(rates, weights.dtype), weights.shape).copy()
    _curves(weights, full, shots.support_x, shots.support_y, shots.query_x, shots.query_y, tanh, steps, errors)
    return errors
