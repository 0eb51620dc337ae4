"""The batched environment: N users side by side, one slate each a step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simulator.errors import SimulatorError
from simulator.population import Population
from simulator.randomness import uniforms
from simulator.types import Observation, Response

__all__ = ["BatchEnv", "returns_to_go"]


class BatchEnv:
    """Plays users of a population; an item is never shown twice to a user.

    Two forms. In "bandit" every step is an episode of its own: every step ends `terminated`, and nothing is discounted;
    the user and what was shown go on. In "session", `horizon` steps make an episode whose rewards are discounted; an
    end by the horizon is `truncated`, because the user would have gone on, and an end because fewer than k candidates
    are left is `terminated`. After either end the user goes on with a new episode, as long as there are candidates.

    Whether a user likes an item is one draw keyed by (seed, user, item): it does not depend on when, at which position
    or after what the item is shown, and logged users answer exactly as their log does.

    Args:
        population: whom to play.
        users: [N] int64, users of the population.
        form: "bandit" or "session".
        horizon: steps in a session, >= 1.
        discount: gamma in [0, 1); 0 in a bandit.
        slate_size: items k in a slate, >= 1.
        seed: decides every answer.
    """

    def __init__(
        self,
        population: Population,
        users: Tensor,
        *,
        form: Literal["bandit", "session"] = "bandit",
        horizon: int,
        discount: float = 0.0,
        slate_size: int = 1,
        seed: int,
    ) -> None:
        if form not in ("bandit", "session"):
            raise SimulatorError(f"form {form!r} must be bandit or session")
        if horizon < 1 or slate_size < 1:
            raise SimulatorError(f"horizon {horizon} and slate_size {slate_size} must be at least 1")
        if not 0 <= discount < 1:
            raise SimulatorError(f"discount {discount} must lie in 0..1, 1 excluded")
        if form == "bandit" and discount != 0:
            raise SimulatorError(f"discount {discount} must be 0 in a bandit; use form session")
        if users.ndim != 1 or len(users) == 0:
            raise SimulatorError(f"users must be a vector with at least one user, not {tuple(users.shape)}")
        if int(users.min()) < 0 or int(users.max()) >= population.n_users:
            raise SimulatorError(f"users must lie in 0..{population.n_users - 1}")
        self._session = form == "session"
        self._horizon = horizon
        self._slate_size = slate_size
        self.discount = discount
        probabilities = population.reward_probabilities(users)
        items = torch.arange(population.n_items)
        draws = uniforms(seed, "response", users.unsqueeze(1), items.unsqueeze(0))
        self._answers = (draws < probabilities.to(torch.float64)).to(torch.float32)
        self._offered = population.candidates(users)
        self._open = self._offered.clone()
        self._step = 0

    def reset(self) -> Observation:
        """Returns every user to the beginning; the answers stay the same."""
        self._open = self._offered.clone()
        self._step = 0
        return Observation(self._open, self._step)

    def step(self, slates: Tensor) -> tuple[Observation, Response]:
        """Shows one slate a user and returns what may be shown next, and the answers.

        Args:
            slates: [N, k] int64, distinct candidates of each user.

        Raises:
            SimulatorError: a slate has the wrong shape, or holds an item that is not a candidate.
        """
        if slates.shape != (len(self._open), self._slate_size):
            raise SimulatorError(
                f"slates {tuple(slates.shape)} must be {(len(self._open), self._slate_size)}: one row a user"
            )
        if int(slates.min()) < 0 or int(slates.max()) >= self._open.shape[1]:
            raise SimulatorError(f"slates must hold item numbers 0..{self._open.shape[1] - 1}")
        following = self._open.scatter(1, slates, False)
        shown = self._open.sum(dim=1) - following.sum(dim=1)
        if not bool(self._open.gather(1, slates).all()) or bool((shown != self._slate_size).any()):
            raise SimulatorError("a slate holds an item twice, or one that is not a candidate of its user any more")
        self._open = following
        self._step += 1
        exhausted = following.sum(dim=1) < self._slate_size
        at_horizon = torch.full_like(exhausted, self._session and self._step % self._horizon == 0)
        terminated = exhausted if self._session else torch.ones_like(exhausted)
        response = Response(self._answers.gather(1, slates), terminated, at_horizon & ~terminated)
        return Observation(self._open, self._step), response


def returns_to_go(rewards: Tensor, ends: Tensor, discount: float) -> Tensor:
    """Returns discounted sums of rewards to the end of each episode, [N, T].

    Args:
        rewards: [N, T] float, a slate's rewards summed.
        ends: [N, T] bool, whether the episode ended with that step, terminated or truncated.
        discount: gamma in [0, 1].

    Reference: Sutton & Barto, "Reinforcement Learning: An Introduction", 2018, eq. 3.9.
    """
    out = torch.empty_like(rewards)
    following = torch.zeros_like(rewards[:, 0])
    for step in reversed(range(rewards.shape[1])):
        following = rewards[:, step] + discount * torch.where(ends[:, step], torch.zeros_like(following), following)
        out[:, step] = following
    return out
