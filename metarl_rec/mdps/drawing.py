"""Tabular MDPs of RL^2 and their answers, each draw keyed by its place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.keyed_draws import uniform

__all__ = ["ACTIONS", "HORIZON", "STATES", "draw_mdp", "next_state", "normal", "plan", "reward_of"]

STATES = 10
ACTIONS = 5
HORIZON = 10
"""Steps in an episode."""

_TRANSITION, _MEAN, _NOISE, _NEXT = 2, 3, 4, 5
_LEAST = 1e-12


@njit(cache=True, nogil=True)
def normal(seed: int, kind: int, task: int, place: int, turn: int) -> float:
    """Returns a standard normal draw (Box & Muller, 1958)."""
    first = max(uniform(seed, kind, task, place, 2 * turn), _LEAST)
    return math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * uniform(seed, kind, task, place, 2 * turn + 1))


@njit(cache=True, nogil=True)
def draw_mdp(seed: int, task: int, transitions: NDArray[Any], means: NDArray[Any]) -> None:
    """Writes T ~ Dirichlet(1) into [S, A, S] and mean rewards ~ N(1, 1) into [S, A].

    Reference: Duan et al., "RL^2", 2016, arXiv:1611.02779, section 3.2.
    """
    for s in range(STATES):
        for a in range(ACTIONS):
            place, total = s * ACTIONS + a, 0.0
            means[s, a] = 1.0 + normal(seed, _MEAN, task, place, 0)
            for t in range(STATES):
                # Normalized exponentials are Dirichlet(1).
                transitions[s, a, t] = -math.log(max(uniform(seed, _TRANSITION, task, place, t), _LEAST))
                total += transitions[s, a, t]
            for t in range(STATES):
                transitions[s, a, t] /= total


@njit(cache=True, nogil=True)
def next_state(seed: int, task: int, s: int, a: int, visit: int, transitions: NDArray[Any]) -> int:
    """Returns where the visit-th use of an action in a state leads."""
    rest = uniform(seed, _NEXT, task, s * ACTIONS + a, visit)
    for t in range(STATES - 1):
        rest -= transitions[s, a, t]
        if rest < 0.0:
            return t
    return STATES - 1


@njit(cache=True, nogil=True)
def reward_of(seed: int, task: int, s: int, a: int, visit: int, means: NDArray[Any]) -> float:
    """Returns the reward of the visit-th use of an action in a state: N(mean, 1)."""
    return float(means[s, a]) + normal(seed, _NOISE, task, s * ACTIONS + a, visit)


@njit(cache=True, nogil=True)
def plan(transitions: NDArray[Any], rewards: NDArray[Any], steps: int, state: int, values: NDArray[Any]) -> int:
    """Returns the best first action in `state` with `steps` steps to go, by backward induction.

    Args:
        transitions: [S, A, S].
        rewards: [S, A].
        steps: >= 1.
        state: where to act.
        values: [2, S], overwritten.
    """
    values[0, :] = 0.0
    now = 0
    for _ in range(steps - 1):
        for s in range(STATES):
            best = -np.inf
            for a in range(ACTIONS):
                q = rewards[s, a]
                for t in range(STATES):
                    q += transitions[s, a, t] * values[now, t]
                best = max(best, q)
            values[1 - now, s] = best
        now = 1 - now
    chosen, best = 0, -np.inf
    for a in range(ACTIONS):
        q = rewards[state, a]
        for t in range(STATES):
            q += transitions[state, a, t] * values[now, t]
        if q > best:
            chosen, best = a, q
    return chosen
