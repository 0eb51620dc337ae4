"""One policy's play of logged users under the cold-start protocol."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.policies import OnlinePolicy
from metarl_rec.problem import Problem
from metarl_rec.protocol import STEPS
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from simulator.env import BatchEnv
from simulator.population import LoggedUsers

__all__ = ["cold_start_rewards"]


def cold_start_rewards(
    problem: Problem, policy: OnlinePolicy, users: NDArray[np.int64], seed: int, *purpose: str
) -> NDArray[np.float32]:
    """Returns rewards [N, 40]: the full catalogue, one item a step, never one twice, 0 for what was not rated.

    Args:
        problem: whose logs answer.
        policy: plays them, from its beginning.
        users: [N] int64.
        seed: decides the policy's draws, with `purpose`.
        purpose: names the draws.
    """
    env = BatchEnv(LoggedUsers(problem.rewards, problem.rated), torch.from_numpy(users), horizon=STEPS, seed=seed)
    return play(env, policy, STEPS, generator(seed, *purpose)).rewards[:, :, 0]
