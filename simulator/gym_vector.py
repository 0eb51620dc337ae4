"""Many sessions in one Gymnasium vector environment, played by one batched core."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from simulator.gym import next_user, session_spaces
from simulator.sessions import Sessions

__all__ = ["RecommendVectorEnv"]


class RecommendVectorEnv(VectorEnv[NDArray[np.float32], Any, Any]):
    """`num_envs` sessions side by side; a session that ends is followed by another user's at the next step.

    The settings are the named arguments of `Sessions`. `reset(options={"user": [3, 5]})` picks the users.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        self.num_envs = num_envs
        self._sessions = Sessions(num_envs, **settings)
        self.single_observation_space, self.single_action_space = session_spaces(self._sessions)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._over = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begins a session in every place."""
        if isinstance(seed, int):
            super().reset(seed=seed)
        elif seed is not None:
            super().reset(seed=seed[0])
        count = self._sessions.population.n_users
        asked = [None] * self.num_envs if not options or "user" not in options else options["user"]
        users = [next_user(count, self.np_random, None if user is None else {"user": user}) for user in asked]
        self._over[:] = False
        observations = self._sessions.begin(np.arange(self.num_envs), np.array(users))
        return observations, {"user": np.array(users), "action_mask": self._sessions.open.copy()}

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
        users = self.np_random.integers(self._sessions.population.n_users, size=len(rows))
        self._over[rows] = False
        return self._sessions.begin(rows, users)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._sessions.open.copy()}
