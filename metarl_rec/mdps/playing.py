"""Trials of tabular MDPs, compiled: the meta-learned planner, posterior sampling, and the one that knows the MDP.

A trial is n episodes of ten steps from state 0. The fast weights of a task are its estimates, moved by one gradient
step on each transition: rewards by (r - theta) / (e^{c0} + n + 1), transitions by counts on top of e^{c2}. Before every
action the rest of the episode is planned on them, with a bonus e.g. for actions that were tried little while much of
the trial is left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from metarl_rec.keyed_draws import POSTERIOR, uniform
from metarl_rec.mdps.drawing import ACTIONS, HORIZON, STATES, draw_mdp, next_state, plan, reward_of

__all__ = ["oracle_rewards", "planner_rewards", "psrl_rewards"]


@njit(cache=True, nogil=True)
def _bonus(c: NDArray[Any], count: float, left: float) -> float:
    """Returns softplus(c4 + c5 log(left + 1) + c6 log(n + 1)) left / (left + e^c7 (n + 1)) / sqrt(n + e^c3)."""
    x = c[4] + c[5] * math.log(left + 1.0) + c[6] * math.log(count + 1.0)
    soft = x if x > 30 else math.log1p(math.exp(x))
    return soft * left / (left + math.exp(c[7]) * (count + 1.0)) / math.sqrt(count + math.exp(c[3]))


@njit(cache=True, nogil=True, parallel=True)
def planner_rewards(
    coefficients: NDArray[Any], episodes: int, first: int, tasks: int, seed: int
) -> NDArray[np.float64]:
    """Returns the total reward [tasks] of the planner on tasks first .. first + tasks - 1.

    Args:
        coefficients: [8] float64: log of the rewards' prior count, their prior mean, log of the transitions' prior
            count, log of the count added under the root, and four of the bonus.
        episodes: n.
        first: number of the first task.
        tasks: how many.
        seed: decides the tasks and their answers.
    """
    out = np.zeros(tasks)
    prior, mean, pseudo = math.exp(coefficients[0]), coefficients[1], math.exp(coefficients[2])
    for row in prange(tasks):
        task = first + row
        transitions, means = np.empty((STATES, ACTIONS, STATES)), np.empty((STATES, ACTIONS))
        draw_mdp(seed, task, transitions, means)
        visits, counts = np.zeros((STATES, ACTIONS)), np.zeros((STATES, ACTIONS, STATES))
        theta = np.full((STATES, ACTIONS), mean)
        estimate = np.full((STATES, ACTIONS, STATES), 1.0 / STATES)
        wished, values = np.empty((STATES, ACTIONS)), np.empty((2, STATES))
        total = 0.0
        for episode in range(episodes):
            state = 0
            for step in range(HORIZON):
                left = float((episodes - episode) * HORIZON - step - 1)
                for s in range(STATES):
                    for a in range(ACTIONS):
                        wished[s, a] = theta[s, a] + _bonus(coefficients, visits[s, a], left)
                a = plan(estimate, wished, HORIZON - step, state, values)
                visit = int(visits[state, a])
                reward = reward_of(seed, task, state, a, visit, means)
                after = next_state(seed, task, state, a, visit, transitions)
                theta[state, a] += (reward - theta[state, a]) / (prior + visits[state, a] + 1.0)
                visits[state, a] += 1.0
                counts[state, a, after] += 1.0
                for t in range(STATES):
                    estimate[state, a, t] = (counts[state, a, t] + pseudo) / (visits[state, a] + STATES * pseudo)
                total += reward
                state = after
        out[row] = total
    return out


@njit(cache=True, nogil=True, parallel=True)
def psrl_rewards(episodes: int, first: int, tasks: int, seed: int) -> NDArray[np.float64]:
    """Returns the total reward [tasks] of posterior sampling: an MDP drawn each episode, and its best policy played.

    Reference: Osband, Russo & Van Roy, "(More) Efficient Reinforcement Learning via Posterior Sampling", 2013,
        arXiv:1306.0940, with the true prior.
    """
    out = np.zeros(tasks)
    for row in prange(tasks):
        task = first + row
        # A state of its own for every task: the draws do not depend on how tasks are shared among threads.
        np.random.seed(int(uniform(seed, POSTERIOR, task, 1, 0) * 4294967295.0))  # noqa: NPY002
        transitions, means = np.empty((STATES, ACTIONS, STATES)), np.empty((STATES, ACTIONS))
        draw_mdp(seed, task, transitions, means)
        visits, sums = np.zeros((STATES, ACTIONS)), np.zeros((STATES, ACTIONS))
        counts = np.zeros((STATES, ACTIONS, STATES))
        drawn, wished, values = np.empty((STATES, ACTIONS, STATES)), np.empty((STATES, ACTIONS)), np.empty((2, STATES))
        total = 0.0
        for _ in range(episodes):
            for s in range(STATES):
                for a in range(ACTIONS):
                    n = visits[s, a]
                    wished[s, a] = (1.0 + sums[s, a]) / (1.0 + n) + np.random.normal() / math.sqrt(1.0 + n)  # noqa: NPY002
                    mass = 0.0
                    for t in range(STATES):
                        drawn[s, a, t] = np.random.gamma(1.0 + counts[s, a, t], 1.0)  # noqa: NPY002
                        mass += drawn[s, a, t]
                    for t in range(STATES):
                        drawn[s, a, t] /= mass
            state = 0
            for step in range(HORIZON):
                a = plan(drawn, wished, HORIZON - step, state, values)
                visit = int(visits[state, a])
                reward = reward_of(seed, task, state, a, visit, means)
                after = next_state(seed, task, state, a, visit, transitions)
                visits[state, a] += 1.0
                sums[state, a] += reward
                counts[state, a, after] += 1.0
                total += reward
                state = after
        out[row] = total
    return out


@njit(cache=True, nogil=True, parallel=True)
def oracle_rewards(episodes: int, first: int, tasks: int, seed: int) -> NDArray[np.float64]:
    """Returns the total reward [tasks] of the best policy of the true MDP."""
    out = np.zeros(tasks)
    for row in prange(tasks):
        task = first + row
        transitions, means = np.empty((STATES, ACTIONS, STATES)), np.empty((STATES, ACTIONS))
        draw_mdp(seed, task, transitions, means)
        visits, values = np.zeros((STATES, ACTIONS)), np.empty((2, STATES))
        total = 0.0
        for _ in range(episodes):
            state = 0
            for step in range(HORIZON):
                a = plan(transitions, means, HORIZON - step, state, values)
                visit = int(visits[state, a])
                total += reward_of(seed, task, state, a, visit, means)
                visits[state, a] += 1.0
                state = next_state(seed, task, state, a, visit, transitions)
        out[row] = total
    return out
