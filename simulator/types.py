"""What an environment shows and answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Observation", "Response"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy may know before it chooses.

    Attributes:
        candidates: [N, n] bool, items that may still be shown to each user.
        step: interactions so far, the same for all users.
    """

    candidates: Tensor
    step: int


@dataclass(frozen=True, slots=True)
class Response:
    """What N users answered to one slate each.

    Attributes:
        rewards: [N, k] float32, one a position.
        terminated: [N] bool, the episode ended in the world: nothing would follow, so nothing is bootstrapped.
        truncated: [N] bool, the episode was cut by the horizon: the user would have gone on.
    """

    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
