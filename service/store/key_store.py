"""API keys in Redis; of a secret only its hash."""

from __future__ import annotations

import logging
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from service.roles import Role
from service.store import admin_scripts as scripts
from service.store.connection import Connection
from service.store.keys import API_KEYS, TENANTS, keys_of

__all__ = ["MAX_KEYS", "KeyRecord", "KeyStore"]

_log = logging.getLogger("metarl.store")
MAX_KEYS: Final = 1000
"""Keys that one tenant may have."""

Arg = bytes | str | int
Added = Literal["added", "unknown_tenant", "too_many"]
_RESULTS: Final[dict[int, Added]] = {1: "added", 0: "unknown_tenant", -1: "too_many"}


class KeyRecord(BaseModel):
    """An API key as Redis holds it.

    Attributes:
        key_id: names it, in public; the ids of older keys come first in the order of their bytes.
        secret_hash: sha256 hex of its secret.
        role: what it may.
        tenant: name of the tenant whose users and items it sees.
        namespace: what stands for that tenant in Redis keys.
        name: what people call it.
        created_at: seconds since 1970.
        expires_at: seconds since 1970, None for never.
        rate_per_s: calls a second, None for the service's default.
        burst: calls at once, None for what the rate gives.
    """

    model_config = ConfigDict(frozen=True)

    key_id: str
    secret_hash: str
    role: Role
    tenant: str
    namespace: str
    name: str
    created_at: int
    expires_at: int | None = None
    rate_per_s: float | None = None
    burst: int | None = None


class KeyStore:
    """All API keys; every call raises StoreUnavailable where Redis is away.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Connection) -> None:
        self._redis = redis
        self._add = redis.client.register_script(scripts.ADD_KEY)
        self._revoke = redis.client.register_script(scripts.REVOKE_KEY)
        self._page = redis.client.register_script(scripts.PAGE_OF_KEYS)

    async def key(self, key_id: str) -> KeyRecord | None:
        """Returns a key."""

        async def call() -> Any:
            client: Any = self._redis.client
            return await client.hget(API_KEYS, key_id)

        data = await self._redis.guarded("key", call, repeatable=True, limit_s=self._redis.limit_s)
        return None if data is None else _readable(data)

    async def add(self, record: KeyRecord, own: str) -> Added:
        """Stores a new key, unless its tenant is gone or has `MAX_KEYS` already.

        Args:
            record: the key.
            own: the service's own tenant, which is always there.
        """
        names = [TENANTS, API_KEYS, keys_of(record.namespace)]
        tenant = "" if record.namespace == own else record.tenant
        args: list[Arg] = [tenant, record.namespace, record.key_id, record.model_dump_json(), MAX_KEYS]
        found = await self._redis.guarded("admin", lambda: self._add(keys=names, args=args), repeatable=True)
        return _RESULTS[int(found)]

    async def revoke(self, namespace: str, key_id: str) -> bool:
        """Deletes a key of a tenant; returns whether it had one of this id."""
        names = [API_KEYS, keys_of(namespace)]
        found = await self._redis.guarded("admin", lambda: self._revoke(keys=names, args=[key_id]), repeatable=False)
        return bool(found)

    async def page(self, namespace: str, after: str, limit: int) -> list[KeyRecord]:
        """Returns a tenant's keys, oldest first, from behind an id on; "" begins."""
        names = [API_KEYS, keys_of(namespace)]
        found = await self._redis.guarded("admin", lambda: self._page(keys=names, args=[after, limit]), repeatable=True)
        records = [_readable(data) for data in found if data is not None]
        return [record for record in records if record is not None]


def _readable(data: bytes) -> KeyRecord | None:
    """Returns a record; one that cannot be read opens nothing, and its content goes into no log."""
    try:
        return KeyRecord.model_validate_json(data)
    except ValidationError:
        _log.warning("the record of an API key cannot be read; the key counts as unknown")
        return None
