"""The record of applied event ids: 32 bytes an event, for a day or the last 1,024 events, whichever is shorter.

Exactly-once holds for what is on record. Of the events that have left it, the newest time stamp is kept, the floor: an
event that is not newer may be a repeat of a forgotten one, which nobody can tell any more.
"""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np

__all__ = ["EventLog"]

_HEAD = struct.Struct("<d")
_ENTRY = np.dtype([("event", "V16"), ("content", "V4"), ("time", "<u4"), ("stamp", "<f8")])


class EventLog:
    """Event ids of one user.

    Args:
        entries: by event digest of 16 bytes, oldest first: content digest of 4 bytes, and seconds since 1970 of its
            arrival and of its own time stamp, 0 without one.
        floor: newest time stamp of the events that have been forgotten, seconds since 1970.
    """

    def __init__(self, entries: dict[bytes, tuple[bytes, int, float]], floor: float = 0.0) -> None:
        self._entries = entries
        self._floor = floor

    @classmethod
    def decode(cls, data: bytes | None) -> EventLog:
        """Returns the record; a damaged one is cut to whole entries, which can only forget the newest of them."""
        if data is None or len(data) < _HEAD.size:
            return cls({})
        count = (len(data) - _HEAD.size) // _ENTRY.itemsize
        rows = np.frombuffer(data, _ENTRY, count, _HEAD.size).tolist()
        return cls({event: (content, time, stamp) for event, content, time, stamp in rows}, _HEAD.unpack_from(data)[0])

    def __len__(self) -> int:
        return len(self._entries)

    def encode(self) -> bytes:
        """Returns the record's bytes."""
        rows = [(event, *entry) for event, entry in self._entries.items()]
        return _HEAD.pack(self._floor) + np.array(rows, _ENTRY).tobytes()

    def find(self, event: bytes, content: bytes, stamp: float = 0.0) -> Literal["new", "same", "other", "late"]:
        """Returns whether an event id is new, was applied with this content or with another, or may be forgotten."""
        known = self._entries.get(event)
        if known is None:
            return "late" if 0.0 < stamp <= self._floor else "new"
        return "same" if known[0] == content else "other"

    def add(
        self, event: bytes, content: bytes, now: int, *, window_s: int, window_size: int, stamp: float = 0.0
    ) -> None:
        """Adds one event, and forgets those that have left the window."""
        self._entries[event] = (content, now, stamp)
        while len(self._entries) > window_size:
            self._forget(next(iter(self._entries)))
        while (oldest := next(iter(self._entries))) != event and self._entries[oldest][1] + window_s <= now:
            self._forget(oldest)

    def _forget(self, event: bytes) -> None:
        self._floor = max(self._floor, self._entries.pop(event)[2])
