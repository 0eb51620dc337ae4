"""The record of applied event ids: 24 bytes an event, for a day or the last 1,024 events, whichever is shorter."""

from __future__ import annotations

from typing import Literal

import numpy as np

__all__ = ["EventLog"]

_ENTRY = np.dtype([("event", "V16"), ("content", "V4"), ("time", "<u4")])


class EventLog:
    """Event ids of one user.

    Args:
        entries: by event digest of 16 bytes, oldest first: content digest of 4 bytes, seconds since 1970.
    """

    def __init__(self, entries: dict[bytes, tuple[bytes, int]]) -> None:
        self._entries = entries

    @classmethod
    def decode(cls, data: bytes | None) -> EventLog:
        """Returns the record; a damaged one is cut to whole entries, which can only forget the newest of them."""
        raw = data or b""
        rows = np.frombuffer(raw, _ENTRY, len(raw) // _ENTRY.itemsize).tolist()
        return cls({event: (content, time) for event, content, time in rows})

    def __len__(self) -> int:
        return len(self._entries)

    def encode(self) -> bytes:
        """Returns the record's bytes."""
        rows = [(event, content, time) for event, (content, time) in self._entries.items()]
        return np.array(rows, _ENTRY).tobytes()

    def find(self, event: bytes, content: bytes) -> Literal["new", "same", "other"]:
        """Returns whether an event id is new, was applied with this content, or with another."""
        known = self._entries.get(event)
        if known is None:
            return "new"
        return "same" if known[0] == content else "other"

    def add(self, event: bytes, content: bytes, now: int, *, window_s: int, window_size: int) -> None:
        """Adds one event, and forgets those that have left the window."""
        self._entries[event] = (content, now)
        while len(self._entries) > window_size:
            del self._entries[next(iter(self._entries))]
        while (oldest := next(iter(self._entries))) != event and self._entries[oldest][1] + window_s <= now:
            del self._entries[oldest]
