"""The Redis store: a read of everything a request needs, and one atomic write, each one round trip."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.metrics import Metrics
from service.settings import Settings
from service.store import scripts
from service.store.breaker import Breaker
from service.store.codec import LIFE_AT
from service.store.keys import ItemKeys, UserKeys

__all__ = ["ItemChanges", "RedisStore", "Snapshot", "StoreUnavailable"]

T = TypeVar("T")
Arg = bytes | str | int
_log = logging.getLogger("metarl.store")
_REGISTER_CHUNK = 1000
_KINDS: dict[str, type[ResponseError]] = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError, "NOSCRIPT": NoScriptError}
_PUT_RESULTS: dict[int, Literal["stored", "taken", "stale"]] = {1: "stored", 0: "taken", -1: "stale"}


def _kind_of(error: ResponseError) -> str:
    """Returns what Redis refused with; an error inside a script is a general one that quotes the real one."""
    for code, type_ in _KINDS.items():
        if isinstance(error, type_) or f"-{code} " in str(error):
            return code.lower()
    return "other"


class StoreUnavailable(Exception):
    """Redis did not answer in time, or refused; `kind` names how, and the outcome of a write is unknown."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"Redis is unavailable ({kind})")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one read gave.

    Attributes:
        state: bytes of the user's state, or None.
        events: bytes of the user's event ids, or None.
        changes: the items' change counter.
        impressions: bytes of each impression asked for, or None.
    """

    state: bytes | None
    events: bytes | None
    changes: int
    impressions: list[bytes | None]


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """Items changed since some point.

    Attributes:
        changes: the change counter that this brings a replica to.
        records: (item number, record bytes).
    """

    changes: int
    records: list[tuple[int, bytes]]


class RedisStore:
    """Everything the service asks of Redis; every call is bounded in time and guarded by a breaker.

    Args:
        url: redis://, rediss:// or unix://.
        settings: time-outs and lifetimes.
        metrics: where commands and errors are counted.
    """

    def __init__(self, url: str, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._limit_s = settings.redis_connect_timeout_s + settings.redis_timeout_s
        self._items = ItemKeys(settings.tenant)
        self._available = True
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_open_s)
        self._client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=settings.redis_connect_timeout_s,
            socket_timeout=settings.redis_timeout_s,
            # The store retries itself, and only what is safe to repeat.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._commit = self._client.register_script(scripts.COMMIT)
        self._erase = self._client.register_script(scripts.ERASE)
        self._put_impression = self._client.register_script(scripts.PUT_IMPRESSION)
        self._register = self._client.register_script(scripts.REGISTER_ITEMS)
        self._put_item = self._client.register_script(scripts.PUT_ITEM)

    @property
    def available(self) -> bool:
        """Whether the last call was answered."""
        return self._available

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def read(self, keys: UserKeys, impressions: Sequence[str] = (), *, events: bool = False) -> Snapshot:
        """Returns a user's state with what else the request needs.

        Args:
            keys: whose.
            impressions: recommendation ids.
            events: whether the event ids are wanted.

        Raises:
            StoreUnavailable: Redis is away.
        """

        async def call() -> list[Any]:
            pipe = self._client.pipeline(transaction=False)
            pipe.get(self._items.changes)
            pipe.mget([keys.state, *([keys.events] if events else []), *map(keys.impression, impressions)])
            return list(await pipe.execute())

        changes, values = await self._guarded("read", call, repeatable=True, limit_s=self._limit_s)
        state, rest = values[0], values[1:]
        log = rest.pop(0) if events else None
        return Snapshot(state, log, int(changes or 0), rest)

    async def commit(self, keys: UserKeys, expected_head: bytes, state: bytes, events: bytes = b"") -> bool:
        """Writes state and event ids at once; returns False where the state has changed since it was read.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        settings = self._settings
        args: list[Arg] = [expected_head, state, settings.state_ttl_s, events, settings.event_window_s]
        return bool(
            await self._guarded(
                "commit",
                lambda: self._commit(keys=[keys.state, keys.events], args=args),
                repeatable=False,
                limit_s=self._limit_s,
            )
        )

    async def erase(self, keys: UserKeys, tombstone: bytes) -> None:
        """Replaces everything of a user by a tombstone that outlives whatever may still be in flight."""
        ttl = max(self._settings.impression_ttl_s, self._settings.event_window_s)
        names = [keys.state, keys.events, keys.impressions]
        await self._guarded(
            "erase", lambda: self._erase(keys=names, args=[tombstone, ttl]), repeatable=True, limit_s=self._limit_s
        )

    async def put_impression(
        self, keys: UserKeys, recommendation_id: str, data: bytes, life: bytes
    ) -> Literal["stored", "taken", "stale"]:
        """Stores a served slate, unless the id is taken or the user's life is no longer this one (b"": whatever it is).

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        now, ttl = int(time.time()), self._settings.impression_ttl_s
        names = [keys.impression(recommendation_id), keys.impressions, keys.state]
        args: list[Arg] = [data, ttl, now, now + ttl, life, LIFE_AT]
        found = await self._guarded(
            "put_impression",
            lambda: self._put_impression(keys=names, args=args),
            repeatable=False,
            limit_s=self._limit_s,
        )
        return _PUT_RESULTS[int(found)]

    async def register_items(self, item_ids: Sequence[str]) -> list[int]:
        """Returns the number of every item id, giving new ids the next numbers in order."""
        names = [self._items.numbers, self._items.next_number]
        numbers: list[int] = []
        for start in range(0, len(item_ids), _REGISTER_CHUNK):
            chunk: list[Arg] = list(item_ids[start : start + _REGISTER_CHUNK])
            numbers += await self._register_chunk(names, chunk)
        return numbers

    async def _register_chunk(self, names: list[str], chunk: list[Arg]) -> list[int]:
        found = await self._guarded("register", lambda: self._register(keys=names, args=chunk), repeatable=True)
        return [int(number) for number in found]

    async def put_item(self, item_id: str, record: bytes) -> tuple[int, int]:
        """Stores an item's record; returns its number and the change counter."""
        keys = self._items
        names = [keys.numbers, keys.next_number, keys.records, keys.changes, keys.log]
        args: list[Arg] = [item_id, record]
        number, change = await self._guarded(
            "put_item", lambda: self._put_item(keys=names, args=args), repeatable=False
        )
        return int(number), int(change)

    async def item_changes(self, since: int) -> ItemChanges:
        """Returns the items changed after `since`."""

        async def call() -> ItemChanges:
            # The counter is read first: a change in between is then read twice rather than missed.
            changes = int(await self._client.get(self._items.changes) or 0)
            numbers: list[Any] = list(await self._client.zrangebyscore(self._items.log, f"({since}", "+inf"))
            records: list[Any] = list(await self._client.hmget(self._items.records, numbers)) if numbers else []
            pairs = zip(numbers, records, strict=True)
            return ItemChanges(changes, [(int(number), record) for number, record in pairs if record is not None])

        return await self._guarded("item_changes", call, repeatable=True)

    async def append_only(self) -> bool:
        """Returns whether Redis keeps an append-only file."""
        found = await self._guarded("config", lambda: self._client.config_get("appendonly"), repeatable=True)
        return bool(found.get("appendonly") == "yes")

    async def _guarded(
        self, op: str, call: Callable[[], Awaitable[T]], *, repeatable: bool, limit_s: float | None = None
    ) -> T:
        """Returns what `call` gives.

        Args:
            op: the metrics' name for it.
            call: what to await.
            repeatable: whether it may be made a second time where a connection turns out to be dead.
            limit_s: limit of the whole call, a second try included; without one, each reply has its own time-out.

        Raises:
            StoreUnavailable: it failed, took too long, or was not even tried because the breaker is open.
        """
        if self._breaker.is_open:
            self._metrics.redis_errors.labels(op, "breaker").inc()
            raise StoreUnavailable("breaker")
        started = time.perf_counter()
        deadline = None if limit_s is None else asyncio.get_running_loop().time() + limit_s
        for attempt in (0, 1):
            try:
                # A new connection greets the server before it asks: that, too, must fit into the limit.
                async with asyncio.timeout_at(deadline):
                    result = await call()
            except (TimeoutError, RedisTimeoutError):
                kind = "timeout"
            except BusyLoadingError:
                kind = "loading"
            except (RedisConnectionError, OSError):
                kind = "connection"
                # A restarted Redis leaves dead connections behind; the next try must not draw one of them.
                await self._client.connection_pool.disconnect(inuse_connections=False)
                if repeatable and attempt == 0:
                    continue
            except ResponseError as error:
                kind = _kind_of(error)
            except RedisError:
                kind = "other"
            else:
                self._breaker.succeeded()
                self._note(available=True)
                self._metrics.redis_duration.labels(op).observe(time.perf_counter() - started)
                return result
            break
        if kind in ("timeout", "connection"):
            # Only what costs time opens the breaker: a Redis that says no at once can still be read.
            self._breaker.failed()
        self._metrics.redis_errors.labels(op, kind if kind in self._metrics.redis_kinds else "other").inc()
        self._note(available=False, op=op, kind=kind)
        raise StoreUnavailable(kind)

    def _note(self, *, available: bool, op: str = "", kind: str = "") -> None:
        self._metrics.breaker_open.set(self._breaker.has_tripped)
        if available and not self._available:
            _log.warning("redis answers again")
        elif self._available and not available:
            _log.warning("redis failed", extra={"op": op, "kind": kind})
        self._available = available
