"""Compiled scoring of items: all of them, some of them, and which of them a softmax can notice.

numba's cache of a caller does not notice a change here: delete the caches (NUMBA_CACHE_DIR or __pycache__) after one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.fastmath import FAST

__all__ = ["distance", "likely_items", "score_and_measure", "score_items", "score_some"]


@njit(cache=True, nogil=True, fastmath=FAST)
def score_items(features: NDArray[Any], popularity: NDArray[Any], weights: NDArray[Any], out: NDArray[Any]) -> None:
    """Writes v_i = mu_i + f_i . w into `out`.

    Args:
        features: [n, D] float.
        popularity: [n] float.
        weights: [D] float.
        out: [n] float, overwritten.
    """
    for i in range(features.shape[0]):
        total = popularity[i]
        for d in range(features.shape[1]):
            total += features[i, d] * weights[d]
        out[i] = total


@njit(cache=True, nogil=True, fastmath=FAST)
def likely_items(
    values: NDArray[Any], rest: NDArray[np.bool_], touched: NDArray[np.int32], margin: float, out: NDArray[np.int32]
) -> int:
    """Writes the touched items, and the rest with values within `margin` of the best of it; returns how many.

    Args:
        values: [n] float, of all items.
        rest: [n] bool.
        touched: [U] int32.
        margin: in units of value.
        out: [n] int32, its beginning overwritten.
    """
    best = -np.inf
    for i in range(values.shape[0]):
        if rest[i] and values[i] > best:
            best = values[i]
    count = touched.shape[0]
    for u in range(count):
        out[u] = touched[u]
    for i in range(values.shape[0]):
        if rest[i] and values[i] >= best - margin:
            out[count] = i
            count += 1
    return count


@njit(cache=True, nogil=True, fastmath=FAST)
def score_some(
    features: NDArray[Any], popularity: NDArray[Any], weights: NDArray[Any], some: NDArray[np.int32], out: NDArray[Any]
) -> None:
    """Writes what `score_items` does, for the items `some` [m] int32 alone."""
    for i in some:
        total = popularity[i]
        for d in range(features.shape[1]):
            total += features[i, d] * weights[d]
        out[i] = total


@njit(cache=True, nogil=True, fastmath=FAST)
def score_and_measure(
    features: NDArray[Any], popularity: NDArray[Any], weights: NDArray[Any], out: NDArray[Any]
) -> float:
    """Does what `score_items` does; returns max_i |f_i|: no value moves further than that times the weights do."""
    longest = features.dtype.type(0.0)
    for i in range(features.shape[0]):
        total = popularity[i]
        square = features.dtype.type(0.0)
        for d in range(features.shape[1]):
            total += features[i, d] * weights[d]
            square += features[i, d] * features[i, d]
        out[i] = total
        longest = max(longest, square)
    return math.sqrt(longest)


@njit(cache=True, nogil=True, fastmath=FAST)
def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Returns |a - b| of two vectors [D]."""
    square = 0.0
    for d in range(a.shape[0]):
        square += (a[d] - b[d]) * (a[d] - b[d])
    return math.sqrt(square)
