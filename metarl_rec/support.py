"""The support set: one user's transitions, as the inner loop reads them.

Every transition is one shown position. Its log-propensity is conditional on the candidates that were left when it was
drawn: the candidate set minus what had been shown or seen before. Those sets differ between transitions, but only in
few items. So a support names the items that belong to every set (`rest`), the few that were missing from at least one
(`touched`), and which of these each transition still had (`allowed`). A softmax over each transition's own set then
costs one pass over the candidates for all transitions together, and only additions: nothing cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Support", "sequential_support"]


@dataclass(frozen=True, slots=True)
class Support:
    """B transitions of one user over n items.

    Attributes:
        items: [B] int32, item numbers shown, oldest first.
        rewards: [B] float32.
        log_propensities: [B] float32, log-probability with which the behaviour policy showed the item, nats, <= 0.
        usable: [B] bool, whether the ratio against the propensity may be formed; False for greedy impressions,
            organic events and expired candidate sets, which feed the value term only.
        continues: [B] bool, whether transition j + 1 belongs to the same session, so that its advantage is
            credited to j with the discount. The last entry is False.
        rest: [n] bool, candidates that belonged to the set of every transition and are still on offer.
        touched: [U] int32, items missing from at least one transition's set, each once; disjoint from `rest`.
        allowed: [B, U] bool, whether touched item u was in transition j's set; a usable transition's own item is.
    """

    items: NDArray[np.int32]
    rewards: NDArray[np.float32]
    log_propensities: NDArray[np.float32]
    usable: NDArray[np.bool_]
    continues: NDArray[np.bool_]
    rest: NDArray[np.bool_]
    touched: NDArray[np.int32]
    allowed: NDArray[np.bool_]


def sequential_support(
    items: NDArray[np.int32],
    rewards: NDArray[np.float32],
    log_propensities: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    *,
    usable: bool = True,
    session_length: int = 1,
) -> Support:
    """Returns the support of a user who was shown `items` one at a time, never one twice.

    Args:
        items: [B] int32, distinct.
        rewards: [B] float32.
        log_propensities: [B] float32.
        candidates: [n] bool, the candidate set before the first step; contains every one of `items`.
        usable: whether the items were sampled (greedy choices form no ratio).
        session_length: steps in a session; 1 makes every step an episode of its own.
    """
    count = len(items)
    rest = candidates.copy()
    rest[items] = False
    step = np.arange(count)
    return Support(
        items=items.astype(np.int32),
        rewards=rewards.astype(np.float32),
        log_propensities=log_propensities.astype(np.float32),
        usable=np.full(count, usable),
        continues=((step + 1) % session_length != 0) & (step + 1 < count),
        rest=rest,
        touched=items.astype(np.int32),
        allowed=step[None, :] >= step[:, None],
    )
