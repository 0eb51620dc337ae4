"""The compiled Kullback-Leibler divergence of two softmax policies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.fastmath import FAST

__all__ = ["policy_kl"]


@njit(cache=True, nogil=True, fastmath=FAST)
def policy_kl(values: NDArray[Any], start_values: NDArray[Any], rest: NDArray[np.bool_], temperature: float) -> float:
    """Returns KL(softmax(values / tau) || softmax(start_values / tau)) over the items in `rest`, in nats.

    Args:
        values: [n] float, item values under the adapted weights.
        start_values: [n] float, item values under the initialization.
        rest: [n] bool, the candidates.
        temperature: tau > 0.
    """
    top, start_top = -np.inf, -np.inf
    for i in range(values.shape[0]):
        if rest[i]:
            top = max(top, values[i])
            start_top = max(start_top, start_values[i])
    mass, start_mass, gap = 0.0, 0.0, 0.0
    for i in range(values.shape[0]):
        if rest[i]:
            logit = (values[i] - top) / temperature
            start_logit = (start_values[i] - start_top) / temperature
            e = math.exp(logit)
            mass += e
            start_mass += math.exp(start_logit)
            gap += e * (logit - start_logit)
    if mass == 0.0:
        return 0.0
    return max(0.0, gap / mass - math.log(mass) + math.log(start_mass))
