"""Roll-outs: a policy plays a batch of simulated or logged users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.policies import OnlinePolicy
from simulator.env import BatchEnv

__all__ = ["Rollout", "play"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """What N users were shown over T steps, and what it gave.

    Attributes:
        items: [N, T] int32.
        rewards: [N, T] float32.
        log_propensities: [N, T] float32, nats.
        candidates: [N, n] bool, items on offer before the first step.
    """

    items: NDArray[np.int32]
    rewards: NDArray[np.float32]
    log_propensities: NDArray[np.float32]
    candidates: NDArray[np.bool_]


def play(env: BatchEnv, policy: OnlinePolicy, steps: int, rng: np.random.Generator) -> Rollout:
    """Returns the roll-out of `policy` on a freshly reset `env`, one item a step.

    Args:
        env: N users with slate size 1; every user has at least `steps` candidates.
        policy: begins anew; sees each reward before its next choice.
        steps: T.
        rng: the policy's randomness; the users' is the environment's own.
    """
    policy.begin(rng)
    observation = env.reset()
    first = observation.candidates.numpy().copy()
    shape = (len(first), steps)
    items, rewards = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    log_propensities = np.zeros(shape, np.float32)
    for step in range(steps):
        decision = policy.act(observation.candidates.numpy())
        observation, response = env.step(torch.from_numpy(decision.items.astype(np.int64)).unsqueeze(1))
        items[:, step] = decision.items
        rewards[:, step] = response.rewards[:, 0].numpy()
        log_propensities[:, step] = decision.log_propensities
        policy.observe(decision.items, rewards[:, step])
    return Rollout(items, rewards, log_propensities, first)
