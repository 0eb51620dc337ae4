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
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from simulator.bandits import BernoulliBandits
from simulator.checks import at_least
from simulator.env import BatchEnv
from simulator.errors import SimulatorError
from simulator.mdp import TabularEnv, TabularMDPs
from simulator.sessions import Sessions

__all__ = ["BanditEnv", "RecommendEnv", "TabularMDPEnv", "next_user", "session_spaces"]

_TASKS = 100_000
_SHOWN_REWARD = 10.0
Info = dict[str, Any]


def session_spaces(sessions: Sessions) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Returns one session's observation space, and its actions: Discrete(n) for slates of one, else MultiDiscrete."""
    n_items, slate_size = sessions.population.n_items, sessions.slate_size
    actions = spaces.Discrete(n_items) if slate_size == 1 else spaces.MultiDiscrete([n_items] * slate_size)
    return spaces.Box(0.0, 1.0, (sessions.observation_size,), np.float32), actions


def next_user(n_users: int, random: np.random.Generator, options: Info | None) -> int:
    """Returns the user that `options["user"]` asks for, or any.

    Raises:
        SimulatorError: there is no such user.
    """
    if options is None or "user" not in options:
        return int(random.integers(n_users))
    user = int(options["user"])
    if not 0 <= user < n_users:
        raise SimulatorError(f"options: user is {user}; the population has users 0..{n_users - 1}")
    return user


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


class BanditEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One episode is `horizon` pulls of one Bernoulli bandit, whose end is part of the task: it terminates.

    An observation holds the share of pulls made and, for every arm, its share of all pulls to come and of successes.

    Args:
        n_arms: arms, each with P(reward) uniform in [0, 1].
        horizon: pulls.
        seed: decides the bandits and their answers.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, *, n_arms: int = 5, horizon: int = 100, seed: int = 0) -> None:
        at_least("horizon", horizon, 1)
        self._bandits = BernoulliBandits(n_arms, _TASKS, seed)
        self._env = BatchEnv(self._bandits, torch.zeros(1, dtype=torch.int64), horizon=horizon, repeats=True, seed=seed)
        self._horizon = horizon
        self.action_space = spaces.Discrete(n_arms)
        self.observation_space = spaces.Box(0.0, 1.0, (1 + 2 * n_arms,), np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[NDArray[np.float32], Info]:
        """Takes the next bandit."""
        super().reset(seed=seed)
        user = next_user(_TASKS, self.np_random, options)
        self._env.reset(torch.tensor([user]))
        self._pulls, self._wins = np.zeros((2, self._bandits.n_arms))
        return self._observation(), {"user": user}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Pulls an arm."""
        _, response = self._env.step(torch.tensor([[int(action)]]))
        reward = float(response.rewards[0, 0])
        self._pulls[int(action)] += 1
        self._wins[int(action)] += reward
        return self._observation(), reward, bool(self._pulls.sum() >= self._horizon), False, {}

    def _observation(self) -> NDArray[np.float32]:
        counts = np.concatenate([[self._pulls.sum()], self._pulls, self._wins])
        return np.asarray(counts / self._horizon, np.float32)


class TabularMDPEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One Gymnasium episode is a trial: `episodes` episodes of `horizon` steps of one MDP, which then terminates.

    An observation holds the state (one-hot), the last action (one-hot), the last reward (between -10 and 10), whether
    an episode of the MDP begins, and the share of the trial that is over.

    Args:
        episodes: episodes in a trial.
        horizon: steps in an episode.
        n_states: states of the MDP.
        n_actions: actions.
        seed: decides the MDPs, their transitions and rewards.

    Reference: Duan et al., "RL^2", 2016, arXiv:1611.02779, section 2.2 (trials).
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self, *, episodes: int = 10, horizon: int = 10, n_states: int = 10, n_actions: int = 5, seed: int = 0
    ) -> None:
        at_least("episodes", episodes, 1)
        self._mdps = TabularMDPs(_TASKS, seed, n_states, n_actions)
        self._steps, self._horizon, self._seed = episodes * horizon, horizon, seed
        self._env = TabularEnv(self._mdps, torch.zeros(1, dtype=torch.int64), horizon=horizon, seed=seed)
        self.action_space = spaces.Discrete(n_actions)
        low = np.zeros(n_states + n_actions + 3, np.float32)
        high = np.ones_like(low)
        low[n_states + n_actions], high[n_states + n_actions] = -_SHOWN_REWARD, _SHOWN_REWARD
        self.observation_space = spaces.Box(low, high, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[NDArray[np.float32], Info]:
        """Takes the next MDP, in state 0."""
        super().reset(seed=seed)
        user = next_user(_TASKS, self.np_random, options)
        self._env = TabularEnv(self._mdps, torch.tensor([user]), horizon=self._horizon, seed=self._seed)
        self._done = 0
        return self._observation(0, None, 0.0, True), {"user": user}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Takes an action."""
        states, rewards, ended = self._env.step(torch.tensor([int(action)]))
        self._done += 1
        reward = float(rewards[0])
        observation = self._observation(int(states[0]), int(action), reward, ended)
        return observation, reward, self._done >= self._steps, False, {}

    def _observation(self, state: int, action: int | None, reward: float, begins: bool) -> NDArray[np.float32]:
        out = np.zeros(self.observation_space.shape or (), np.float32)
        states, actions = self._mdps.n_states, self._mdps.n_actions
        out[state] = 1
        if action is not None:
            out[states + action] = 1
        seen = min(max(reward, -_SHOWN_REWARD), _SHOWN_REWARD)
        out[states + actions :] = seen, float(begins), self._done / self._steps
        return out


gymnasium.register(
    id="metarl/Recommend-v0",
    entry_point="simulator.gym:RecommendEnv",
    vector_entry_point="simulator.gym_vector:RecommendVectorEnv",
)
gymnasium.register(id="metarl/Bandit-v0", entry_point="simulator.gym:BanditEnv")
gymnasium.register(id="metarl/TabularMDP-v0", entry_point="simulator.gym:TabularMDPEnv")
