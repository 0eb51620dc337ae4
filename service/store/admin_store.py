"""API keys and tenants in Redis; of a key only the hash of its secret."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from service.store.connection import Connection
from service.store.keys import API_KEYS, TENANTS, tenant_patterns

__all__ = ["AdminStore", "KeyRecord", "TenantRecord"]

_SCANNED = 1000


class KeyRecord(BaseModel):
    """An API key as Redis holds it.

    Attributes:
        key_id: names it, in public.
        secret_hash: sha256 hex of its secret.
        role: reader, writer or admin.
        tenant: whose users and items it sees.
        name: what people call it.
        created_at: seconds since 1970.
        expires_at: seconds since 1970, None for never.
        rate_per_s: calls a second, None for the service's default.
    """

    model_config = ConfigDict(frozen=True)

    key_id: str
    secret_hash: str
    role: str
    tenant: str
    name: str
    created_at: int
    expires_at: int | None = None
    rate_per_s: float | None = None


class TenantRecord(BaseModel):
    """A tenant as Redis holds it.

    Attributes:
        name: part of every key of its users and items.
        checkpoint_items: whether it begins with the checkpoint's items.
        created_at: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    checkpoint_items: bool
    created_at: int


class AdminStore:
    """Who may call.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Connection) -> None:
        self._redis = redis

    async def key(self, key_id: str) -> KeyRecord | None:
        """Returns a key, if its tenant exists, too.

        Raises:
            StoreUnavailable: Redis is away.
        """
        data = await self._get(API_KEYS, key_id)
        return None if data is None else KeyRecord.model_validate_json(data)

    async def put_key(self, record: KeyRecord) -> None:
        """Stores a key."""
        await self._put(API_KEYS, record.key_id, record.model_dump_json())

    async def delete_key(self, key_id: str) -> bool:
        """Deletes a key; returns whether there was one."""
        return await self._delete(API_KEYS, key_id)

    async def keys(self) -> list[KeyRecord]:
        """Returns all keys, oldest first."""
        found = [KeyRecord.model_validate_json(data) for data in await self._all(API_KEYS)]
        return sorted(found, key=lambda record: (record.created_at, record.key_id))

    async def tenant(self, name: str) -> TenantRecord | None:
        """Returns a tenant."""
        data = await self._get(TENANTS, name)
        return None if data is None else TenantRecord.model_validate_json(data)

    async def add_tenant(self, record: TenantRecord) -> bool:
        """Stores a new tenant; returns whether its name was free."""

        async def call() -> bool:
            return bool(await self._client.hsetnx(TENANTS, record.name, record.model_dump_json()))

        return await self._redis.guarded("admin", call, repeatable=False)

    async def delete_tenant(self, name: str) -> bool:
        """Deletes a tenant's record; returns whether there was one."""
        return await self._delete(TENANTS, name)

    async def tenants(self) -> list[TenantRecord]:
        """Returns all tenants by name."""
        found = [TenantRecord.model_validate_json(data) for data in await self._all(TENANTS)]
        return sorted(found, key=lambda record: record.name)

    async def erase_tenant(self, name: str) -> int:
        """Deletes all users and items of a tenant, a thousand keys at a time; returns how many keys."""
        erased = 0
        for pattern in tenant_patterns(name):
            cursor: int | None = None
            while cursor != 0:
                cursor, names = await self._scan(cursor or 0, pattern)
                erased += len(names)
        return erased

    async def _scan(self, cursor: int, pattern: str) -> tuple[int, list[Any]]:
        async def call() -> tuple[int, list[Any]]:
            after, names = await self._client.scan(cursor, match=pattern, count=_SCANNED)
            # One by one in one round trip: their slots differ.
            pipe = self._client.pipeline(transaction=False)
            for each in names:
                pipe.unlink(each)
            await pipe.execute()
            return int(after), list(names)

        return await self._redis.guarded("admin", call, repeatable=True)

    @property
    def _client(self) -> Any:
        return self._redis.client

    async def _get(self, table: str, name: str) -> bytes | None:
        async def call() -> bytes | None:
            found: bytes | None = await self._client.hget(table, name)
            return found

        return await self._redis.guarded("admin", call, repeatable=True, limit_s=self._redis.limit_s)

    async def _put(self, table: str, name: str, data: str) -> None:
        await self._redis.guarded("admin", lambda: self._client.hset(table, name, data), repeatable=True)

    async def _delete(self, table: str, name: str) -> bool:
        return bool(await self._redis.guarded("admin", lambda: self._client.hdel(table, name), repeatable=True))

    async def _all(self, table: str) -> list[bytes]:
        async def call() -> list[bytes]:
            return list(await self._client.hvals(table))

        return await self._redis.guarded("admin", call, repeatable=True)
