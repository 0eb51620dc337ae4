"""Keys, tenants and the check of callers, as one application holds them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.auth import Auth
from service.engine import Engine
from service.erasing import Erasing
from service.rate_limit import RateLimiter
from service.store.key_store import KeyStore
from service.store.rate_store import RateStore
from service.store.tenant_store import TenantStore
from service.tenants import Tenants

__all__ = ["Administration"]


@dataclass(frozen=True, slots=True)
class Administration:
    """What `/v1/api-keys` and `/v1/tenants` change, and what every call is checked with.

    Attributes:
        auth: checks callers.
        keys: API keys in Redis.
        tenants: engines of all tenants.
        erasing: of deleted tenants.
    """

    auth: Auth
    keys: KeyStore
    tenants: Tenants
    erasing: Erasing

    @classmethod
    def started(cls, engine: Engine, clock: Callable[[], float] | None = None) -> Administration:
        """Returns it around the engine of the service's own tenant; needs a running event loop.

        Args:
            engine: the engine.
            clock: seconds, monotonic and the same on every replica; for rates and for how long a key is known. When
                absent, the process's own for the latter, and for rates that of Redis.
        """
        keys, store = KeyStore(engine.redis), TenantStore(engine.redis)
        tenants = Tenants(engine, store)
        own = time.monotonic if clock is None else clock
        limiter = RateLimiter(RateStore(engine.redis, clock), own)
        return cls(Auth(engine.settings, keys, tenants, limiter, own), keys, tenants, Erasing(store))

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self.erasing.close()
        await self.tenants.close()
