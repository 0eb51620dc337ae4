"""Users in Redis: a read of everything a request needs, and one atomic write, each one round trip."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.settings import Settings
from service.store import scripts
from service.store.codec import LIFE_AT
from service.store.connection import Connection
from service.store.keys import ItemKeys, UserKeys

__all__ = ["Snapshot", "UserStore"]

Arg = bytes | str | int
SETTLED_AT_ONCE = 20
"""Slates that one write settles."""

_PUT_RESULTS: dict[int, Literal["stored", "taken", "stale"]] = {1: "stored", 0: "taken", -1: "stale"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one read gave.

    Attributes:
        state: bytes of the user's state, or None.
        events: bytes of the user's event ids, or None.
        changes: the items' change counter.
        impressions: bytes of each impression asked for, or None.
        due: keys of slates whose reward window is over and that are not settled yet, oldest first.
    """

    state: bytes | None
    events: bytes | None
    changes: int
    impressions: list[bytes | None]
    due: list[str]


class UserStore:
    """One tenant's users.

    Args:
        redis: the connection.
        settings: lifetimes.
        tenant: whose.
    """

    def __init__(self, redis: Connection, settings: Settings, tenant: str) -> None:
        self._redis = redis
        self._settings = settings
        self._items = ItemKeys(tenant)
        self._commit = redis.client.register_script(scripts.COMMIT)
        self._erase = redis.client.register_script(scripts.ERASE)
        self._settle = redis.client.register_script(scripts.SETTLE)
        self._replace_impression = redis.client.register_script(scripts.REPLACE_IMPRESSION)
        self._put_impression = redis.client.register_script(scripts.PUT_IMPRESSION)

    @property
    def _impression_ttl_s(self) -> int:
        """How long a slate is held: for the reward window, and where non-clicks count, until it is settled."""
        settings = self._settings
        return settings.impression_ttl_s + (0 if settings.default_reward is None else settings.settle_grace_s)

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
            pipe = self._redis.client.pipeline(transaction=False)
            pipe.get(self._items.changes)
            pipe.mget([keys.state, *([keys.events] if events else []), *map(keys.impression, impressions)])
            if self._settings.default_reward is not None:
                pipe.zrangebyscore(keys.impressions, "-inf", f"({int(time.time())}", start=0, num=SETTLED_AT_ONCE)
            return list(await pipe.execute())

        found = await self._redis.guarded("read", call, repeatable=True, limit_s=self._redis.limit_s)
        changes, values = found[:2]
        state, rest = values[0], values[1:]
        log = rest.pop(0) if events else None
        due = [key.decode() for key in found[2]] if len(found) > 2 else []
        return Snapshot(state, log, int(changes or 0), rest, due)

    async def commit(self, keys: UserKeys, expected_head: bytes, state: bytes, events: bytes = b"") -> bool:
        """Writes state and event ids at once; returns False where the state has changed since it was read.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        settings = self._settings
        args: list[Arg] = [expected_head, state, settings.state_ttl_s, events, settings.event_window_s]
        return bool(
            await self._redis.guarded(
                "commit",
                lambda: self._commit(keys=[keys.state, keys.events], args=args),
                repeatable=False,
                limit_s=self._redis.limit_s,
            )
        )

    async def impressions(self, keys: Sequence[str]) -> list[bytes | None]:
        """Returns slates by their keys.

        Raises:
            StoreUnavailable: Redis is away.
        """

        async def call() -> list[bytes | None]:
            found: list[Any] = list(await self._redis.client.mget(list(keys))) if keys else []
            return found

        return await self._redis.guarded("read", call, repeatable=True, limit_s=self._redis.limit_s)

    async def impression_keys(self, keys: UserKeys) -> list[str]:
        """Returns the keys of all slates that are held of a user, those whose window ends first first.

        Raises:
            StoreUnavailable: Redis is away.
        """

        async def call() -> list[str]:
            found: list[Any] = list(await self._redis.client.zrange(keys.impressions, 0, -1))
            return [key.decode() for key in found]

        return await self._redis.guarded("read", call, repeatable=True, limit_s=self._redis.limit_s)

    async def settle(self, keys: UserKeys, expected_head: bytes, state: bytes, impressions: Sequence[str]) -> bool:
        """Writes a state and forgets the slates that it has learned from; False where the state changed meanwhile.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        names = [keys.state, keys.impressions, *impressions]
        args: list[Arg] = [expected_head, state, self._settings.state_ttl_s]
        return bool(
            await self._redis.guarded(
                "commit",
                lambda: self._settle(keys=names, args=args),
                repeatable=False,
                limit_s=self._redis.limit_s,
            )
        )

    async def erase(self, keys: UserKeys, tombstone: bytes, expected_head: bytes = b"*") -> bool:
        """Replaces everything of a user by a tombstone that outlives whatever may still be in flight.

        Args:
            keys: whose.
            tombstone: what is left.
            expected_head: of the state that it must replace, b"*" for any; returns False where it is another.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        ttl = max(self._impression_ttl_s, self._settings.event_window_s)
        return await self._replace(keys, tombstone, ttl, expected_head, repeatable=expected_head == b"*")

    async def reset(self, keys: UserKeys, expected_head: bytes, state: bytes) -> bool:
        """Replaces everything of a user by a new state; False where the state changed since it was read.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        return await self._replace(keys, state, self._settings.state_ttl_s, expected_head, repeatable=False)

    async def _replace(self, keys: UserKeys, state: bytes, ttl: int, expected: bytes, *, repeatable: bool) -> bool:
        names = [keys.state, keys.events, keys.impressions]
        args: list[Arg] = [state, ttl, expected]
        found = await self._redis.guarded(
            "erase",
            lambda: self._erase(keys=names, args=args),
            repeatable=repeatable,
            limit_s=self._redis.limit_s,
        )
        return bool(found)

    async def put_impression(
        self, keys: UserKeys, recommendation_id: str, data: bytes, life: bytes
    ) -> Literal["stored", "taken", "stale"]:
        """Stores a served slate, unless the id is taken or the user's life is no longer this one (b"": whatever it is).

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        now, ttl = int(time.time()), self._impression_ttl_s
        expires = now + self._settings.impression_ttl_s
        names = [keys.impression(recommendation_id), keys.impressions, keys.state]
        args: list[Arg] = [data, ttl, expires - ttl, expires, life, LIFE_AT]
        found = await self._redis.guarded(
            "put_impression",
            lambda: self._put_impression(keys=names, args=args),
            repeatable=False,
            limit_s=self._redis.limit_s,
        )
        return _PUT_RESULTS[int(found)]

    async def replace_impression(
        self, keys: UserKeys, recommendation_id: str, old: bytes, new: bytes, expires: int
    ) -> bool:
        """Replaces a served slate whose bytes are still these; it lives for another reward window.

        Raises:
            StoreUnavailable: Redis is away; whether the write happened is unknown.
        """
        names = [keys.impression(recommendation_id), keys.impressions]
        args: list[Arg] = [old, new, self._impression_ttl_s, expires]
        return bool(
            await self._redis.guarded(
                "put_impression",
                lambda: self._replace_impression(keys=names, args=args),
                repeatable=False,
                limit_s=self._redis.limit_s,
            )
        )
