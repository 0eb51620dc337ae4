"""Tenants: one engine each, with its own users and items, in one process over one Redis and one checkpoint."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np

from metarl_rec.checkpoint import Checkpoint
from service.catalogue import LiveCatalogue
from service.engine import Engine
from service.errors import ApiError, unavailable
from service.store.connection import StoreUnavailable
from service.store.item_store import ItemStore
from service.store.tenant_store import TenantRecord, TenantStore
from service.store.user_store import UserStore
from service.warmup import warm

__all__ = ["Tenants"]


class Tenants:
    """The engines of this replica, each made when its tenant is first served; the service's own is always there.

    Args:
        default: the engine of the service's own tenant.
        store: all others, in Redis.

    Attributes:
        default: as given.
        store: as given.
    """

    def __init__(self, default: Engine, store: TenantStore) -> None:
        self.default = default
        self.store = store
        self._engines = {default.settings.tenant: default}
        self._making: dict[str, asyncio.Task[Engine | None]] = {}
        self._empty: Checkpoint | None = None

    def ready(self, namespace: str) -> Engine | None:
        """Returns a tenant's engine, if it is made already."""
        return self._engines.get(namespace)

    async def engine(self, name: str, namespace: str) -> Engine | None:
        """Returns a tenant's engine, or None where there is no such tenant any more.

        Raises:
            ApiError: 503 where Redis is away, or this replica serves as many tenants as it may.
        """
        engine = self._engines.get(namespace)
        if engine is not None:
            return engine
        task = self._making.get(namespace)
        if task is None:
            # Made once, whoever asks meanwhile; other tenants are served in between.
            task = self._making[namespace] = asyncio.create_task(self._make(name, namespace))
            task.add_done_callback(lambda done: self._is_made(namespace, done))
        try:
            return await asyncio.shield(task)
        except StoreUnavailable as error:
            raise unavailable(error.kind) from None
        except asyncio.CancelledError:
            if task.cancelled():
                # Deleted meanwhile; this call itself was not cancelled.
                return None
            raise

    async def forget(self, namespace: str) -> None:
        """Lets go of a deleted tenant's engine."""
        making = self._making.pop(namespace, None)
        if making is not None:
            making.cancel()
        engine = self._engines.pop(namespace, None)
        if engine is not None:
            await engine.close()

    async def close(self) -> None:
        """Ends what the engines do in the background."""
        for namespace in list(self._making):
            await self.forget(namespace)
        for engine in self._engines.values():
            await engine.close()

    async def _make(self, name: str, namespace: str) -> Engine | None:
        records = {record.namespace: record for record in await self.store.tenants()}
        # Another replica may have deleted some since: their room is free.
        for gone in self._engines.keys() - records.keys() - {self.default.settings.tenant}:
            await self.forget(gone)
        if namespace not in records:
            return None
        limit = self.default.settings.max_tenants
        if len(self._engines) + len(self._making) - 1 > limit:
            detail = f"this replica serves {limit} tenants already; raise METARL_MAX_TENANTS"
            raise ApiError(503, "too_many_tenants", detail, {"Retry-After": "60"})
        engine = self._fresh(records[namespace])
        await engine.sync_items()
        warm(engine)
        self._engines[namespace] = engine
        return engine

    def _fresh(self, record: TenantRecord) -> Engine:
        base = self.default
        settings = base.settings.model_copy(update={"tenant": record.namespace})
        checkpoint = base.checkpoint if record.checkpoint_items else self._without_items()
        return Engine(
            settings=settings,
            metrics=base.metrics,
            checkpoint=checkpoint,
            catalogue=LiveCatalogue(checkpoint, ()),
            redis=base.redis,
            users=UserStore(base.redis, settings, record.namespace),
            items=ItemStore(base.redis, record.namespace),
            rng=np.random.default_rng(settings.seed),
        )

    def _without_items(self) -> Checkpoint:
        """Returns the checkpoint's policy and encoders with no item of its own."""
        if self._empty is None:
            checkpoint = self.default.checkpoint
            self._empty = replace(
                checkpoint,
                items=(),
                features=np.zeros((0, checkpoint.dim), np.float32),
                popularity=np.zeros(0, np.float32),
            )
        return self._empty

    def _is_made(self, namespace: str, task: asyncio.Task[Engine | None]) -> None:
        if self._making.get(namespace) is task:
            del self._making[namespace]
        if not task.cancelled():
            # Whoever waited for it has been told; nobody may be left.
            task.exception()
