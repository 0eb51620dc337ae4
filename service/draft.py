"""A user's state while a batch of events is applied to it: plain containers, so that a thousand events stay cheap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.settings import Settings
from service.store.codec import NO_SLATE, SETTLED, TRANSITION, USABLE, Impression, Slate, UserState, type_bits, types_of
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

    def knows(self, identity: bytes) -> bool:
        """Returns whether a transition of this event is held."""
        return any(row[0] == identity for row in self._rows.values())

    def learn(
        self,
        identity: bytes,
        number: int,
        reward: float,
        recommendation_id: str | None,
        impression: Impression | None,
        time: int | None = None,
    ) -> None:
        """Adds one transition, or what a further event makes of one that is there.

        Args:
            identity: digest of the event id.
            number: item number; in the slate, if there is one.
            reward: in [0, 1].
            recommendation_id: the slate that showed the item, or None.
            impression: what was served under that id.
            time: seconds since 1970 of the event; now when absent.
        """
        time = self._now if time is None else time
        if impression is None or recommendation_id is None:
            self._told((identity, number, reward, 0.0, time, NO_SLATE, 0, 0))
            return
        slate = digest(recommendation_id)[:8]
        before = self._rows.pop((slate, number), None)
        reward = reward if before is None else self._aggregated(before[2], reward)
        self._show(slate, impression, impression.items.index(number), identity, reward, time, 0)

    def adopt(self, other: UserState) -> None:
        """Takes another user's transitions and seen items in; ones that are held already count once.

        They form no ratios any more: which items that user had seen before a slate is not told here.
        """
        for row in other.transitions.tolist():
            identity, number, reward, log_propensity, time, slate, position, flags = row
            if self.knows(identity):
                continue
            if slate == NO_SLATE or slate not in other.slates:
                self._told((identity, number, reward, 0.0, time, NO_SLATE, 0, flags & SETTLED))
                continue
            self._slates.setdefault(slate, other.slates[slate])
            self._rows.setdefault(
                (slate, number), (identity, number, reward, log_propensity, time, slate, position, flags & SETTLED)
            )
        for number, types in zip(other.seen.tolist(), types_of(other).tolist(), strict=True):
            self._seen[number] = self._seen.get(number, 0) | types
        self._updated = max(self._updated, other.updated)

    def _told(self, row: _Row) -> None:
        """Adds what answers no slate; of several events on one item, their times say which came last."""
        before = self._rows.pop((NO_SLATE, row[1]), None)
        if before is not None:
            earlier, later = sorted((before, row), key=lambda each: each[4])
            row = (*later[:2], self._aggregated(earlier[2], later[2]), *later[3:])
        self._rows[NO_SLATE, row[1]] = row

    def settle(self, slate: bytes, impression: Impression, reward: float) -> int:
        """Adds a transition for every position that got nothing; returns how many.

        Args:
            slate: first 8 bytes of the recommendation id's digest.
            impression: what was served, its reward window over.
            reward: what nothing counts as.
        """
        shown = max(0, impression.expires - self._settings.impression_ttl_s)
        waiting = [at for at, number in enumerate(impression.items) if (slate, number) not in self._rows]
        for at in waiting:
            identity = digest(f"{slate.hex()} {at}")
            self._show(slate, impression, at, identity, reward, shown, SETTLED)
        self._updated = self._now
        return len(waiting)

    def _show(
        self, slate: bytes, impression: Impression, position: int, identity: bytes, reward: float, time: int, flags: int
    ) -> None:
        number = impression.items[position]
        flags |= USABLE if impression.usable else 0
        self._slates[slate] = Slate(impression.seen, impression.items)
        self._rows[slate, number] = (
            identity, number, reward, impression.log_propensities[position], time, slate, position, flags
        )  # fmt: skip

    def _aggregated(self, earlier: float, later: float) -> float:
        match self._settings.reward_aggregation:
            case "first":
                return earlier
            case "max":
                return max(earlier, later)
            case "sum":
                return min(1.0, earlier + later)
        return later

    def _kept(self) -> list[_Row]:
        """Returns the rows that the buffer holds, oldest first: where it is full, what got nothing leaves first."""
        rows = sorted(self._rows.values(), key=lambda row: row[4])
        excess = len(rows) - self._settings.buffer_size
        if excess <= 0:
            return rows
        unanswered = [index for index, row in enumerate(rows) if row[7] & SETTLED][:excess]
        answered = [index for index, row in enumerate(rows) if not row[7] & SETTLED][: excess - len(unanswered)]
        gone = {*unanswered, *answered}
        return [row for index, row in enumerate(rows) if index not in gone]

    def state(self) -> UserState:
        """Returns the state after all events, without weights."""
        rows = self._kept()
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
