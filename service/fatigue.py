"""Fatigue as it is served: what a user was shown in this session, from their transitions, taken off the values.

The trainer's memories (`metarl_rec.fatigue`) fade with every slate. Here a slate is one that got feedback, whole; what
was shown and never answered is not held of a user. A pause of `session_gap_s` ends a session and clears the memories.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.fatigue import Exposure
from metarl_rec.inner_params import InnerParams
from service.catalogue import LiveCatalogue
from service.store.codec import NO_SLATE, UserState

__all__ = ["fatigue_of"]


def fatigue_of(
    state: UserState, catalogue: LiveCatalogue, inner: InnerParams, *, now: int, session_gap_s: int
) -> NDArray[np.float32] | None:
    """Returns what to take off every item's value [n] float32, or None where nothing is to be taken off.

    Args:
        state: the user; transitions oldest first.
        catalogue: items and their topics.
        inner: the checkpoint's settings.
        now: seconds since 1970.
        session_gap_s: a longer pause begins a new session.
    """
    topics = catalogue.topics
    if topics is None or not any(inner.fatigue):
        return None
    exposure = Exposure(topics, users=1)
    present = np.ones(1, np.bool_)
    for items in _session(state, now, session_gap_s):
        known = [number for number in items if catalogue.knows(number)]
        if known:
            exposure.show(np.array([known], np.int32), present)
    return exposure.penalty(inner.fatigue)[0] if exposure.any()[0] else None


def _session(state: UserState, now: int, gap_s: int) -> list[tuple[int, ...]]:
    """Returns the slates of the current session, oldest first; an event without a slate is a slate of its own."""
    times = state.transitions["time"].astype(np.int64)
    begin, later = len(times), now
    while begin > 0 and later - int(times[begin - 1]) <= gap_s:
        begin -= 1
        later = int(times[begin])
    slates: dict[tuple[bytes, int], tuple[int, ...]] = {}
    for row in state.transitions[begin:].tolist():
        _, item, _, _, _, slate, _, _ = row
        shown = state.slates.get(slate)
        if slate == NO_SLATE or shown is None:
            slates[NO_SLATE, item] = (item,)
        else:
            # The first answer to a slate says when it was shown; a second one does not show it again.
            slates.setdefault((slate, 0), shown.items)
    return list(slates.values())
