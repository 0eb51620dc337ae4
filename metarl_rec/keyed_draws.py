"""Draws that depend on nothing but their place: a task answers the same pull of an arm alike, whoever pulls."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["BERNOULLI", "POSTERIOR", "uniform"]

BERNOULLI = 0
"""Kind of the draws that decide arms and answers."""

POSTERIOR = 1
"""Kind of the draws that seed a policy's own."""

_STEPS = tuple(
    np.uint64(step) for step in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)
)
_A, _B, _C, _D = _STEPS
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@njit(cache=True, nogil=True)
def _mixed(z: Any) -> Any:
    z = (z ^ (z >> _S30)) * _B
    z = (z ^ (z >> _S27)) * _C
    return z ^ (z >> _S31)


@njit(cache=True, nogil=True)
def uniform(seed: int, kind: int, task: int, arm: int, pull: int) -> float:
    """Returns a number in [0, 1) for (seed, kind, task, arm, pull), all >= 0, by mixing counters.

    Reference: Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (the finalizer).
    """
    z = _mixed(np.uint64(seed) * _A + np.uint64(kind) + np.uint64(1))
    z = _mixed(z + np.uint64(task) * _A)
    z = _mixed(z + np.uint64(arm) * _D + np.uint64(pull) * _B)
    return float(z >> _S11) * (1.0 / 9007199254740992.0)
