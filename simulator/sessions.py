"""Sessions of many users as observations and actions: what a Gymnasium environment, single or vectorized, stands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from simulator.checks import at_least
from simulator.choice import ChoiceModel
from simulator.demo import demo_dynamics, demo_users
from simulator.dynamics import Dynamics
from simulator.env import BatchEnv
from simulator.errors import SimulatorError
from simulator.population import Population

__all__ = ["Sessions", "Step"]

_MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of N sessions gave.

    Attributes:
        observations: [N, F] float32.
        rewards: [N] float64, summed over the slate.
        terminated: [N] bool.
        truncated: [N] bool.
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Sessions:
    """N users, each in one session, with the history of that session as the observation.

    An observation holds the share of the session that is over, the last reward, and for every topic (for every item
    where the world has no topics): the exposure (a fading average of what was shown), the share of positions that
    showed it, and the share of positions that showed it with a reward. All lie in [0, 1].

    A position that shows an item again, within the slate or the session, shows nothing: a learner without action masks
    loses it, and nobody else notices. A user who has fewer candidates than a slate from the beginning is shown nothing:
    their session terminates with its first step.

    Args:
        n_sessions: N.
        population: whom to play; a demonstration catalogue's users when absent.
        dynamics: what moves; when both it and the population are absent, topics tire and bored users leave.
        choice: what a user does with a slate.
        n_items: size of the demonstration catalogue.
        slate_size: k.
        horizon: steps in a session.
        seed: decides the world.
    """

    def __init__(
        self,
        n_sessions: int,
        *,
        population: Population | None = None,
        dynamics: Dynamics | None = None,
        choice: ChoiceModel | None = None,
        n_items: int = 50,
        slate_size: int = 1,
        horizon: int = 20,
        seed: int = 0,
    ) -> None:
        at_least("horizon", horizon, 1)
        at_least("slate_size", slate_size, 1)
        if population is None:
            population, topics = demo_users(n_items, seed)
            dynamics = demo_dynamics(topics) if dynamics is None else dynamics
        self.population = population
        self.horizon, self.slate_size = horizon, slate_size
        self._env = BatchEnv(
            population,
            torch.zeros(n_sessions, dtype=torch.int64),
            form="session",
            horizon=horizon,
            slate_size=slate_size,
            choice=choice,
            dynamics=dynamics,
            seed=seed,
        )
        known = None if dynamics is None or dynamics.topics is None else dynamics.topics
        self._topics = None if known is None else known.weights.cpu()
        self._memory = _MEMORY if known is None else known.retention
        self._groups = population.n_items if self._topics is None else self._topics.shape[1]
        self._clock = torch.zeros(n_sessions)
        self._last = torch.zeros(n_sessions)
        self._seen = torch.zeros(3, n_sessions, self._groups)

    @property
    def observation_size(self) -> int:
        """Length F of an observation."""
        return 2 + 3 * self._groups

    @property
    def open(self) -> NDArray[np.bool_]:
        """Returns which items have not been shown in each session yet [N, n] bool."""
        return self._env.candidates.cpu().numpy()

    def begin(self, rows: NDArray[np.int64], users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Begins sessions of users [M] in some rows [M] and returns all observations [N, F]."""
        at = torch.from_numpy(rows)
        self._env.replace(at.to(self._env.device), torch.from_numpy(users))
        self._clock[at] = 0
        self._last[at] = 0
        self._seen[:, at] = 0
        return self.observations()

    def observations(self) -> NDArray[np.float32]:
        """Returns [N, F] float32 in [0, 1]."""
        exposure, shown, rewarded = self._seen
        count = max(1, self.horizon * self.slate_size)
        parts = [
            (self._clock / self.horizon).unsqueeze(1),
            (self._last / self.slate_size).unsqueeze(1),
            exposure,
            shown / count,
            rewarded / count,
        ]
        return torch.cat(parts, dim=1).clamp(0, 1).numpy().astype(np.float32)

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Shows slates [N, k] and returns what came of them; repeated items show nothing.

        Raises:
            SimulatorError: there is no such item.
        """
        slates = torch.from_numpy(np.ascontiguousarray(actions, np.int64)).view(len(self._clock), self.slate_size)
        n_items = self.population.n_items
        if int(slates.min()) < 0 or int(slates.max()) >= n_items:
            wrong = int(slates.min()) if int(slates.min()) < 0 else int(slates.max())
            raise SimulatorError(f"action {wrong} is no item; give numbers from 0 to {n_items - 1}")
        slates = self._without_repeats(slates)
        _, response = self._env.step(slates.to(self._env.device))
        rewards = response.rewards.cpu()
        rows = self._groups_of(slates)
        self._seen[0] = self._memory * self._seen[0] + (1 - self._memory) * rows.mean(dim=1)
        self._seen[1] += rows.sum(dim=1)
        self._seen[2] += (rows * rewards.unsqueeze(2)).sum(dim=1)
        self._clock += 1
        self._last = rewards.sum(dim=1)
        return Step(
            self.observations(),
            rewards.sum(dim=1).double().numpy(),
            (response.terminated | ~response.present).cpu().numpy(),
            response.truncated.cpu().numpy(),
        )

    def _groups_of(self, slates: Tensor) -> Tensor:
        """Returns the topic weights [N, k, T] of what the slates show, or [N, k, n] marks without topics."""
        items = slates.clamp_min(0)
        rows = functional.one_hot(items, self._groups).float() if self._topics is None else self._topics[items]
        return rows * (slates >= 0).unsqueeze(2)

    def _without_repeats(self, slates: Tensor) -> Tensor:
        """Returns the slates with -1 wherever an item was shown before, in the session or higher up in the slate."""
        again = ~self._env.candidates.cpu().gather(1, slates)
        for position in range(1, self.slate_size):
            again[:, position] |= (slates[:, :position] == slates[:, position : position + 1]).any(dim=1)
        return torch.where(again, torch.full_like(slates, -1), slates)
