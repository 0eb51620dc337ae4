"""The exact gradient of the error after adapting, with respect to initial weights and learning rates, compiled.

Adapting is w_{t+1} = w_t - rates * g(w_t) on the support points; l is the error of w_T on the query points. Backwards
from v_T = dl/dw_T: v_t = v_{t+1} - H(w_t) (rates * v_{t+1}) and dl/drates = - sum_t g(w_t) * v_{t+1}. Leaving out the
Hessian gives the first-order form.

Reference: Finn et al., 2017, arXiv:1703.03400, algorithm 1 and section 5.2 (first-order form); Li et al., 2017,
arXiv:1707.09835, equation 1 (learned rates).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.sines.network import curvature_product, loss_gradient

__all__ = ["meta_gradient"]


@njit(cache=True, nogil=True)
def meta_gradient(
    weights: NDArray[Any],
    rates: NDArray[Any],
    support_x: NDArray[Any],
    support_y: NDArray[Any],
    query_x: NDArray[Any],
    query_y: NDArray[Any],
    steps: int,
    second_order: bool,
    weight_grad: NDArray[Any],
    rate_grad: NDArray[Any],
) -> float:
    """Returns one task's query error after adapting and writes its gradients.

    Args:
        weights: [P] float, initial weights of a network of rectifiers.
        rates: [P] float, learning rates of the weights.
        support_x: [K] float.
        support_y: [K] float.
        query_x: [Q] float.
        query_y: [Q] float.
        steps: gradient steps on the support points; with 0 the error is that of the initial weights.
        second_order: whether the Hessian of the support error is carried along.
        weight_grad: [P] float, overwritten.
        rate_grad: [P] float, overwritten.
    """
    path, slopes = np.empty((steps + 1, len(weights)), weights.dtype), np.empty((steps, len(weights)), weights.dtype)
    path[0] = weights
    for step in range(steps):
        loss_gradient(path[step], support_x, support_y, False, slopes[step])
        path[step + 1] = path[step] - rates * slopes[step]
    loss = loss_gradient(path[steps], query_x, query_y, False, weight_grad)
    rate_grad[:] = 0
    product = np.empty_like(weights)
    for step in range(steps - 1, -1, -1):
        rate_grad -= slopes[step] * weight_grad
        if second_order:
            curvature_product(path[step], support_x, support_y, False, rates * weight_grad, product)
            weight_grad -= product
    return loss
