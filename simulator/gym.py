"""Gymnasium environments: importing this module registers `metarl/Recommend-v0`, `metarl/Bandit-v0` and
`metarl/TabularMDP-v0`, each to be made with `gymnasium.make` or `gymnasium.make_vec`.

>>> import gymnasium, simulator.gym
>>> env = gymnasium.make("metarl/Recommend-v0", horizon=5)
>>> observation, info = env.reset(seed=1)
>>> observation, reward, terminated, truncated, info = env.step(3)
>>> bool(info["action_mask"][3])  # item 3 has been shown
False
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from simulator.gym_users import next_user
from simulator.sessions import Sessions

__all__ = ["RecommendEnv", "session_spaces"]

Info = dict[str, Any]


def session_spaces(sessions: Sessions) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Returns one session's observation space, and its actions: Discrete(n) for slates of one, else MultiDiscrete."""
    n_items, slate_size = sessions.population.n_items, sessions.slate_size
    actions = spaces.Discrete(n_items) if slate_size == 1 else spaces.MultiDiscrete([n_items] * slate_size)
    return spaces.Box(0.0, 1.0, (sessions.observation_size,), np.float32), actions


class RecommendEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One episode is one session of one user; its settings are the named arguments of `Sessions`.

    `reset(options={"user": 3})` picks the user, else the seed does. Rewards are likes in the slate. The episode
    terminates when the user leaves and is truncated at the horizon. `info["action_mask"]` [n] int8 is 1 for what may
    still be shown, as Gymnasium's `action_space.sample(mask)` takes it; `action_masks()` is the same for sb3-contrib.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own attribute

    def __init__(self, **settings: Any) -> None:
        self._sessions = Sessions(1, **settings)
        self.observation_space, self.action_space = session_spaces(self._sessions)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[NDArray[np.float32], Info]:
        """Begins a session of the next user."""
        super().reset(seed=seed)
        user = next_user(self._sessions.population.n_users, self.np_random, options)
        observations = self._sessions.begin(np.zeros(1, np.int64), np.array([user]))
        return observations[0], {"user": user, "action_mask": self._mask()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Shows an item, or a slate of them."""
        done = self._sessions.step(np.asarray(action, np.int64).reshape(1, -1))
        info = {"action_mask": self._mask()}
        return (
            done.observations[0], float(done.rewards[0]), bool(done.terminated[0]), bool(done.truncated[0]), info
        )  # fmt: skip

    def action_masks(self) -> NDArray[np.bool_]:
        """Returns which items have not been shown yet, [k n] bool: one row of n after another for each position."""
        return np.tile(self._sessions.open[0], self._sessions.slate_size)

    def _mask(self) -> NDArray[np.int8]:
        return np.array(self._sessions.open[0], np.int8)


gymnasium.register(
    id="metarl/Recommend-v0",
    entry_point="simulator.gym:RecommendEnv",
    vector_entry_point="simulator.gym_vector:RecommendVectorEnv",
)
gymnasium.register(
    id="metarl/Bandit-v0",
    entry_point="simulator.gym_trials:bandit",
    vector_entry_point="simulator.gym_trials:bandit_vector",
)
gymnasium.register(
    id="metarl/TabularMDP-v0",
    entry_point="simulator.gym_trials:tabular_mdp",
    vector_entry_point="simulator.gym_trials:tabular_mdp_vector",
)
