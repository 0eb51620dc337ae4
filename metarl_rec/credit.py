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


def future_advantages(rollout: Rollout, discount: float, session_length: int) -> NDArray[np.float32]:
    """Returns gamma (G_{t+1} - V(s_t)) [N, T]: what followed each step in its session, against what usually does.

    G_{t+1} is the return from the step after t: 0 where the session terminated at t, the critic's value where it was
    truncated. V is fitted to G_{t+1} by ridge regression on state features that are known before the action.

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
    rewards = torch.from_numpy(rollout.expected.sum(axis=2) * present)
    plain = returns_to_go(rewards, torch.from_numpy(ends), discount).numpy()
    # Returns of steps that the horizon cuts soon are too small to learn from.
    clock = np.arange(present.shape[1]) % session_length
    whole = present & (clock <= session_length // 2)[None, :]
    critic = _fit(states[whole], plain[whole])
    # Where a session was truncated, the state after it is taken to be worth what the one before its last step was.
    bootstrap = np.where(rollout.truncated, discount * (states @ critic), 0.0)
    returns = returns_to_go(rewards + torch.from_numpy(bootstrap), torch.from_numpy(ends), discount).numpy()
    following = (returns - rewards.numpy()) / discount
    baseline = states @ _fit(states[present], following[present])
    return np.asarray(discount * (following - baseline) * present, np.float32)


def _states(rollout: Rollout, session_length: int) -> NDArray[np.float64]:
    """Returns features of the state before each step [N, T, F], from the past alone."""
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


def _fit(states: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    gram = states.T @ states + _RIDGE * np.eye(states.shape[1])
    return np.asarray(np.linalg.solve(gram, states.T @ targets))
