"""What a deleted tenant leaves is erased in the background, through restarts, until nobody can write for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from service.settings import Settings
from service.store.connection import StoreUnavailable
from service.store.tenant_store import TenantStore

__all__ = ["Erasing", "write_window_s"]

_log = logging.getLogger("metarl.service")
_RETRY_S = 5.0
_LONGEST_SLEEP_S = 60.0


def write_window_s(settings: Settings) -> float:
    """Returns how long after a tenant's deletion another replica may still write for it, seconds.

    It knows the keys for `key_cache_s` more, and the longest call that began until then is a bulk load.
    """
    return settings.key_cache_s + settings.bulk_timeout_s + settings.redis_timeout_s + settings.redis_connect_timeout_s


class Erasing:
    """Erases a tenant twice: at once, and again when nobody can write any more. Every replica does it; once is enough.

    Args:
        store: what is to be erased, noted in Redis until it is done.
    """

    def __init__(self, store: TenantStore) -> None:
        self._store = store
        self._begun: set[str] = set()
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Looks at once for what is to be erased."""
        self._wake.set()

    async def close(self) -> None:
        """Stops; what is not done goes on at the next start."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause_s = await self._erase_all()
            except StoreUnavailable:
                pause_s = _RETRY_S
            except Exception:  # noqa: BLE001 - whatever it is, the next deletion must find this alive
                _log.exception("erasing a deleted tenant failed; it will be tried again")
                pause_s = _LONGEST_SLEEP_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause_s)

    async def _erase_all(self) -> float:
        """Does what can be done now, and returns how long there is nothing to do, seconds."""
        waiting = await self._store.erasures()
        self._begun &= waiting.keys()
        next_at = time.time() + _LONGEST_SLEEP_S
        for namespace, gone_at in waiting.items():
            last = time.time() >= gone_at
            if last or namespace not in self._begun:
                await self._store.erase(namespace)
                self._begun.add(namespace)
            if last:
                await self._store.erased(namespace)
                _log.info("a deleted tenant is erased", extra={"tenant": namespace})
            else:
                next_at = min(next_at, gone_at)
        return max(0.0, next_at - time.time())
