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

__all__ = ["Support", "shown_support"]


@dataclass(frozen=True, slots=True)
class Support:
    """B transitions of one user over n items.

    Attributes:
        items: [B] int32, item numbers shown, oldest first.
        rewards: [B] float32.
        log_propensities: [B] float32, log-probability with which the behaviour policy showed the item, nats, <= 0.
        weight: [B] float32, how much a transition counts in every term: 1 for what a slate of ours showed.
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
    weight: NDArray[np.float32]
    usable: NDArray[np.bool_]
    continues: NDArray[np.bool_]
    rest: NDArray[np.bool_]
    touched: NDArray[np.int32]
    allowed: NDArray[np.bool_]


def shown_support(
    shown: NDArray[np.int32],
    rewards: NDArray[np.float32],
    log_propensities: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    *,
    known: NDArray[np.bool_] | None = None,
    usable: NDArray[np.bool_] | None = None,
    sessions: NDArray[np.int32] | None = None,
) -> Support:
    """Returns the support of a user who was shown items one after another, position by position, never one twice.

    Args:
        shown: [B] int32, distinct.
        rewards: [B] float32; read where known.
        log_propensities: [B] float32.
        candidates: [n] bool, the candidate set before the first step; contains every one of `shown`.
        known: [B] bool, whether the reward has arrived; all when absent. What is not known is no transition, but it
            was not on offer any more afterwards.
        usable: [B] bool, whether the ratio may be formed (items were sampled, from values alone); all when absent.
        sessions: [B] int32, number of the session of each; when absent, each is a session of its own.
    """
    at = np.arange(len(shown)) if known is None else np.flatnonzero(known)
    rest = candidates.copy()
    rest[shown] = False
    continues = np.zeros(len(at), np.bool_)
    if sessions is not None:
        continues[:-1] = sessions[at[:-1]] == sessions[at[1:]]
    return Support(
        items=shown[at].astype(np.int32),
        rewards=rewards[at].astype(np.float32),
        log_propensities=log_propensities[at].astype(np.float32),
        weight=np.ones(len(at), np.float32),
        usable=np.ones(len(at), np.bool_) if usable is None else usable[at],
        continues=continues,
        rest=rest,
        touched=shown.astype(np.int32),
        allowed=np.arange(len(shown))[None, :] >= at[:, None],
    )
