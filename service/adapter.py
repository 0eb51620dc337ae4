"""From a stored user state to fast weights: which candidates each transition had, and the inner loop over them."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adaptation import Adaptation, adapt_user
from metarl_rec.checkpoint import Checkpoint
from metarl_rec.errors import AdaptationError
from metarl_rec.support import Support
from service.catalogue import LiveCatalogue
from service.metrics import Metrics
from service.store.codec import NO_SLATE, USABLE, UserState

__all__ = ["adapt_state", "support_of"]


def support_of(state: UserState, catalogue: LiveCatalogue) -> Support:
    """Returns the state's transitions as the inner loop reads them.

    A transition's candidates are the items on offer, minus those the user had seen when its slate was drawn, minus the
    positions before its own. Only transitions of a slate that was sampled over the whole catalogue form a ratio; those
    of restricted or greedy slates, and organic events, feed the value term. Transitions of unknown items are skipped.
    """
    rows = state.transitions
    known = np.array([catalogue.knows(int(item)) for item in rows["item"]], dtype=bool)
    rows = rows[known] if len(rows) else rows
    items = rows["item"].astype(np.int32)
    slates = [state.slates.get(key.tobytes()) for key in rows["slate"]]
    usable = np.array(
        [
            slate is not None and bool(flags & USABLE)
            for slate, flags in zip(slates, rows["flags"].tolist(), strict=True)
        ],
        dtype=bool,
    )
    seen = state.seen.astype(np.int64)
    # How much of the list each transition's user had seen; a dropped beginning was seen by all of them.
    lengths = [max(0, slate.seen - state.seen_dropped) if slate else 0 for slate in slates]
    common = min((length for length, use in zip(lengths, usable, strict=True) if use), default=len(seen))
    involved = {int(item) for item in seen[common:]}
    for slate, use in zip(slates, usable, strict=True):
        if slate is not None and use:
            involved.update(slate.items)
    involved.update(items.tolist())
    involved.difference_update(int(item) for item in seen[:common])
    touched = np.array(sorted(item for item in involved if catalogue.knows(item)), np.int32)
    rest = catalogue.available.copy()
    rest[seen[seen < len(rest)]] = False
    rest[touched] = False
    on_offer = catalogue.available[touched]
    allowed = np.zeros((len(items), len(touched)), bool)
    for j, slate in enumerate(slates):
        if not usable[j] or slate is None:
            continue
        position = int(rows["position"][j])
        gone = {int(item) for item in seen[common : lengths[j]]} | set(slate.items[:position])
        allowed[j] = on_offer & np.array([int(item) not in gone for item in touched], bool)
        # An item taken off the list since, or seen through another event in between, was still a candidate then.
        own = touched == items[j]
        usable[j] = bool(own.any())
        allowed[j] |= own
    return Support(
        items=items,
        rewards=rows["reward"].astype(np.float32),
        log_propensities=rows["log_propensity"].astype(np.float32),
        usable=usable,
        continues=np.zeros(len(items), bool),
        rest=rest,
        touched=touched,
        allowed=allowed,
    )


def adapt_state(
    state: UserState,
    start: NDArray[np.float32],
    checkpoint: Checkpoint,
    catalogue: LiveCatalogue,
    metrics: Metrics,
) -> Adaptation | None:
    """Returns the adaptation of a user from `start`, or None where it failed; counted either way."""
    started = time.perf_counter()
    try:
        result = adapt_user(
            catalogue.features, catalogue.popularity, start, support_of(state, catalogue), checkpoint.inner
        )
    except AdaptationError:
        metrics.adaptations.labels("failed").inc()
        return None
    metrics.adaptation_duration.observe(time.perf_counter() - started)
    metrics.adaptations.labels("limited" if result.limited else "ok").inc()
    metrics.adaptation_kl.observe(result.kl_nats)
    metrics.value_error.observe(result.value_error)
    if result.ratios:
        metrics.clipped_ratio.observe(result.clipped / result.ratios)
    return result


def is_organic(slate: bytes) -> bool:
    """Returns whether a transition's slate key stands for no slate."""
    return slate == NO_SLATE
