"""Users who do not answer as people with tastes do: adversarial, all-negative and bot-like ones in a population."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.checks import probability
from simulator.errors import SimulatorError
from simulator.population import CERTAIN, Population
from simulator.randomness import uniforms

__all__ = ["UserTypes"]


@dataclass(frozen=True, eq=False)
class UserTypes:
    """A population some of whose users are of another type; who is which depends on (seed, user) alone.

    Attributes:
        population: the users as they would be.
        seed: decides who is of which type.
        adversarial: share of users who like exactly what they otherwise would not.
        negative: share of users who like nothing.
        bots: share of users who click whatever it is, with probability `bot_rate`.
        bot_rate: that probability.
    """

    population: Population
    seed: int
    adversarial: float = 0.0
    negative: float = 0.0
    bots: float = 0.0
    bot_rate: float = 0.9

    def __post_init__(self) -> None:
        for name in ("adversarial", "negative", "bots", "bot_rate"):
            probability(name, getattr(self, name))
        total = self.adversarial + self.negative + self.bots
        if total > 1:
            raise SimulatorError(f"adversarial, negative and bots sum to {total:g}; they are shares of one population")

    @property
    def n_users(self) -> int:
        """Number of users, of all types."""
        return self.population.n_users

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.population.n_items

    @property
    def device(self) -> torch.device:
        """Where the population lives."""
        return self.population.device

    def types(self, users: Tensor) -> Tensor:
        """Returns 0 (as they would be), 1 (adversarial), 2 (negative) or 3 (bot) for users [N]: [N] int64."""
        draw = uniforms(self.seed, "user type", users)
        bounds = [self.adversarial, self.negative, self.bots]
        out = torch.zeros_like(users)
        low = 0.0
        for kind, share in enumerate(bounds, start=1):
            out = torch.where((draw >= low) & (draw < low + share), torch.full_like(out, kind), out)
            low += share
        return out

    def tastes(self, users: Tensor) -> Tensor:
        """Returns the population's tastes."""
        return self.population.tastes(users)

    def utilities(self, users: Tensor, tastes: Tensor, items: Tensor | None = None) -> Tensor:
        """Returns the population's utilities, turned, or replaced, by type."""
        plain = self.population.utilities(users, tastes, items)
        kind = self.types(users).unsqueeze(1)
        bot = float(torch.logit(torch.tensor(self.bot_rate), eps=1e-6))
        out = torch.where(kind == 1, -plain, plain)
        out = torch.where(kind == 2, torch.full_like(out, -CERTAIN), out)
        return torch.where(kind == 3, torch.full_like(out, bot), out)

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns sigmoid of the utilities."""
        return torch.sigmoid(self.utilities(users, self.tastes(users)))

    def candidates(self, users: Tensor) -> Tensor:
        """Returns the population's candidates."""
        return self.population.candidates(users)

    def activity(self, users: Tensor) -> Tensor:
        """Returns the population's activity."""
        return self.population.activity(users)
