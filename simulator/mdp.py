"""Tabular Markov decision processes: the second task distribution of RL^2, batched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.checks import users_of
from simulator.errors import SimulatorError
from simulator.randomness import exponentials, normals, uniforms

__all__ = ["TabularEnv", "TabularMDPs", "optimal_values"]

_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class TabularMDPs:
    """Every user is an MDP: transitions ~ Dirichlet(1), mean rewards ~ N(1, 1), rewards ~ N(mean, 1).

    Attributes:
        n_users: number of MDPs, at least 1.
        seed: decides them.
        n_states: S.
        n_actions: A.
        device: where to compute.

    Reference: Duan et al., "RL^2", 2016, arXiv:1611.02779, section 3.2; Osband et al., "(More) Efficient Reinforcement
        Learning via Posterior Sampling", NeurIPS 2013, section 6 (the distribution).
    """

    n_users: int
    seed: int
    n_states: int = 10
    n_actions: int = 5
    device: torch.device = _CPU

    def __post_init__(self) -> None:
        for name in ("n_users", "n_states", "n_actions"):
            if getattr(self, name) < 1:
                raise SimulatorError(f"{name} is {getattr(self, name)}; give at least 1")

    def _cells(self) -> Tensor:
        return torch.arange(self.n_states * self.n_actions, device=self.device)

    def transitions(self, users: Tensor) -> Tensor:
        """Returns P(s' | s, a) [N, S, A, S] float64: Dirichlet(1) is normalized exponentials."""
        following = torch.arange(self.n_states, device=self.device)
        raw = exponentials(self.seed, "transition", users.view(-1, 1, 1), self._cells().unsqueeze(1), following)
        return (raw / raw.sum(dim=2, keepdim=True)).view(len(users), self.n_states, self.n_actions, self.n_states)

    def mean_rewards(self, users: Tensor) -> Tensor:
        """Returns E(r | s, a) [N, S, A] float64."""
        means = 1 + normals(self.seed, "mean reward", users.unsqueeze(1), self._cells())
        return means.view(len(users), self.n_states, self.n_actions)


def optimal_values(transitions: Tensor, mean_rewards: Tensor, horizon: int) -> Tensor:
    """Returns the best expected reward of `horizon` steps from every state [N, S], by backward induction.

    Args:
        transitions: [N, S, A, S].
        mean_rewards: [N, S, A].
        horizon: steps, >= 0.

    Reference: Puterman, "Markov Decision Processes", 1994, section 4.5.
    """
    values = torch.zeros_like(mean_rewards[:, :, 0])
    for _ in range(horizon):
        values = (mean_rewards + torch.einsum("nsat,nt->nsa", transitions, values)).amax(dim=2)
    return values


class TabularEnv:
    """Plays MDPs side by side, in episodes of `horizon` steps from state 0; the MDPs stay the same over episodes.

    Args:
        mdps: what to play.
        users: [N] int64, which of them.
        horizon: steps in an episode, >= 1; their end is a truncation in the world and the task's own end, so nothing
            is bootstrapped: it is `terminated`.
        seed: decides every transition and reward, keyed by (user, step): what one does never changes another.
    """

    def __init__(self, mdps: TabularMDPs, users: Tensor, *, horizon: int = 10, seed: int) -> None:
        if horizon < 1:
            raise SimulatorError(f"horizon is {horizon}; give at least 1")
        users_of(users, mdps.n_users)
        self._users = users.to(mdps.device)
        self._cumulative = mdps.transitions(self._users).cumsum(dim=3)
        self._means = mdps.mean_rewards(self._users)
        self._horizon, self._seed = horizon, seed
        self._rows = torch.arange(len(users), device=mdps.device)
        self.reset()

    def reset(self) -> Tensor:
        """Returns every MDP to the beginning; the states [N] int64 are 0."""
        self._step = 0
        self._states = torch.zeros_like(self._users)
        return self._states

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Returns the states [N] int64 to act in next, the rewards [N] float64, and whether the episode ended.

        Args:
            actions: [N] int64, 0 .. A - 1.

        Raises:
            SimulatorError: an action does not exist.
        """
        if actions.shape != self._users.shape or int(actions.min()) < 0 or int(actions.max()) >= self._means.shape[2]:
            raise SimulatorError(
                f"actions must be {len(self._users)} numbers in 0..{self._means.shape[2] - 1}, one an MDP"
            )
        rewards = self._means[self._rows, self._states, actions] + normals(
            self._seed, "reward noise", self._users, self._step
        )
        draws = uniforms(self._seed, "next state", self._users, self._step)
        upper = self._cumulative[self._rows, self._states, actions]
        following = (draws.unsqueeze(1) >= upper[:, :-1]).sum(dim=1)
        self._step += 1
        ended = self._step % self._horizon == 0
        self._states = torch.zeros_like(following) if ended else following
        return self._states, rewards, ended
