"""Keys, tenants and the check of callers, as one application holds them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.auth import Auth
from service.engine import Engine
from service.erasing import Erasing
from service.store.key_store import KeyStore
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
    def started(cls, engine: Engine, clock: Callable[[], float] = time.monotonic) -> Administration:
        """Returns it around the engine of the service's own tenant; needs a running event loop.

        Args:
            engine: the engine.
            clock: seconds, monotonic; for rates and for how long a key is known.
        """
        keys, store = KeyStore(engine.redis), TenantStore(engine.redis)
        tenants = Tenants(engine, store)
        return cls(Auth(engine.settings, keys, tenants, clock), keys, tenants, Erasing(store))

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self.erasing.close()
        await self.tenants.close()
