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


def support_of(state: UserState, catalogue: LiveCatalogue, organic_weight: float) -> Support:
    """Returns the state's transitions as the inner loop reads them.

    A transition's candidates are the items on offer, minus those the user had seen when its slate was drawn, minus the
    positions before its own. What answers no slate counts `organic_weight`. Only transitions of a slate that was
    sampled over the whole catalogue form a ratio; those of restricted or greedy slates, and organic events, feed the
    value term. Transitions of unknown items are skipped.
    """
    rows = state.transitions[catalogue.known(state.transitions["item"])]
    items = rows["item"].astype(np.int32)
    told = np.array([key == NO_SLATE for key in rows["slate"].tolist()], dtype=bool)
    slates = [state.slates.get(key) for key in rows["slate"].tolist()]
    usable = np.array(
        [
            slate is not None and flags & USABLE != 0
            for slate, flags in zip(slates, rows["flags"].tolist(), strict=True)
        ],
        dtype=bool,
    )
    # Each slate's items once, however many transitions it has.
    shown = {
        key: np.array(slate.items, np.int64)
        for key, slate, use in zip(rows["slate"].tolist(), slates, usable, strict=True)
        if slate is not None and use
    }
    seen = state.seen.astype(np.int64)
    # How much of the list each transition's user had seen; a dropped beginning was seen by all of them.
    lengths = [max(0, slate.seen - state.seen_dropped) if slate else 0 for slate in slates]
    common = min((length for length, use in zip(lengths, usable, strict=True) if use), default=len(seen))
    involved = np.unique(np.concatenate([seen[common:], items.astype(np.int64), *shown.values()]))
    involved = involved[catalogue.known(involved)]
    seen_by_all = np.zeros(len(catalogue.available), bool)
    seen_by_all[seen[:common][catalogue.known(seen[:common])]] = True
    touched = involved[~seen_by_all[involved]].astype(np.int32)
    column = np.full(len(catalogue.available), -1, np.int64)
    column[touched] = np.arange(len(touched))
    rest = catalogue.available.copy()
    rest[seen[seen < len(rest)]] = False
    rest[touched] = False

    def columns(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = column[numbers[numbers < len(column)]]
        inside: NDArray[np.int64] = found[found >= 0]
        return inside

    on_offer = catalogue.available[touched]
    allowed = np.zeros((len(items), len(touched)), bool)
    for j, key in enumerate(rows["slate"].tolist()):
        if not usable[j]:
            continue
        own = column[items[j]]
        if own < 0:
            # Seen before the slate was drawn: no candidate then, so there is no ratio to form.
            usable[j] = False
            continue
        allowed[j] = on_offer
        allowed[j, columns(seen[common : lengths[j]])] = False
        allowed[j, columns(shown[key][: rows["position"][j]])] = False
        # An item taken off the list since, or seen through another event in between, was still a candidate then.
        allowed[j, own] = True
    return Support(
        items=items,
        rewards=rows["reward"].astype(np.float32),
        log_propensities=rows["log_propensity"].astype(np.float32),
        weight=np.where(told, organic_weight, 1.0).astype(np.float32),
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
    started, inner = time.perf_counter(), checkpoint.inner
    try:
        result = adapt_user(
            catalogue.features, catalogue.popularity, start, support_of(state, catalogue, inner.organic_weight), inner
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
