"""Who calls, and what they may: API keys with roles and tenants."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.engine import Engine
from service.errors import ApiError, unavailable
from service.key_cache import KeyCache
from service.rate_limit import RateLimiter
from service.roles import METRICS, ROLES, Need, Role
from service.settings import Settings
from service.store.connection import StoreUnavailable
from service.store.key_store import KeyRecord, KeyStore
from service.tenants import Tenants

__all__ = ["Admitted", "Auth", "Caller", "hash_of", "new_key"]

_KEY: Final = re.compile(r"mrk_([0-9a-f]{20})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        tenant: name of the tenant whose users and items they see.
        namespace: what stands for it in Redis keys.
        role: what they may.
        operator: whether they belong to the service's own tenant.
        key_id: of the key, never the key; "admin" for METARL_ADMIN_KEY, "" without one.
        rate_per_s: calls a second, None for any number.
        burst: calls at once, None for what the rate gives.
    """

    tenant: str
    namespace: str
    role: Role
    operator: bool
    key_id: str = ""
    rate_per_s: float | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may go on.

    Attributes:
        caller: whose.
        engine: of the caller's tenant.
        headers: what the answer tells of the rate limit.
    """

    caller: Caller
    engine: Engine
    headers: Mapping[str, str] = field(default_factory=dict)


def new_key() -> tuple[str, str, str]:
    """Returns a fresh key, which is told once, its id, and the hash of its secret.

    Later ids come later in the order of their bytes. A secret has 256 random bits: a plain hash of it cannot be guessed
    back, so that a slow one would only cost time.
    """
    key_id, secret = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    return f"mrk_{key_id}_{secret}", key_id, hash_of(secret)


def hash_of(secret: str) -> str:
    """Returns sha256 hex of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Auth:
    """Checks callers; a key that was looked up a moment ago costs no round trip.

    Without `auth_required` everybody is an admin of the service's own tenant, except who shows one of our keys: that
    one counts, so that other tenants can be served from a loopback address, too.

    Args:
        settings: whether a key is needed, and limits.
        store: keys.
        tenants: engines by tenant.
        limiter: what keys with a rate may still do.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        store: KeyStore,
        tenants: Tenants,
        limiter: RateLimiter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._tenants = tenants
        self._keys = KeyCache(settings, store, clock)
        self._limiter = limiter
        self._rejected = tenants.default.metrics.rejected
        admin = settings.admin_key
        self._admin_hash = hash_of(admin.get_secret_value()) if admin is not None else None
        self._anybody = Admitted(Caller(settings.tenant, settings.tenant, "admin", operator=True), tenants.default)

    async def admit(self, need: Need | None, headers: Iterable[tuple[bytes, bytes]]) -> Admitted:
        """Returns who calls, if they may, with their tenant's engine.

        Args:
            need: what the route needs; None: nothing.
            headers: of the request, names in lower case.

        Raises:
            ApiError: 401 without a good key, 403 where it may not do this, 429 beyond its rate, 503 where it cannot be
                looked up.
        """
        if need is None or (need is METRICS and self._settings.metrics_public):
            return self._anybody
        key = _key_in(headers)
        if not self._settings.auth_required and (key is None or _KEY.fullmatch(key) is None):
            return self._anybody
        caller = await self._caller(key)
        if ROLES.index(caller.role) < ROLES.index(need.role) or (need.operator and not caller.operator):
            self._rejected.labels("forbidden").inc()
            raise ApiError(403, "forbidden", f"this call needs {need}; ask an administrator for such a key")
        told = await self._limited(caller)
        engine = self._tenants.ready(caller.namespace)
        if engine is None:
            engine = await self._tenants.engine(caller.tenant, caller.namespace)
        if engine is None:
            raise self._refused()
        return Admitted(caller, engine, told)

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drops what is remembered of keys that were revoked."""
        for key_id in key_ids:
            self._keys.forget(key_id)

    async def _caller(self, key: str | None) -> Caller:
        own = self._settings.tenant
        if key is None:
            raise self._refused()
        if self._admin_hash is not None and hmac.compare_digest(hash_of(key), self._admin_hash):
            return Caller(own, own, "admin", operator=True, key_id="admin")
        parts = _KEY.fullmatch(key)
        if parts is None:
            raise self._refused()
        try:
            record = await self._keys.record(parts[1])
        except StoreUnavailable as error:
            raise unavailable(error.kind) from None
        # The same work whether or not there is such a key.
        good = hmac.compare_digest(hash_of(parts[2]), record.secret_hash if record is not None else hash_of(""))
        if record is None or not good or (record.expires_at is not None and record.expires_at <= time.time()):
            raise self._refused()
        return self._caller_of(record)

    def _caller_of(self, record: KeyRecord) -> Caller:
        rate = record.rate_per_s if record.rate_per_s is not None else self._settings.rate_per_s
        operator = record.namespace == self._settings.tenant
        return Caller(record.tenant, record.namespace, record.role, operator, record.key_id, rate, record.burst)

    async def _limited(self, caller: Caller) -> Mapping[str, str]:
        """Takes one call from the caller's bucket, and returns what the answer tells of it."""
        rate = caller.rate_per_s
        if rate is None:
            return {}
        burst = caller.burst or max(1, math.floor(rate * self._settings.rate_burst_s))
        allowance = await self._limiter.take(caller.key_id, rate, burst)
        if allowance.wait_s > 0:
            self._rejected.labels("rate_limited").inc()
            detail = f"this key may make {rate:g} calls a second, {burst} at once; wait as Retry-After says"
            raise ApiError(429, "rate_limited", detail, allowance.headers())
        return allowance.headers()

    def _refused(self) -> ApiError:
        self._rejected.labels("unauthorized").inc()
        detail = "send a valid API key as Authorization: Bearer KEY or X-API-Key: KEY"
        return ApiError(401, "unauthorized", detail, {"WWW-Authenticate": 'Bearer realm="metarl-rec"'})


def _key_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Returns the key that a request shows; X-API-Key goes before Authorization."""
    found: bytes | None = None
    for name, value in headers:
        if name == b"x-api-key":
            found = value
            break
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            found = value[7:]
    return found.strip().decode("latin-1") if found else None
