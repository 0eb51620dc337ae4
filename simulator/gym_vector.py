"""Many sessions in one Gymnasium vector environment, played by one batched core."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from simulator.gym import session_spaces
from simulator.gym_users import first_users
from simulator.sessions import Sessions

__all__ = ["RecommendVectorEnv"]


class RecommendVectorEnv(VectorEnv[NDArray[np.float32], Any, Any]):
    """`num_envs` sessions side by side; a session that ends is followed by another user's at the next step.

    The settings are the named arguments of `Sessions`. `reset(options={"user": [3, 5]})` picks the users, one for each
    place. `info["user"]` [N] says who sits where, `info["action_mask"]` [N, n] int8 is 1 for what may still be shown.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        self.num_envs = num_envs
        self._sessions = Sessions(num_envs, **settings)
        self.single_observation_space, self.single_action_space = session_spaces(self._sessions)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._over = np.zeros(num_envs, np.bool_)
        self._users = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begins a session in every place; of several seeds the first one counts.

        Raises:
            SimulatorError: there is no such user, or not one for each place.
        """
        super().reset(seed=seed[0] if isinstance(seed, list) else seed)
        self._users = first_users(self._sessions.population.n_users, self.num_envs, self.np_random, options)
        self._over[:] = False
        return self._sessions.begin(np.arange(self.num_envs), self._users), self._info()

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Shows a slate in every session; where one ended before, begins the next and ignores the action."""
        begins = np.flatnonzero(self._over)
        if len(begins) == self.num_envs:
            self._begin(begins)
            nothing = np.zeros(self.num_envs)
            never = np.zeros(self.num_envs, np.bool_)
            return self._sessions.observations(), nothing, never, never.copy(), self._info()
        done = self._sessions.step(np.asarray(actions, np.int64))
        rewards, terminated, truncated = done.rewards.copy(), done.terminated.copy(), done.truncated.copy()
        observations = done.observations
        if len(begins):
            observations = self._begin(begins)
            rewards[begins], terminated[begins], truncated[begins] = 0.0, False, False
        self._over = terminated | truncated
        return observations, rewards, terminated, truncated, self._info()

    def _begin(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        self._users[rows] = self.np_random.integers(self._sessions.population.n_users, size=len(rows))
        self._over[rows] = False
        return self._sessions.begin(rows, self._users[rows])

    def _info(self) -> dict[str, Any]:
        return {"user": self._users.copy(), "action_mask": self._sessions.open.astype(np.int8)}
