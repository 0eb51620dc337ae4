"""Tenants: one engine each, with its own users and items, in one process over one Redis and one checkpoint."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import numpy as np

from service.catalogue import LiveCatalogue
from service.engine import Engine
from service.errors import ApiError
from service.store.admin_store import TenantRecord
from service.store.connection import StoreUnavailable
from service.store.item_store import ItemStore
from service.store.user_store import UserStore

__all__ = ["Tenants"]


class Tenants:
    """The engines of this replica, made when a tenant is first served.

    Args:
        default: the engine of the service's own tenant.
    """

    def __init__(self, default: Engine) -> None:
        self.default = default
        self._engines = {default.settings.tenant: default}
        self._making = asyncio.Lock()

    def get(self, name: str) -> Engine | None:
        """Returns a tenant's engine, if it is ready."""
        return self._engines.get(name)

    async def engine(self, record: TenantRecord) -> Engine:
        """Returns a tenant's engine.

        Raises:
            ApiError: 503 where this replica serves as many tenants as it may.
        """
        async with self._making:
            engine = self._engines.get(record.name)
            if engine is None:
                limit = self.default.settings.max_tenants
                if len(self._engines) >= limit:
                    detail = f"this replica serves {limit} tenants already; raise METARL_MAX_TENANTS"
                    raise ApiError(503, "too_many_tenants", detail, {"Retry-After": "60"})
                engine = self._engines[record.name] = await self._made(record)
            return engine

    def forget(self, name: str) -> None:
        """Lets go of a deleted tenant's engine."""
        if name != self.default.settings.tenant:
            self._engines.pop(name, None)

    async def close(self) -> None:
        """Ends what the engines do in the background."""
        for engine in self._engines.values():
            await engine.stop_following()

    async def _made(self, record: TenantRecord) -> Engine:
        base = self.default
        settings = base.settings.model_copy(update={"tenant": record.name})
        checkpoint = base.checkpoint
        if not record.checkpoint_items:
            # The policy and its encoders stay; the items are the tenant's own.
            checkpoint = replace(
                checkpoint,
                items=(),
                features=np.zeros((0, checkpoint.dim), np.float32),
                popularity=np.zeros(0, np.float32),
            )
        engine = Engine(
            settings=settings,
            metrics=base.metrics,
            checkpoint=checkpoint,
            catalogue=LiveCatalogue(checkpoint, range(len(checkpoint.items))),
            redis=base.redis,
            users=UserStore(base.redis, settings, record.name),
            items=ItemStore(base.redis, record.name),
            rng=np.random.default_rng(settings.seed),
        )
        # As at start-up: the meta-policy serves until Redis answers.
        with suppress(StoreUnavailable):
            await engine.sync_items()
        return engine
