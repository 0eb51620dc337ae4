"""The record of applied event ids: 24 bytes an event, for a day or the last 1,024 events, whichever is shorter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["EventLog"]

_ENTRY = np.dtype([("event", "V16"), ("content", "V4"), ("time", "<u4")])


@dataclass(frozen=True, slots=True)
class EventLog:
    """Event ids of one user, oldest first.

    Attributes:
        entries: [E] of (event digest 16, content digest 4, seconds since 1970).
    """

    entries: NDArray[np.void]

    @classmethod
    def decode(cls, data: bytes | None) -> EventLog:
        """Returns the record; a damaged one is cut to whole entries, which can only forget the newest of them."""
        raw = data or b""
        return cls(np.frombuffer(raw, _ENTRY, len(raw) // _ENTRY.itemsize))

    def encode(self) -> bytes:
        """Returns the record's bytes."""
        return self.entries.tobytes()

    def find(self, event: bytes, content: bytes) -> Literal["new", "same", "other"]:
        """Returns whether an event id is new, was applied with this content, or with another."""
        for entry in self.entries[::-1]:
            if entry["event"].tobytes() == event:
                return "same" if entry["content"].tobytes() == content else "other"
        return "new"

    def with_event(self, event: bytes, content: bytes, now: int, *, window_s: int, window_size: int) -> EventLog:
        """Returns the record with one more event, without those that have left the window."""
        entry = np.array([(event, content, now)], _ENTRY)
        kept = self.entries[self.entries["time"] > now - window_s] if len(self.entries) else self.entries
        return EventLog(np.concatenate([kept, entry])[-window_size:])
