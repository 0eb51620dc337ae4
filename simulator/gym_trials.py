"""Gymnasium environments of RL^2's tasks, one trial an episode: single, and N trials in one batched core."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from simulator.gym_users import first_users, next_user
from simulator.trials import N_TASKS, BanditTrials, MDPTrials, Trials

__all__ = ["TrialEnv", "TrialVectorEnv", "bandit", "bandit_vector", "tabular_mdp", "tabular_mdp_vector"]

Info = dict[str, Any]


class TrialEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One episode is one trial of one task; its end is part of the task, so it terminates.

    `reset(options={"user": 3})` picks the task, else the seed does.

    Args:
        trials: one trial at a time.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own attribute

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self.action_space = spaces.Discrete(trials.n_actions)
        self.observation_space = spaces.Box(trials.low, trials.high, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[NDArray[np.float32], Info]:
        """Takes the next task."""
        super().reset(seed=seed)
        task = next_user(N_TASKS, self.np_random, options)
        return self._trials.begin(np.array([task]))[0], {"user": task}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Takes an action."""
        observations, rewards, over = self._trials.step(np.array([int(action)]))
        return observations[0], float(rewards[0]), over, False, {}


class TrialVectorEnv(VectorEnv[NDArray[np.float32], Any, Any]):
    """`num_envs` trials side by side; they end together, and the next step begins trials of other tasks.

    `reset(options={"user": [3, 5]})` picks the tasks, one for each place; `info["user"]` [N] says which they are.

    Args:
        trials: N trials at a time.
        num_envs: N.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, trials: Trials, num_envs: int) -> None:
        self.num_envs = num_envs
        self._trials = trials
        self.single_action_space = spaces.Discrete(trials.n_actions)
        self.single_observation_space = spaces.Box(trials.low, trials.high, dtype=np.float32)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._over = False
        self._tasks = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: Info | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Begins a trial in every place; of several seeds the first one counts.

        Raises:
            SimulatorError: there is no such task, or not one for each place.
        """
        super().reset(seed=seed[0] if isinstance(seed, list) else seed)
        self._tasks = first_users(N_TASKS, self.num_envs, self.np_random, options)
        self._over = False
        return self._trials.begin(self._tasks), {"user": self._tasks.copy()}

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Takes an action in every trial; where they ended before, begins the next ones and ignores the actions."""
        if self._over:
            observations, info = self.reset()
            rewards = np.zeros(self.num_envs)
        else:
            observations, rewards, self._over = self._trials.step(np.asarray(actions, np.int64))
            info = {"user": self._tasks.copy()}
        terminated = np.full(self.num_envs, self._over)
        return observations, rewards, terminated, np.zeros_like(terminated), info


def bandit(**settings: Any) -> TrialEnv:
    """Returns one Bernoulli bandit at a time; the settings are the named arguments of `BanditTrials`."""
    return TrialEnv(BanditTrials(1, **settings))


def bandit_vector(num_envs: int = 1, **settings: Any) -> TrialVectorEnv:
    """Returns Bernoulli bandits side by side; the settings are the named arguments of `BanditTrials`."""
    return TrialVectorEnv(BanditTrials(num_envs, **settings), num_envs)


def tabular_mdp(**settings: Any) -> TrialEnv:
    """Returns one tabular MDP at a time; the settings are the named arguments of `MDPTrials`."""
    return TrialEnv(MDPTrials(1, **settings))


def tabular_mdp_vector(num_envs: int = 1, **settings: Any) -> TrialVectorEnv:
    """Returns tabular MDPs side by side; the settings are the named arguments of `MDPTrials`."""
    return TrialVectorEnv(MDPTrials(num_envs, **settings), num_envs)
