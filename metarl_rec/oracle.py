"""The policy that knows the answers of simulated users."""

from __future__ import annotations

import numpy as np

from metarl_rec.policies import Decision, FixedPolicy, View
from simulator.env import BatchEnv

__all__ = ["Oracle"]


class Oracle(FixedPolicy):
    """Shows what is most likely to be liked now; in a world that moves this is the best for one step only.

    Args:
        env: the world in which it plays, whose users it looks into.
    """

    def __init__(self, env: BatchEnv) -> None:
        super().__init__(np.zeros((0, env.n_items), np.float32))
        self._env = env

    def act(self, view: View) -> Decision:
        """Takes the items that are liked best now."""
        self._values = self._env.reward_probabilities().cpu().numpy()
        return super().act(view)
