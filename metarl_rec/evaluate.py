"""Cold start on held-out users: the full-catalogue protocol, with every baseline on the same users.

After NICF (Zou et al., SIGIR 2020): each test user plays 40 steps; every step a policy shows one item of the whole
catalogue, never one twice; the reward is 1 where the user rated it at least 4, else 0. Baselines get the same side
information; what they have to choose is tuned on people who are not tested, see `lineup`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.lineup import Lineup
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.protocol import POLICIES

__all__ = ["evaluate_lineup"]


def evaluate_lineup(
    lineup: Lineup,
    names: Sequence[str] = POLICIES,
    *,
    on_policy: Callable[[str], None] | None = None,
    on_played: Callable[[str, OnlinePolicy], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Returns each policy's rewards [N, 40] on the split's test users.

    All policies draw from the same random numbers, so that a difference is one of policies, not of luck.

    Args:
        lineup: the split's policies.
        names: which of them.
        on_policy: called with a policy's name before it plays.
        on_played: called with its name and itself after it has played.
    """
    problem, seed = lineup.problem, lineup.config.seed
    users = problem.split.test
    oracle = FixedPolicy(problem.rewards[users].astype(np.float32))
    rewards = {}
    for name in names:
        if on_policy is not None:
            on_policy(name)
        policy = lineup.policy(name, problem.user_vectors[users], oracle)
        rewards[name] = cold_start_rewards(problem, policy, users, seed, "evaluate")
        if on_played is not None:
            on_played(name, policy)
    return rewards
