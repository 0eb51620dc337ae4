"""Populations: each is a distribution over tasks, and every user of it is one task."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulator.errors import SimulatorError

__all__ = ["CERTAIN", "LoggedUsers", "Population"]

CERTAIN = 30.0
"""Logits of an answer without doubt: sigmoid(30) differs from 1 by 1e-13, and exp(30) is still finite in float32."""


class Population(Protocol):
    """Users whose liking of every item is defined, whether or not the item is ever shown."""

    @property
    def n_users(self) -> int:
        """Number of users."""

    @property
    def n_items(self) -> int:
        """Number n of items."""

    @property
    def device(self) -> torch.device:
        """Where its tensors live; an environment computes there."""

    def tastes(self, users: Tensor) -> Tensor:
        """Returns what may drift of users [N] int64: [N, D] float32, standard normal; D is 0 where nothing can."""

    def utilities(self, users: Tensor, tastes: Tensor, items: Tensor | None = None) -> Tensor:
        """Returns logits of P(like) [N, k] float32 of users [N] with tastes [N, D]; of all n items without `items`.

        Args:
            users: [N] int64.
            tastes: [N, D].
            items: [N, k] int64.
        """

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns P(like) [N, n] float32 of users [N] int64, before any dynamics."""

    def candidates(self, users: Tensor) -> Tensor:
        """Returns the items [N, n] bool that may be shown to users [N] int64."""

    def activity(self, users: Tensor) -> Tensor:
        """Returns the number of interactions [N] int64 after which each of users [N] int64 is gone."""


class LoggedUsers:
    """Users of a log: their real ratings decide the reward.

    Args:
        rewards: [U, n] uint8, 1 where the rating was positive.
        rated: [U, n] bool, where there is a rating at all.
        convention: "unrated-zero" offers every item, and an unrated one gives 0; "rated-only" offers only rated ones.
        device: where to keep them.
    """

    def __init__(
        self,
        rewards: NDArray[np.uint8],
        rated: NDArray[np.bool_],
        convention: Literal["unrated-zero", "rated-only"] = "unrated-zero",
        device: torch.device | str = "cpu",
    ) -> None:
        if rewards.shape != rated.shape or rewards.ndim != 2 or 0 in rewards.shape:
            raise SimulatorError(
                f"rewards {rewards.shape} and rated {rated.shape} must be the same [users, items], neither of them zero"
            )
        if rewards.max() > 1:
            raise SimulatorError(f"rewards must be 0 or 1, not {rewards.max()}")
        if convention not in ("unrated-zero", "rated-only"):
            raise SimulatorError(f"convention {convention!r} must be unrated-zero or rated-only")
        self._rewards = torch.from_numpy(rewards).to(device)
        self._rated = torch.from_numpy(rated).to(device)
        self._everything = convention == "unrated-zero"

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self._rewards.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self._rewards.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the log lies."""
        return self._rewards.device

    def tastes(self, users: Tensor) -> Tensor:
        """Returns nothing, [N, 0]: a log has answers, no tastes that could drift."""
        return torch.empty((len(users), 0), device=self.device)

    def utilities(self, users: Tensor, tastes: Tensor, items: Tensor | None = None) -> Tensor:
        """Returns plus or minus `CERTAIN`: a log has one answer to each item."""
        rewards = self._rewards[users] if items is None else self._rewards[users.unsqueeze(1), items]
        return (rewards.to(torch.float32) * 2 - 1) * CERTAIN

    def reward_probabilities(self, users: Tensor) -> Tensor:
        """Returns 0 or 1."""
        return self._rewards[users].to(torch.float32)

    def candidates(self, users: Tensor) -> Tensor:
        """Returns all items, or the rated ones, by the convention."""
        rated = self._rated[users]
        return torch.ones_like(rated) if self._everything else rated

    def activity(self, users: Tensor) -> Tensor:
        """Returns each user's number of ratings."""
        return self._rated[users].sum(dim=1)
