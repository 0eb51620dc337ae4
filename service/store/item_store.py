"""Items in Redis: numbers that are never used twice, records, and a change counter that replicas follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.store import scripts
from service.store.connection import Connection
from service.store.keys import ItemKeys

__all__ = ["ItemChanges", "ItemStore"]

Arg = bytes | str | int
_REGISTER_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """Items changed since some point.

    Attributes:
        changes: the change counter that this brings a replica to.
        records: (item number, record bytes).
    """

    changes: int
    records: list[tuple[int, bytes]]


class ItemStore:
    """One tenant's items.

    Args:
        redis: the connection.
        tenant: whose.
    """

    def __init__(self, redis: Connection, tenant: str) -> None:
        self._redis = redis
        self._items = ItemKeys(tenant)
        self._register = redis.client.register_script(scripts.REGISTER_ITEMS)
        self._put_item = redis.client.register_script(scripts.PUT_ITEM)

    async def register_items(self, item_ids: Sequence[str]) -> list[int]:
        """Returns the number of every item id, giving new ids the next numbers in order."""
        names = [self._items.numbers, self._items.next_number]
        numbers: list[int] = []
        for start in range(0, len(item_ids), _REGISTER_CHUNK):
            chunk: list[Arg] = list(item_ids[start : start + _REGISTER_CHUNK])
            numbers += await self._register_chunk(names, chunk)
        return numbers

    async def _register_chunk(self, names: list[str], chunk: list[Arg]) -> list[int]:
        found = await self._redis.guarded("register", lambda: self._register(keys=names, args=chunk), repeatable=True)
        return [int(number) for number in found]

    async def put_item(self, item_id: str, record: bytes) -> tuple[int, int]:
        """Stores an item's record; returns its number and the change counter."""
        keys = self._items
        names = [keys.numbers, keys.next_number, keys.records, keys.changes, keys.log]
        args: list[Arg] = [item_id, record]
        number, change = await self._redis.guarded(
            "put_item", lambda: self._put_item(keys=names, args=args), repeatable=False
        )
        return int(number), int(change)

    async def item_changes(self, since: int) -> ItemChanges:
        """Returns the items changed after `since`."""

        async def call() -> ItemChanges:
            # The counter is read first: a change in between is then read twice rather than missed.
            changes = int(await self._redis.client.get(self._items.changes) or 0)
            numbers: list[Any] = list(await self._redis.client.zrangebyscore(self._items.log, f"({since}", "+inf"))
            records: list[Any] = list(await self._redis.client.hmget(self._items.records, numbers)) if numbers else []
            pairs = zip(numbers, records, strict=True)
            return ItemChanges(changes, [(int(number), record) for number, record in pairs if record is not None])

        return await self._redis.guarded("item_changes", call, repeatable=True)
