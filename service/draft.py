"""A user's state while a batch of events is applied to it: plain containers, so that a thousand events stay cheap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.settings import Settings
from service.store.codec import NO_SLATE, TRANSITION, USABLE, Impression, Slate, UserState, type_bits, types_of
from service.store.keys import digest

__all__ = ["Draft"]

_Row = tuple[bytes, int, float, float, int, bytes, int, int]


class Draft:
    """Takes events in, gives the state after them out.

    Args:
        state: the state before; it is not changed.
        settings: sizes of the buffer and of the list of seen items.
        now: seconds since 1970.
    """

    def __init__(self, state: UserState, settings: Settings, now: int) -> None:
        self._before = state
        self._settings = settings
        self._now = now
        self._updated = state.updated
        # By slate and item, oldest first: a later word on the same shown item replaces the earlier one, so that a
        # like after a click is one transition.
        self._rows: dict[tuple[bytes, int], _Row] = {}
        for row in state.transitions.tolist():
            self._rows[row[5], row[1]] = row
        self._slates = dict(state.slates)
        self._seen = dict(zip(state.seen.tolist(), types_of(state).tolist(), strict=True))

    def see(self, number: int, event_type: str) -> None:
        """Notes that the user has given feedback on an item, by an event of a type."""
        self._seen[number] = self._seen.get(number, 0) | type_bits([event_type])
        self._updated = self._now

    def learn(
        self, identity: bytes, number: int, reward: float, recommendation_id: str | None, impression: Impression | None
    ) -> None:
        """Adds one transition.

        Args:
            identity: digest of the event id.
            number: item number; in the slate, if there is one.
            reward: in [0, 1].
            recommendation_id: the slate that showed the item, or None.
            impression: what was served under that id.
        """
        slate_key, position, log_propensity, flags = NO_SLATE, 0, 0.0, 0
        if impression is not None and recommendation_id is not None:
            slate_key = digest(recommendation_id)[:8]
            position = impression.items.index(number)
            log_propensity, flags = impression.log_propensities[position], USABLE if impression.usable else 0
            self._slates[slate_key] = Slate(impression.seen, impression.items)
        self._rows.pop((slate_key, number), None)
        self._rows[slate_key, number] = (
            identity, number, reward, log_propensity, self._now, slate_key, position, flags
        )  # fmt: skip

    def state(self) -> UserState:
        """Returns the state after all events, without weights."""
        rows = list(self._rows.values())[-self._settings.buffer_size :]
        used = {row[5] for row in rows}
        seen = np.fromiter(self._seen, np.uint32, len(self._seen))
        types = np.fromiter(self._seen.values(), np.uint16, len(self._seen))
        dropped = max(0, len(seen) - self._settings.max_seen)
        return replace(
            self._before,
            tombstone=False,
            created=self._before.created or self._now,
            updated=self._updated,
            transitions=np.array(rows, TRANSITION) if rows else np.zeros(0, TRANSITION),
            slates={key: slate for key, slate in self._slates.items() if key in used},
            seen=seen[dropped:],
            seen_types=types[dropped:],
            seen_dropped=self._before.seen_dropped + dropped,
            weights=None,
        )
