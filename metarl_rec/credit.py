"""Credit for what comes after an action: discounted returns inside a session, with a critic of states.

The outer loss knows the expected reward of every item exactly; what an item does to the rest of the session has to be
sampled. A critic, linear in a few features of the state, stands in for what would have followed a session that was cut
(truncated, not terminated), and is the baseline that the sampled future is compared with.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.rollout import Rollout
from simulator.env import returns_to_go

__all__ = ["future_advantages"]

_RIDGE = 1.0
_TIMELESS = 3
"""The state's leading features that do not tell the time."""


def future_advantages(rollout: Rollout, discount: float, session_length: int) -> NDArray[np.float32]:
    """Returns gamma (G_{t+1} - V(s_t)) [N, T]: what followed each step in its session, against what usually does.

    G_{t+1} is the return from the step after t: 0 where the session terminated at t, the value of going on where it was
    cut, by its horizon or the roll-out's end. V is fitted to G_{t+1} by ridge regression on state features that are
    known before the action, the time within the session among them; the value of going on knows no time.

    Args:
        rollout: N users over T steps, slates of one.
        discount: gamma; 0 gives zeros.
        session_length: steps in a session.

    Reference: Schulman et al., 2016, arXiv:1506.02438, eq. 16 (lambda = 1); Pardo et al., "Time Limits in Reinforcement
        Learning", 2018, arXiv:1712.00378, section 3 (bootstrapping at truncation).
    """
    if discount == 0:
        return np.zeros(rollout.present.shape, np.float32)
    states = _states(rollout, session_length)
    present, ends = rollout.present, rollout.terminated | rollout.truncated
    # The roll-out's end cuts a session as its own horizon does: the user would have gone on.
    cut = rollout.truncated.copy()
    cut[:, -1] = present[:, -1] & ~rollout.terminated[:, -1]
    rewards = rollout.expected.sum(axis=2, dtype=np.float64) * present
    goes_on = states[:, :, :_TIMELESS]
    critic = _continuing(goes_on, rewards, cut, ends, present, discount)
    # Where a session was cut, the state after it is taken to be worth what the one before its last step was.
    returns = _returns(rewards + discount * cut * (goes_on @ critic), ends, discount)
    following = (returns - rewards) / discount
    baseline = states @ _fit(states[present], states[present], following[present])
    return np.asarray(discount * (following - baseline) * present, np.float32)


def _continuing(
    states: NDArray[np.float64],
    rewards: NDArray[np.float64],
    cut: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    present: NDArray[np.bool_],
    discount: float,
) -> NDArray[np.float64]:
    """Returns the critic [F] that fits the returns [N, T] which it completes itself where a session was cut.

    A return is what was earned up to the cut, and from there on the critic's value: linear in it, so one solve finds
    the critic that agrees with itself. It sees no clock, for a session that goes on has no end to count down to.

    Reference: Bradtke & Barto, "Linear Least-Squares Algorithms for Temporal Difference Learning", Machine Learning 22
        (1996), here with lambda = 1.
    """
    beyond = np.stack([_returns(discount * cut * each, ends, discount) for each in np.moveaxis(states, 2, 0)], axis=2)
    return _fit(states[present], (states - beyond)[present], _returns(rewards, ends, discount)[present])


def _returns(rewards: NDArray[np.float64], ends: NDArray[np.bool_], discount: float) -> NDArray[np.float64]:
    return np.asarray(returns_to_go(torch.from_numpy(rewards), torch.from_numpy(ends), discount).numpy())


def _states(rollout: Rollout, session_length: int) -> NDArray[np.float64]:
    """Returns features of the state before each step [N, T, F], from the past alone; the clock's come last."""
    users, steps = rollout.present.shape
    rewarded = (rollout.rewards.sum(axis=2) > 0) & rollout.present
    shown: NDArray[np.int64] = np.cumsum(rollout.present, axis=1) - rollout.present
    rate = (np.cumsum(rewarded, axis=1) - rewarded + 1.0) / (shown + 2.0)
    failures = np.zeros((users, steps))
    clock = np.arange(steps) % session_length
    for step in range(1, steps):
        failed = rollout.present[:, step - 1] & ~rewarded[:, step - 1]
        failures[:, step] = np.where(clock[step] == 0, 0, np.where(failed, failures[:, step - 1] + 1, 0))
    early = np.broadcast_to(clock / session_length, (users, steps))
    return np.stack([np.ones((users, steps)), rate, np.minimum(failures, 5) / 5, early, early**2], axis=2)


def _fit(states: NDArray[np.float64], moved: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns x [F] with states' (targets - moved x) = ridge x; ridge regression where `moved` are the states."""
    gram = states.T @ moved + _RIDGE * np.eye(states.shape[1])
    return np.asarray(np.linalg.solve(gram, states.T @ targets))
