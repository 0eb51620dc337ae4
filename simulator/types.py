"""What an environment shows and answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Observation", "Response"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy may know before it chooses.

    Attributes:
        candidates: [N, n] bool, items that may still be shown to each user; a view that the next step changes.
        present: [N] bool, who is there to be shown something; what is chosen for others is not shown.
        session_step: [N] int64, slates seen so far in the current session.
        step: slates shown since the reset to whoever was present, the same for all users.
    """

    candidates: Tensor
    present: Tensor
    session_step: Tensor
    step: int


@dataclass(frozen=True, slots=True)
class Response:
    """What N users answered to one slate each.

    Attributes:
        rewards: [N, k] float32, one a position; 0 for users who were not present.
        terminated: [N] bool, the episode ended in the world: nothing would follow, so nothing is bootstrapped.
        truncated: [N] bool, the episode was cut by the horizon: the user would have gone on.
        present: [N] bool, who was shown the slate.
        utilities: [N, k] float32, logits with which the slate was answered; the world's own, no policy knows them.
        delays: [N] int64, steps until the policy learns of the rewards: 0 at once, -1 never.
        stars: [N, k] int64 where the environment has star ratings, else None.
        dwell_seconds: [N, k] float32 where the environment has dwell times, else None.
    """

    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    present: Tensor
    utilities: Tensor
    delays: Tensor
    stars: Tensor | None = None
    dwell_seconds: Tensor | None = None
