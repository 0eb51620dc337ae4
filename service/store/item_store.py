"""Items in Redis: numbers that are never used twice, records, and a change counter that replicas follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.store import scripts
from service.store.connection import Connection
from service.store.keys import ItemKeys

__all__ = ["CHUNK", "PAGE_BYTES", "ItemChanges", "ItemStore"]

Arg = bytes | str | int
CHUNK = 1000
"""Items of one call."""
PAGE_BYTES = 1024 * 1024
"""A call that has reached so many bytes of records takes no more: Redis must answer everybody in time."""


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """Items changed since some point.

    Attributes:
        changes: the change counter that this brings a replica to.
        records: (item number, record bytes).
        complete: whether there are no more.
    """

    changes: int
    records: list[tuple[int, bytes]]
    complete: bool


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
        self._replace = redis.client.register_script(scripts.REPLACE_ITEM)
        self._read = redis.client.register_script(scripts.READ_ITEMS)
        self._put = redis.client.register_script(scripts.PUT_ITEMS)

    async def register_items(self, item_ids: Sequence[str]) -> list[int]:
        """Returns the number of every item id, giving new ids the next numbers in order."""
        names = [self._items.numbers, self._items.next_number]
        numbers: list[int] = []
        for start in range(0, len(item_ids), CHUNK):
            chunk: list[Arg] = list(item_ids[start : start + CHUNK])
            numbers += await self._register_chunk(names, chunk)
        return numbers

    async def _register_chunk(self, names: list[str], chunk: list[Arg]) -> list[int]:
        found = await self._redis.guarded("register", lambda: self._register(keys=names, args=chunk), repeatable=True)
        return [int(number) for number in found]

    async def put(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Stores records by item id, all at once; returns the change counter that they lead to.

        Args:
            records: at most `CHUNK` of them: Redis answers nobody else meanwhile.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        keys = self._items
        names = [keys.numbers, keys.next_number, keys.records, keys.changes, keys.log]
        args: list[Arg] = [part for record in records for part in record]
        return int(await self._redis.guarded("put_items", lambda: self._put(keys=names, args=args), repeatable=False))

    async def read(self, number: int) -> tuple[bytes, int]:
        """Returns an item's record, b"" where it has none of its own, and the change counter.

        Raises:
            StoreUnavailable: Redis is away.
        """

        async def call() -> tuple[bytes, int]:
            pipe = self._redis.client.pipeline(transaction=True)
            pipe.hget(self._items.records, str(number))
            pipe.get(self._items.changes)
            record, changes = await pipe.execute()
            return record or b"", int(changes or 0)

        return await self._redis.guarded("item_changes", call, repeatable=True)

    async def replace(self, number: int, expected: bytes, record: bytes) -> int:
        """Replaces a record that is still this one; returns the change counter that it leads to, 0 where it is not.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        keys = [self._items.records, self._items.changes, self._items.log]
        args: list[Arg] = [number, expected, record]
        return int(
            await self._redis.guarded("put_items", lambda: self._replace(keys=keys, args=args), repeatable=False)
        )

    async def counter(self) -> int:
        """Returns the change counter."""

        async def call() -> int:
            return int(await self._redis.client.get(self._items.changes) or 0)

        return await self._redis.guarded("item_changes", call, repeatable=True)

    async def changes_after(self, since: int) -> ItemChanges:
        """Returns the next items changed after `since`, oldest change first; `complete` says whether that is all.

        A page is read at one instant and ends at one change, so that reading on from there misses nothing.
        """
        keys = [self._items.changes, self._items.log, self._items.records]
        args: list[Arg] = [since, CHUNK, PAGE_BYTES]
        changes, complete, page = await self._redis.guarded(
            "item_changes", lambda: self._read(keys=keys, args=args), repeatable=True
        )
        pairs = zip(page[::2], page[1::2], strict=True)
        return ItemChanges(int(changes), [(int(number), record) for number, record in pairs if record], bool(complete))
