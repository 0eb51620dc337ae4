"""Bernoulli bandits: the task distribution of RL^2's Table 1, as a population whose items are arms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.errors import SimulatorError
from simulator.randomness import uniforms

__all__ = ["BernoulliBandits"]

_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class BernoulliBandits:
    """Every user is a bandit with k arms, P(reward) of each drawn uniformly from [0, 1].

    Play it with `BatchEnv(..., repeats=True)`: an arm can be pulled again, and answers anew.

    Attributes:
        n_arms: k, at least 1.
        n_users: number of bandits, at least 1.
        seed: decides them.
        device: where to compute.

    Reference: Duan et al., "RL^2", 2016, arXiv:1611.02779, section 3.1.
    """

    n_arms: int
    n_users: int
    seed: int
    device: torch.device = _CPU

    def __post_init__(self) -> None:
        for name in ("n_arms", "n_users"):
            if getattr(self, name) < 1:
                raise SimulatorError(f"{name} is {getattr(self, name)}; give at least 1")

    @property
    def n_items(self) -> int:
        """Number of arms."""
        return self.n_arms

    def tastes(self, users: Tensor) -> Tensor:
        """Returns nothing, [N, 0]: arms do not drift."""
        return torch.empty((len(users), 0), device=self.device)

    def _rates(self, users: Tensor, items: Tensor | None = None) -> Tensor:
        arms = torch.arange(self.n_arms, device=self.device) if items is None else items
        return uniforms(self.seed, "arm", users.unsqueeze(1), arms)

    def utilities(self, users: Tensor, tastes: Tensor, items: Tensor | None = None) -> Tensor:
        """Returns logit(p) of the arms."""
        return torch.logit(self._rates(users, items), eps=1e-12).to(torch.float32)

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns p [N, k]."""
        return self._rates(users).to(torch.float32)

    def candidates(self, users: Tensor) -> Tensor:
        """Returns all arms."""
        return torch.ones((len(users), self.n_arms), dtype=torch.bool, device=self.device)

    def activity(self, users: Tensor) -> Tensor:
        """Returns a number that no bandit reaches."""
        return torch.full((len(users),), torch.iinfo(torch.int64).max, device=self.device)
