"""Who calls, and what they may: API keys with roles and tenants, checked before a request reaches a route."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from service.errors import ApiError, unavailable
from service.rate_limit import RateLimiter
from service.settings import Settings
from service.store.admin_store import AdminStore, KeyRecord
from service.store.connection import StoreUnavailable
from service.tenants import Tenants

__all__ = ["ROLES", "Auth", "Caller", "new_key", "role_needed"]

ROLES: Final = ("reader", "writer", "admin")
_OPEN = ("/livez", "/readyz", "/docs", "/openapi.json")
_ADMIN = ("/v1/api-keys", "/v1/tenants")
_CACHED = 10_000
_PREFIX = "mrk"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    Attributes:
        tenant: whose users and items they see.
        role: one of `ROLES`.
        name: of the rate limit's bucket; the key's id, never the key.
        rate_per_s: calls a second, None for the service's default.
    """

    tenant: str
    role: str
    name: str
    rate_per_s: float | None = None


def role_needed(method: str, path: str) -> str | None:
    """Returns the least role that a call needs, None for what is open to everybody; what is new needs a writer.

    Args:
        method: HTTP method.
        path: as routed.
    """
    if path in _OPEN or path.startswith("/docs/"):
        return None
    if any(path == each or path.startswith(f"{each}/") for each in _ADMIN):
        return "admin"
    if method in ("GET", "HEAD", "OPTIONS") or (method == "POST" and path.startswith("/v1/recommendations")):
        return "reader"
    return "writer"


def new_key(record: Callable[[str, str], KeyRecord]) -> tuple[str, KeyRecord]:
    """Returns a fresh key, to be told once, and its record; `record` makes it from key id and secret's hash.

    A secret has 256 random bits: a plain hash of it cannot be guessed back, so a slow one would only cost time.
    """
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return f"{_PREFIX}_{key_id}_{secret}", record(key_id, _hash(secret))


class Auth:
    """Checks callers; a key that was checked a moment ago costs no round trip.

    A revoked key is refused at once by the replica that revoked it, by others within `key_cache_s`. While Redis is
    away, keys that were good within `key_stale_s` stay good.

    Args:
        settings: whether a key is needed, limits, and how long checks are remembered.
        store: keys.
        tenants: engines by tenant; made ready before a request goes on.
        limiter: of calls.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        store: AdminStore,
        tenants: Tenants,
        limiter: RateLimiter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self.store = store
        self.tenants = tenants
        self._limiter = limiter or RateLimiter(clock)
        self._clock = clock
        self._known: OrderedDict[str, tuple[KeyRecord | None, float]] = OrderedDict()

    async def admit(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Caller:
        """Returns who calls, if they may; their tenant's engine is ready then.

        Raises:
            ApiError: 401 without a good key, 403 where its role is too little, 429 beyond its rate, 503 where a key
                cannot be checked.
        """
        default = self._settings.tenant
        needed = role_needed(method, path)
        if needed is None or (path == "/metrics" and self._settings.metrics_public):
            return Caller(default, "reader", "")
        if not self._settings.auth_required:
            return Caller(default, "admin", "")
        caller = await self._caller(_key_in(headers))
        if ROLES.index(caller.role) < ROLES.index(needed):
            raise ApiError(403, "forbidden", f"this call needs the role {needed}; ask for a key that has it")
        if needed == "admin" and caller.tenant != default:
            raise ApiError(403, "forbidden", "keys and tenants are administered by keys of the service's own tenant")
        rate = caller.rate_per_s or self._settings.rate_per_s
        if rate is not None:
            wait = self._limiter.wait_s(caller.name, rate, max(1.0, rate * self._settings.rate_burst_s))
            if wait > 0:
                seconds = str(max(1, -int(-wait // 1)))
                raise ApiError(
                    429, "rate_limited", f"more than {rate:g} calls a second; wait", {"Retry-After": seconds}
                )
        if self.tenants.get(caller.tenant) is None:
            await self._ready(caller.tenant)
        return caller

    def forget(self, key_id: str) -> None:
        """Drops what is remembered of a key."""
        self._known.pop(key_id, None)

    async def _ready(self, tenant: str) -> None:
        try:
            record = await self.store.tenant(tenant)
        except StoreUnavailable as error:
            raise unavailable(error.kind) from None
        if record is None:
            raise _refused()
        await self.tenants.engine(record)

    async def _caller(self, key: str | None) -> Caller:
        if key is None:
            raise _refused()
        admin = self._settings.admin_key
        if admin is not None and hmac.compare_digest(key.encode(), admin.get_secret_value().encode()):
            return Caller(self._settings.tenant, "admin", "admin")
        parts = key.split("_", 2)
        if len(parts) != 3 or parts[0] != _PREFIX or len(parts[1]) != 16:
            raise _refused()
        record = await self._record(parts[1])
        # The same work whether or not there is such a key.
        good = hmac.compare_digest(_hash(parts[2]), record.secret_hash if record else _hash(""))
        if record is None or not good or (record.expires_at is not None and record.expires_at <= time.time()):
            raise _refused()
        return Caller(record.tenant, record.role, record.key_id, record.rate_per_s)

    async def _record(self, key_id: str) -> KeyRecord | None:
        now = self._clock()
        known = self._known.get(key_id)
        if known is not None and now - known[1] < self._settings.key_cache_s:
            return known[0]
        try:
            record = await self.store.key(key_id)
        except StoreUnavailable as error:
            if known is not None and now - known[1] < self._settings.key_stale_s:
                return known[0]
            raise unavailable(error.kind) from None
        self._known[key_id] = (record, now)
        self._known.move_to_end(key_id)
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return record


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_in(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"x-api-key")
    if given is None:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
    return given.decode("latin-1").strip() or None


def _refused() -> ApiError:
    detail = "send a valid API key as Authorization: Bearer KEY or X-API-Key: KEY"
    return ApiError(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
