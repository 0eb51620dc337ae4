"""Tenants in Redis, and the erasing of those that were deleted."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from service.store import admin_scripts as scripts
from service.store.connection import Connection
from service.store.keys import API_KEYS, ERASURES, TENANTS, keys_of, pattern_of

__all__ = ["TenantRecord", "TenantStore"]

Arg = bytes | str | int
_SCANNED = 1000
_RESULTS: dict[int, Literal["added", "taken", "too_many"]] = {1: "added", 0: "taken", -1: "too_many"}


class TenantRecord(BaseModel):
    """A tenant as Redis holds it.

    Attributes:
        name: what people call it.
        namespace: what stands for it in the keys of its users and items.
        checkpoint_items: whether it begins with the checkpoint's items.
        created_at: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    checkpoint_items: bool
    created_at: int


class TenantStore:
    """All tenants but the service's own; every call raises StoreUnavailable where Redis is away.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Connection) -> None:
        self._redis = redis
        self._add = redis.client.register_script(scripts.ADD_TENANT)
        self._delete = redis.client.register_script(scripts.DELETE_TENANT)

    @property
    def _client(self) -> Any:
        return self._redis.client

    async def tenant(self, name: str) -> TenantRecord | None:
        """Returns a tenant."""

        async def call() -> Any:
            return await self._client.hget(TENANTS, name)

        data = await self._redis.guarded("admin", call, repeatable=True)
        return None if data is None else TenantRecord.model_validate_json(data)

    async def tenants(self) -> list[TenantRecord]:
        """Returns all tenants by name."""

        async def call() -> list[Any]:
            return list(await self._client.hvals(TENANTS))

        found = await self._redis.guarded("admin", call, repeatable=True)
        return sorted((TenantRecord.model_validate_json(data) for data in found), key=lambda record: record.name)

    async def add(self, record: TenantRecord, most: int) -> Literal["added", "taken", "too_many"]:
        """Stores a new tenant, unless its name is taken or there are so many already."""
        args: list[Arg] = [record.name, record.model_dump_json(), most]
        found = await self._redis.guarded("admin", lambda: self._add(keys=[TENANTS], args=args), repeatable=False)
        return _RESULTS[int(found)]

    async def delete(self, record: TenantRecord, gone_at: float) -> list[str] | None:
        """Deletes a tenant and its keys at once, and notes that its users and items are to be erased.

        Args:
            record: the tenant.
            gone_at: when nobody can write for it any more, seconds since 1970.

        Returns:
            The ids of its keys, or None where it was gone already.
        """
        names = [TENANTS, API_KEYS, keys_of(record.namespace), ERASURES]
        args = [record.name, record.namespace, str(gone_at)]
        found = await self._redis.guarded("admin", lambda: self._delete(keys=names, args=args), repeatable=False)
        return None if found is None else [key_id.decode() for key_id in found]

    async def erasures(self) -> dict[str, float]:
        """Returns the namespaces that are being erased, and when nobody can write to each any more."""

        async def call() -> dict[Any, Any]:
            return dict(await self._client.hgetall(ERASURES))

        found = await self._redis.guarded("admin", call, repeatable=True)
        return {namespace.decode(): float(gone_at) for namespace, gone_at in found.items()}

    async def erase(self, namespace: str) -> None:
        """Deletes all users and items of a namespace; a call of Redis looks at a thousand keys."""
        cursor = await self._erase_some(0, pattern_of(namespace))
        while cursor != 0:
            cursor = await self._erase_some(cursor, pattern_of(namespace))

    async def erased(self, namespace: str) -> None:
        """Notes that nothing is left of a namespace."""

        async def call() -> None:
            await self._client.hdel(ERASURES, namespace)

        await self._redis.guarded("admin", call, repeatable=True)

    async def _erase_some(self, cursor: int, pattern: str) -> int:
        async def call() -> int:
            after, names = await self._client.scan(cursor, match=pattern, count=_SCANNED)
            if names:
                # One by one in one round trip: their slots differ. Redis frees the memory behind its back.
                pipe = self._client.pipeline(transaction=False)
                for name in names:
                    pipe.unlink(name)
                await pipe.execute()
            return int(after)

        return await self._redis.guarded("admin", call, repeatable=True)
