"""What every request works with: the checkpoint being served, the live catalogue, the store; and a user's standing."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adaptation import Adaptation
from metarl_rec.checkpoint import Checkpoint
from service.adapter import adapt_state
from service.catalogue import LiveCatalogue, RenumberedError
from service.metrics import Metrics
from service.settings import Settings
from service.store.codec import StateError, UserState, decode_state
from service.store.connection import Connection, StoreUnavailable
from service.store.item_store import ItemStore
from service.store.user_store import UserStore

__all__ = ["Engine", "Standing"]

_log = logging.getLogger("metarl.service")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """What the policy knows of a user now.

    Attributes:
        weights: [D] float32, fast weights to serve with.
        start: [D] float32, the user's initialization.
        status: cold (no transitions), adapted, or pending (adapting failed; served from the initialization).
        kl_nats: KL to the initialization, where it was computed just now.
    """

    weights: NDArray[np.float32]
    start: NDArray[np.float32]
    status: str
    kl_nats: float | None = None


@dataclass
class Engine:
    """The service's working parts.

    Attributes:
        settings: the configuration.
        metrics: the process's metrics.
        checkpoint: what is being served.
        catalogue: the items.
        redis: the connection.
        users: users and impressions in Redis.
        items: items in Redis.
        rng: the sampler's randomness.
        synced: whether the item numbers come from Redis; without, personal state must not be read.
    """

    settings: Settings
    metrics: Metrics
    checkpoint: Checkpoint
    catalogue: LiveCatalogue
    redis: Connection
    users: UserStore
    items: ItemStore
    rng: np.random.Generator
    synced: bool = False
    _on_offer: int = 0
    _following: asyncio.Task[None] | None = None
    _rounds: int = 0
    _rounds_done: int = 0
    _locks: weakref.WeakValueDictionary[str, asyncio.Lock] = field(default_factory=weakref.WeakValueDictionary)

    def lock(self, user: str) -> asyncio.Lock:
        """Returns the lock under which this process changes a user; other processes are met by compare-and-set."""
        lock = self._locks.get(user)
        if lock is None:
            lock = self._locks[user] = asyncio.Lock()
        return lock

    def now(self) -> int:
        """Returns seconds since 1970."""
        return int(time.time())

    async def sync_items(self) -> None:
        """Takes item numbers and all item records from Redis.

        Raises:
            StoreUnavailable: Redis is away.
        """
        await self.catch_up(-1, patient=True)

    async def catch_up(self, changes: int, *, patient: bool = False) -> None:
        """Brings the catalogue to the change counter that was read with a user's state.

        Where that takes longer than a call may, it goes on in the background, and this call does without it.

        Args:
            changes: the counter.
            patient: wait as long as it takes.

        Raises:
            StoreUnavailable: Redis is away, or there is more to take over than one call can wait for.
        """
        deadline = None if patient else asyncio.get_running_loop().time() + self.redis.limit_s
        # A round that begins after this call reads a counter no older than the caller's: whatever it finds will do.
        # All who wait share it, or a hundred changes at once would take a hundred rounds.
        enough = self._rounds + 1
        while self._rounds_done < enough and not (self.synced and changes == self.catalogue.changes):
            if self._following is None or self._following.done():
                # One at a time: an older page that arrives late must not undo a newer one.
                self._rounds += 1
                self._following = asyncio.create_task(self._follow())
                self._following.add_done_callback(lambda task: task.cancelled() or task.exception())
            try:
                async with asyncio.timeout_at(deadline):
                    await asyncio.shield(self._following)
            except TimeoutError:
                raise StoreUnavailable("catching_up") from None

    async def close(self) -> None:
        """Ends what goes on in the background; its items are on offer no more."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        self._count_items(0)

    async def _follow(self) -> None:
        """Applies all changes since the catalogue's own, page by page, and serves from it; others work in between."""
        catalogue = self.catalogue if self.synced else await self._start()
        complete, begun_anew = False, 0
        while not complete:
            found = await self.items.changes_after(catalogue.changes)
            try:
                if found.complete and found.changes < catalogue.changes:
                    raise RenumberedError
                catalogue.apply(found.changes, found.records)
            except RenumberedError:
                # Redis lost its items, or is another one: start over from what it has.
                _log.warning("redis does not hold the items that it held; starting over from what it has")
                begun_anew += 1
                if begun_anew == _ATTEMPTS:
                    raise StoreUnavailable("other") from None
                catalogue = await self._start()
            else:
                complete = found.complete
        self.catalogue, self.synced, self._rounds_done = catalogue, True, self._rounds
        self._count_items(int(np.count_nonzero(catalogue.on_offer(self.now()))))

    def _count_items(self, on_offer: int) -> None:
        # The metric is of all tenants together.
        self.metrics.catalog_items.inc(on_offer - self._on_offer)
        self._on_offer = on_offer

    async def _start(self) -> LiveCatalogue:
        """Returns a catalogue of the checkpoint's items alone, under their numbers."""
        numbers = await self.items.register_items([item.item_id for item in self.checkpoint.items])
        return await asyncio.to_thread(LiveCatalogue, self.checkpoint, numbers)

    def decode(self, data: bytes | None) -> UserState:
        """Returns a user's state; what cannot be read counts as none, and is counted."""
        if data is None:
            return UserState()
        try:
            return decode_state(data)
        except StateError as error:
            self.metrics.state_resets.labels(error.cause).inc()
            return UserState()

    def standing(self, state: UserState, attributes: Mapping[str, Any] | None = None) -> Standing:
        """Returns the user's weights: stored ones where they belong to this policy, else adapted anew.

        Args:
            state: the user's state.
            attributes: attributes for this request in place of the stored ones.

        Raises:
            UnknownAttributeError: an attribute is not declared by the checkpoint.
            DataError: an attribute has the wrong type.
        """
        start = self.starting_point(state.attributes if attributes is None else attributes, stored=attributes is None)
        if not len(state.transitions):
            return Standing(start, start, "cold", 0.0)
        if attributes is None and state.weights is not None and state.version == self.checkpoint.version:
            return Standing(state.weights, start, "adapted")
        result = self.adapt(state, start)
        if result is None:
            return Standing(start, start, "pending", 0.0)
        return Standing(result.weights, start, "adapted", result.kl_nats)

    def starting_point(self, attributes: Mapping[str, Any], *, stored: bool) -> NDArray[np.float32]:
        """Returns w0; of stored attributes, those that another checkpoint declared are left out."""
        if stored:
            names = self.checkpoint.user_attributes.names
            attributes = {name: value for name, value in attributes.items() if name in names}
        return self.checkpoint.starting_point(attributes)

    def adapt(self, state: UserState, start: NDArray[np.float32]) -> Adaptation | None:
        """Returns a fresh adaptation of the state, or None where it failed."""
        return adapt_state(state, start, self.checkpoint, self.catalogue, self.metrics)

    def adapted(self, state: UserState) -> tuple[UserState, str]:
        """Returns the state with its weights and `adapted`; without them, `cold`, or `pending` where it failed."""
        start = self.starting_point(state.attributes, stored=True)
        if not len(state.transitions):
            return replace(state, version=self.checkpoint.version, weights=None), "cold"
        result = self.adapt(state, start)
        if result is None:
            return replace(state, weights=None), "pending"
        return replace(state, version=self.checkpoint.version, weights=result.weights), "adapted"
