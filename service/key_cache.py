"""Keys as this replica knows them: looked up once in a while, so that a call costs no round trip of its own."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.settings import Settings
from service.store.connection import StoreUnavailable
from service.store.key_store import KeyRecord, KeyStore

__all__ = ["KeyCache"]

_KNOWN = 10_000
_UNKNOWN = 10_000


@dataclass(slots=True)
class _Entry:
    """A key's record, when it was read, and when it is read again; seconds on the cache's clock."""

    record: KeyRecord
    read_at: float
    due_at: float


class KeyCache:
    """The keys that were asked for, the least recently used forgotten first.

    What another replica changed is known here after `key_cache_s`. While Redis is away, a key stays known for
    `key_stale_s` after it was read. Ids that no key has are kept apart, so that a flood of them pushes out no key.

    Args:
        settings: how long a record counts.
        store: where keys are read.
        clock: seconds, monotonic.
    """

    def __init__(self, settings: Settings, store: KeyStore, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._reading: dict[str, asyncio.Task[KeyRecord | None]] = {}

    async def record(self, key_id: str) -> KeyRecord | None:
        """Returns a key's record, or None where there is no such key.

        Raises:
            StoreUnavailable: it is not known here, or not any more, and Redis is away.
        """
        now = self._clock()
        entry = self._known.get(key_id)
        if entry is not None and now < entry.due_at:
            self._known.move_to_end(key_id)
            return entry.record
        if now < self._unknown.get(key_id, now):
            return None
        task = self._reading.get(key_id)
        if task is None:
            # Calls with one key that arrive together read it once; one of them that is cancelled stops no other.
            task = self._reading[key_id] = asyncio.create_task(self._read(key_id))
            task.add_done_callback(lambda done: self._is_read(key_id, done))
        return await asyncio.shield(task)

    def forget(self, key_id: str) -> None:
        """Drops what is known of a key; what is being read of it right now will not be kept."""
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)
        self._reading.pop(key_id, None)

    async def _read(self, key_id: str) -> KeyRecord | None:
        # What is read may be as old as the question.
        began = self._clock()
        due_at = began + self._settings.key_cache_s
        try:
            record = await self._store.key(key_id)
        except StoreUnavailable:
            entry = self._known.get(key_id)
            if entry is None or began - entry.read_at >= self._settings.key_stale_s:
                raise
            # Redis is left alone for a while: the calls' own reads will wait for it as well.
            entry.due_at = due_at
            return entry.record
        if self._reading.get(key_id) is asyncio.current_task():
            self._keep(key_id, record, began, due_at)
        return record

    def _keep(self, key_id: str, record: KeyRecord | None, read_at: float, due_at: float) -> None:
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)
        if record is None:
            self._unknown[key_id] = due_at
        else:
            self._known[key_id] = _Entry(record, read_at, due_at)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        if len(self._unknown) > _UNKNOWN:
            self._unknown.popitem(last=False)

    def _is_read(self, key_id: str, task: asyncio.Task[KeyRecord | None]) -> None:
        if self._reading.get(key_id) is task:
            del self._reading[key_id]
        if not task.cancelled():
            # Whoever waited for it has been told; nobody may be left.
            task.exception()
