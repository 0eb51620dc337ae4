"""Drawing slates: a Plackett-Luce policy (sequential softmax without replacement) with exact propensities, and greedy.

Reference: Plackett, "The Analysis of Permutations", JRSS C 24 (1975); Luce, "Individual Choice Behavior" (1959).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

__all__ = ["greedy_slate", "greedy_slates", "sample_slate", "sample_slates", "slate_log_propensities"]


@njit(cache=True, nogil=True)
def _weigh(values: NDArray[Any], open_: NDArray[np.bool_], temperature: float, mass: NDArray[np.float64]) -> float:
    """Writes exp((v - max) / tau) of the open items into `mass` (0 elsewhere); returns the sum."""
    top = -np.inf
    for i in range(values.shape[0]):
        if open_[i] and values[i] > top:
            top = values[i]
    total = 0.0
    for i in range(values.shape[0]):
        mass[i] = math.exp((values[i] - top) / temperature) if open_[i] else 0.0
        total += mass[i]
    return total


@njit(cache=True, nogil=True)
def sample_slate(
    values: NDArray[Any], candidates: NDArray[np.bool_], temperature: float, uniforms: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Draws a slate, position by position, from softmax(values / tau) over the candidates not yet taken.

    Args:
        values: [n] float.
        candidates: [n] bool.
        temperature: tau > 0.
        uniforms: [k] float64 in [0, 1), one for each position; they alone decide the draw.

    Returns:
        items [m] int32 and log-propensities [m] float64 in nats, each conditional on the positions before it,
        where m = min(k, number of candidates).
    """
    n = values.shape[0]
    left = 0
    for i in range(n):
        if candidates[i]:
            left += 1
    length = min(left, uniforms.shape[0])
    items = np.empty(length, np.int32)
    log_propensities = np.empty(length, np.float64)
    open_ = candidates.copy()
    mass = np.empty(n, np.float64)
    total = _weigh(values, open_, temperature, mass)
    for position in range(length):
        target = uniforms[position] * total
        running = 0.0
        chosen = -1
        for i in range(n):
            if mass[i] > 0.0:
                running += mass[i]
                chosen = i
                if running > target:
                    break
        items[position] = chosen
        log_propensities[position] = math.log(mass[chosen] / total)
        taken = mass[chosen]
        open_[chosen] = False
        mass[chosen] = 0.0
        if position + 1 == length:
            break
        if taken < 0.5 * total:
            total -= taken
        else:
            # Most of the mass left with this item: weigh afresh, because a difference would cancel or underflow.
            total = _weigh(values, open_, temperature, mass)
    return items, log_propensities


@njit(cache=True, nogil=True)
def greedy_slate(values: NDArray[Any], candidates: NDArray[np.bool_], length: int) -> NDArray[np.int32]:
    """Returns the `length` best candidates [m] int32, best first, ties by the lower item number."""
    open_ = candidates.copy()
    left = 0
    for i in range(values.shape[0]):
        if candidates[i]:
            left += 1
    size = min(left, length)
    items = np.empty(size, np.int32)
    for position in range(size):
        best = -1
        for i in range(values.shape[0]):
            if open_[i] and (best < 0 or values[i] > values[best]):
                best = i
        items[position] = best
        open_[best] = False
    return items


@njit(cache=True, nogil=True)
def slate_log_propensities(
    values: NDArray[Any], candidates: NDArray[np.bool_], temperature: float, items: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Returns the log-probability [k] float64 of each position of a given slate under the Plackett-Luce policy."""
    open_ = candidates.copy()
    mass = np.empty(values.shape[0], np.float64)
    out = np.empty(items.shape[0], np.float64)
    for position in range(items.shape[0]):
        total = _weigh(values, open_, temperature, mass)
        out[position] = math.log(mass[items[position]] / total)
        open_[items[position]] = False
    return out


@njit(cache=True, nogil=True, parallel=True)
def sample_slates(
    values: NDArray[Any], candidates: NDArray[np.bool_], temperature: float, uniforms: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Row-wise `sample_slate` for users with at least k candidates each.

    Args:
        values: [N, n] float.
        candidates: [N, n] bool.
        temperature: tau > 0.
        uniforms: [N, k] float64.

    Returns:
        items [N, k] int32, log-propensities [N, k] float64.
    """
    items = np.empty(uniforms.shape, np.int32)
    log_propensities = np.empty(uniforms.shape, np.float64)
    for user in prange(values.shape[0]):
        items[user], log_propensities[user] = sample_slate(values[user], candidates[user], temperature, uniforms[user])
    return items, log_propensities


@njit(cache=True, nogil=True)
def greedy_slates(values: NDArray[Any], candidates: NDArray[np.bool_], length: int) -> NDArray[np.int32]:
    """Row-wise `greedy_slate`: [N, length] int32 for users with at least `length` candidates each."""
    items = np.empty((values.shape[0], length), np.int32)
    for user in range(values.shape[0]):
        items[user] = greedy_slate(values[user], candidates[user], length)
    return items
