"""Trials of Bernoulli bandits, compiled: the learned index, UCB, Thompson sampling and the greedy posterior mean.

A trial is `horizon` pulls of `arms` arms, each with P(reward) uniform in [0, 1]. The fast weights of a task are one
estimate an arm, moved by one gradient step on the squared error after each of its pulls:

    theta_a <- theta_a + (r - theta_a) / (e^{n0} + n_a + 1)

and the arm of the greatest theta_a + spread_a g(n_a, left) is pulled next, with spread_a the standard deviation of a
reward over the root of a count, and g a learned function of that count and of how many pulls are left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from metarl_rec.keyed_draws import BERNOULLI, POSTERIOR, uniform

__all__ = ["N_COEFFICIENTS", "bonus_table", "index_rewards", "thompson_rewards", "ucb_rewards"]

N_COEFFICIENTS = 8
_UNPULLED = 1_000_000


@njit(cache=True, nogil=True)
def _answer(seed: int, task: int, arm: int, pull: int) -> float:
    """Returns the reward of an arm's pull-th pull: 1 with the arm's own probability, which is a draw as well."""
    chance = uniform(seed, BERNOULLI, task, arm, _UNPULLED)
    return 1.0 if uniform(seed, BERNOULLI, task, arm, pull) < chance else 0.0


@njit(cache=True, nogil=True)
def bonus_table(coefficients: NDArray[Any], horizon: int) -> NDArray[Any]:
    """Returns g [horizon + 1, horizon + 1] for counts n and pulls left after the present one.

    g = softplus(c3 + c4 log(left + 1) + c5 log(n + 1)) left / (left + e^c6 (n + 1)), plus c7 where n = 0: it vanishes
    on the last pull, when there is nothing left to learn for.
    """
    out = np.zeros((horizon + 1, horizon + 1))
    for n in range(horizon + 1):
        for left in range(horizon + 1):
            x = coefficients[3] + coefficients[4] * math.log(left + 1.0) + coefficients[5] * math.log(n + 1.0)
            soft = x if x > 30 else math.log1p(math.exp(x))
            out[n, left] = soft * left / (left + math.exp(coefficients[6]) * (n + 1.0))
        if n == 0:
            for left in range(1, horizon + 1):
                out[n, left] += coefficients[7]
    return out


@njit(cache=True, nogil=True, parallel=True)
def index_rewards(
    coefficients: NDArray[Any], arms: int, horizon: int, first: int, tasks: int, seed: int
) -> NDArray[np.float64]:
    """Returns the total reward [tasks] of the learned index on tasks first .. first + tasks - 1.

    Args:
        coefficients: [8] float64: n0, logit of theta at the start, log of the count added to n_a in spread_a, and the
            five of `bonus_table`.
        arms: k.
        horizon: pulls.
        first: number of the first task.
        tasks: how many.
        seed: decides the tasks and their answers.
    """
    table = bonus_table(coefficients, horizon)
    prior = math.exp(coefficients[0])
    start = 1.0 / (1.0 + math.exp(-coefficients[1]))
    added = math.exp(coefficients[2])
    out = np.zeros(tasks)
    for row in prange(tasks):
        task = first + row
        theta, spread = np.empty(arms), np.empty(arms)
        pulls = np.zeros(arms, np.int64)
        known = 0
        fresh = math.sqrt(start * (1.0 - start) / added)
        total = 0.0
        for step in range(horizon):
            left = horizon - 1 - step
            best, value = -1, -np.inf
            for a in range(known):
                index = theta[a] + spread[a] * table[pulls[a], left]
                if index > value:
                    best, value = a, index
            # Arms that were never pulled are all alike: one of them stands for all.
            if known < arms and start + fresh * table[0, left] > value:
                best = known
                theta[best] = start
                known += 1
            reward = _answer(seed, task, best, pulls[best])
            total += reward
            theta[best] += (reward - theta[best]) / (prior + pulls[best] + 1.0)
            pulls[best] += 1
            spread[best] = math.sqrt(theta[best] * (1.0 - theta[best]) / (pulls[best] + added))
        out[row] = total
    return out


@njit(cache=True, nogil=True, parallel=True)
def ucb_rewards(width: float, arms: int, horizon: int, first: int, tasks: int, seed: int) -> NDArray[np.float64]:
    """Returns the total reward [tasks] of UCB: posterior mean + width sqrt(log t / (n + 1)); width 0 is greedy.

    With the posterior mean of a uniform prior, arms that were never pulled have a finite bound: pulling each of fifty
    arms once would cost half of a hundred pulls.

    Reference: Auer, Cesa-Bianchi & Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", 2002.
    """
    out = np.zeros(tasks)
    for row in prange(tasks):
        task = first + row
        wins, pulls = np.zeros(arms), np.zeros(arms, np.int64)
        total = 0.0
        for step in range(horizon):
            best, value = 0, -np.inf
            for a in range(arms):
                index = (wins[a] + 1.0) / (pulls[a] + 2.0)
                index += width * math.sqrt(math.log(step + 1.0) / (pulls[a] + 1.0))
                if index > value:
                    best, value = a, index
                if pulls[a] == 0:
                    # The others that were never pulled are alike.
                    break
            reward = _answer(seed, task, best, pulls[best])
            wins[best] += reward
            pulls[best] += 1
            total += reward
        out[row] = total
    return out


@njit(cache=True, nogil=True, parallel=True)
def thompson_rewards(arms: int, horizon: int, first: int, tasks: int, seed: int) -> NDArray[np.float64]:
    """Returns the total reward [tasks] of Thompson sampling with Beta(1, 1) priors.

    Reference: Thompson, "On the Likelihood that One Unknown Probability Exceeds Another", 1933.
    """
    out = np.zeros(tasks)
    for row in prange(tasks):
        task = first + row
        # A state of its own for every task: the draws do not depend on how tasks are shared among threads.
        np.random.seed(int(uniform(seed, POSTERIOR, task, 0, 0) * 4294967295.0))  # noqa: NPY002
        wins, pulls = np.zeros(arms), np.zeros(arms, np.int64)
        total = 0.0
        for _ in range(horizon):
            best, value = 0, -1.0
            for a in range(arms):
                draw = np.random.beta(wins[a] + 1.0, pulls[a] - wins[a] + 1.0)  # noqa: NPY002
                if draw > value:
                    best, value = a, draw
            reward = _answer(seed, task, best, pulls[best])
            wins[best] += reward
            pulls[best] += 1
            total += reward
        out[row] = total
    return out
