"""Tasks of RL^2 as observations and actions: N trials side by side, all of one length, so that they end together."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from simulator.bandits import BernoulliBandits
from simulator.checks import at_least
from simulator.env import BatchEnv
from simulator.errors import SimulatorError
from simulator.mdp import TabularEnv, TabularMDPs

__all__ = ["N_TASKS", "BanditTrials", "MDPTrials", "Trials"]

N_TASKS = 100_000
_SHOWN_REWARD = 10.0
Floats = NDArray[np.float32]


class Trials(Protocol):
    """N trials side by side.

    Attributes:
        n_actions: A.
        low: [F] float32, least observation.
        high: [F] float32, greatest observation.
    """

    n_actions: int
    low: Floats
    high: Floats

    def begin(self, tasks: NDArray[np.int64]) -> Floats:
        """Begins a trial of each of tasks [N], 0 .. N_TASKS - 1, and returns the observations [N, F]."""

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float64], bool]:
        """Takes actions [N] and returns observations [N, F], rewards [N], and whether the trials are over.

        Raises:
            SimulatorError: there is no such action.
        """


def _checked(actions: NDArray[np.int64], n_actions: int) -> Tensor:
    for action in (int(actions.min()), int(actions.max())):
        if not 0 <= action < n_actions:
            raise SimulatorError(f"action {action} does not exist; give numbers from 0 to {n_actions - 1}")
    return torch.from_numpy(np.ascontiguousarray(actions, np.int64))


class BanditTrials:
    """A trial is `horizon` pulls of one Bernoulli bandit.

    An observation holds every arm's share of all pulls to come, the share of them that were its successes, the last
    action (one-hot), the last reward, and the share of pulls made. All lie in [0, 1].

    Args:
        n_trials: N.
        n_arms: arms, each with P(reward) uniform in [0, 1].
        horizon: pulls.
        seed: decides the bandits and their answers.

    Reference: Duan et al., "RL^2", 2016, arXiv:1611.02779, section 3.1.
    """

    def __init__(self, n_trials: int, *, n_arms: int = 5, horizon: int = 100, seed: int = 0) -> None:
        at_least("horizon", horizon, 1)
        bandits = BernoulliBandits(n_arms, N_TASKS, seed)
        nobody = torch.zeros(n_trials, dtype=torch.int64)
        self._env = BatchEnv(bandits, nobody, horizon=horizon, repeats=True, seed=seed)
        self._horizon = horizon
        self.n_actions = n_arms
        self.low = np.zeros(3 * n_arms + 2, np.float32)
        self.high = np.ones_like(self.low)

    def begin(self, tasks: NDArray[np.int64]) -> Floats:
        """Begins with other bandits."""
        self._env.reset(torch.from_numpy(tasks))
        self._done = 0
        self._pulls, self._wins, self._last = torch.zeros(3, len(tasks), self.n_actions)
        self._reward = torch.zeros(len(tasks), 1)
        return self._observations()

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float64], bool]:
        """Pulls an arm of each bandit."""
        arms = _checked(actions, self.n_actions)
        _, response = self._env.step(arms.unsqueeze(1))
        self._reward = response.rewards
        self._last = functional.one_hot(arms, self.n_actions).float()
        self._pulls += self._last
        self._wins += self._last * self._reward
        self._done += 1
        return self._observations(), self._reward[:, 0].double().numpy(), self._done >= self._horizon

    def _observations(self) -> Floats:
        time = torch.full_like(self._reward, self._done / self._horizon)
        parts = [self._pulls / self._horizon, self._wins / self._horizon, self._last, self._reward, time]
        return np.asarray(torch.cat(parts, dim=1).numpy(), np.float32)


class MDPTrials:
    """A trial is `episodes` episodes of `horizon` steps of one tabular MDP, each from state 0.

    An observation holds the state (one-hot), the last action (one-hot), the last reward (cut to -10 .. 10), whether an
    episode of the MDP begins, and the share of the trial that is over.

    Args:
        n_trials: N.
        episodes: episodes in a trial.
        horizon: steps in an episode.
        n_states: states S of the MDP.
        n_actions: actions A.
        seed: decides the MDPs, their transitions and rewards.

    Reference: Duan et al., "RL^2", 2016, arXiv:1611.02779, section 2.2 (trials) and 3.2 (the distribution).
    """

    def __init__(
        self,
        n_trials: int,
        *,
        episodes: int = 10,
        horizon: int = 10,
        n_states: int = 10,
        n_actions: int = 5,
        seed: int = 0,
    ) -> None:
        at_least("episodes", episodes, 1)
        at_least("horizon", horizon, 1)
        self._mdps = TabularMDPs(N_TASKS, seed, n_states, n_actions)
        self._steps, self._horizon, self._seed = episodes * horizon, horizon, seed
        self.n_actions = n_actions
        self.low = np.zeros(n_states + n_actions + 3, np.float32)
        self.high = np.ones_like(self.low)
        self.low[n_states + n_actions], self.high[n_states + n_actions] = -_SHOWN_REWARD, _SHOWN_REWARD
        self.begin(np.zeros(n_trials, np.int64))

    def begin(self, tasks: NDArray[np.int64]) -> Floats:
        """Begins with other MDPs."""
        self._env = TabularEnv(self._mdps, torch.from_numpy(tasks), horizon=self._horizon, seed=self._seed)
        self._done = 0
        nothing = torch.zeros(len(tasks), self.n_actions)
        return self._observations(self._env.reset(), nothing, torch.zeros(len(tasks)), True)

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float64], bool]:
        """Takes an action in each MDP."""
        taken = _checked(actions, self.n_actions)
        states, rewards, begins = self._env.step(taken)
        self._done += 1
        last = functional.one_hot(taken, self.n_actions).float()
        observations = self._observations(states, last, rewards.float(), begins)
        return observations, rewards.numpy(), self._done >= self._steps

    def _observations(self, states: Tensor, last: Tensor, rewards: Tensor, begins: bool) -> Floats:
        where = functional.one_hot(states, self._mdps.n_states).float()
        seen = rewards.clamp(-_SHOWN_REWARD, _SHOWN_REWARD).unsqueeze(1)
        common = torch.tensor([float(begins), self._done / self._steps]).expand(len(states), 2)
        return np.asarray(torch.cat([where, last, seen, common], dim=1).numpy(), np.float32)
