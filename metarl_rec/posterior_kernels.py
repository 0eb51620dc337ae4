"""The compiled preconditioner of the inner loop: the posterior covariance (I + S'S)^-1, by a B x B Cholesky factor.

numba's cache of a caller does not notice a change here: delete the caches (NUMBA_CACHE_DIR or __pycache__) after one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.fastmath import FAST

__all__ = ["factor", "precondition"]


@njit(cache=True, nogil=True, fastmath=FAST)
def factor(scaled: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the lower Cholesky factor [B, B] float64 of I + S S' for S [B, D]; its diagonal is at least 1."""
    count, dim = scaled.shape
    lower = np.zeros((count, count), np.float64)
    for i in range(count):
        for j in range(i + 1):
            total = 1.0 if i == j else 0.0
            for d in range(dim):
                total += scaled[i, d] * scaled[j, d]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = math.sqrt(max(total, 1.0)) if i == j else total / lower[j, j]
    return lower


@njit(cache=True, nogil=True, fastmath=FAST)
def precondition(scaled: NDArray[Any], lower: NDArray[np.float64], gradient: NDArray[Any]) -> None:
    """Replaces a gradient g [D] by (I + S'S)^-1 g = g - S'(I + S S')^-1 S g."""
    count, dim = scaled.shape
    inside = np.zeros(count, np.float64)
    for i in range(count):
        total = 0.0
        for d in range(dim):
            total += scaled[i, d] * gradient[d]
        for k in range(i):
            total -= lower[i, k] * inside[k]
        inside[i] = total / lower[i, i]
    for back in range(count):
        i = count - 1 - back
        total = inside[i]
        for k in range(i + 1, count):
            total -= lower[k, i] * inside[k]
        inside[i] = total / lower[i, i]
    for i in range(count):
        share = gradient.dtype.type(inside[i])
        for d in range(dim):
            gradient[d] -= share * scaled[i, d]
