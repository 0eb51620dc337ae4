"""Rewards that arrived, as batches without repeated users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from metarl_rec.policies import Feedback

__all__ = ["Answers", "answers"]

Answers = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""Users [M], each once; the item [M] that each was shown; its reward [M]."""


def answers(feedback: Feedback, shown: Sequence[NDArray[np.int32]]) -> Iterator[Answers]:
    """Yields rewards position by position, oldest step first.

    A user's late answers come beside the newest, but each step's are one batch in which nobody is twice.

    Args:
        feedback: what arrived.
        shown: the slates [N, k] of every step.
    """
    for step in np.unique(feedback.steps):
        at = np.flatnonzero(feedback.steps == step)
        users = feedback.users[at]
        for position in range(feedback.rewards.shape[1]):
            yield users, shown[step][users, position], feedback.rewards[at, position]
