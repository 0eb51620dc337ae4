"""The connection to Redis that every store shares: each call bounded in time, and guarded by a breaker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.metrics import Metrics
from service.settings import Settings
from service.store.breaker import Breaker

__all__ = ["Connection", "StoreUnavailable"]

T = TypeVar("T")
_log = logging.getLogger("metarl.store")
_KINDS: dict[str, type[ResponseError]] = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError, "NOSCRIPT": NoScriptError}


def _kind_of(error: ResponseError) -> str:
    """Returns what Redis refused with; an error inside a script is a general one that quotes the real one."""
    for code, type_ in _KINDS.items():
        if isinstance(error, type_) or f"-{code} " in str(error):
            return code.lower()
    return "other"


class StoreUnavailable(Exception):
    """Redis did not answer in time, or refused; `kind` names how, and the outcome of a write is unknown."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"Redis is unavailable ({kind})")


class Connection:
    """A pool of connections to one Redis.

    Args:
        url: redis://, rediss:// or unix://.
        settings: time-outs.
        metrics: where commands and errors are counted.

    Attributes:
        client: makes the calls that `guarded` guards.
        limit_s: limit of a call that must answer within a request.
    """

    def __init__(self, url: str, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._available = True
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_open_s)
        self.limit_s = settings.redis_connect_timeout_s + settings.redis_timeout_s
        self.client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=settings.redis_connect_timeout_s,
            socket_timeout=settings.redis_timeout_s,
            # Calls are repeated here, and only those that are safe to repeat.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    @property
    def available(self) -> bool:
        """Whether the last call was answered."""
        return self._available

    async def close(self) -> None:
        """Closes all connections."""
        await self.client.aclose()

    async def append_only(self) -> bool:
        """Returns whether Redis keeps an append-only file."""
        found = await self.guarded("config", lambda: self.client.config_get("appendonly"), repeatable=True)
        return bool(found.get("appendonly") == "yes")

    async def guarded(
        self, op: str, call: Callable[[], Awaitable[T]], *, repeatable: bool, limit_s: float | None = None
    ) -> T:
        """Returns what `call` gives.

        Args:
            op: the metrics' name for it.
            call: what to await.
            repeatable: whether it may be made a second time where a connection turns out to be dead.
            limit_s: limit of the whole call, a second try included; without one, each reply has its own time-out.

        Raises:
            StoreUnavailable: it failed, took too long, or was not even tried because the breaker is open.
        """
        if self._breaker.is_open:
            self._metrics.redis_errors.labels(op, "breaker").inc()
            raise StoreUnavailable("breaker")
        started = time.perf_counter()
        deadline = None if limit_s is None else asyncio.get_running_loop().time() + limit_s
        for attempt in (0, 1):
            try:
                # A new connection greets the server before it asks: that, too, must fit into the limit.
                async with asyncio.timeout_at(deadline):
                    result = await call()
            except (TimeoutError, RedisTimeoutError):
                kind = "timeout"
            except BusyLoadingError:
                kind = "loading"
            except (RedisConnectionError, OSError):
                kind = "connection"
                # A restarted Redis leaves dead connections behind; the next try must not draw one of them.
                await self.client.connection_pool.disconnect(inuse_connections=False)
                if repeatable and attempt == 0:
                    continue
            except ResponseError as error:
                kind = _kind_of(error)
            except RedisError:
                kind = "other"
            else:
                self._breaker.succeeded()
                self._note(available=True)
                self._metrics.redis_duration.labels(op).observe(time.perf_counter() - started)
                return result
            break
        if kind in ("timeout", "connection"):
            # Only what costs time opens the breaker: a Redis that says no at once can still be read.
            self._breaker.failed()
        self._metrics.redis_errors.labels(op, kind if kind in self._metrics.redis_kinds else "other").inc()
        self._note(available=False, op=op, kind=kind)
        raise StoreUnavailable(kind)

    def _note(self, *, available: bool, op: str = "", kind: str = "") -> None:
        self._metrics.breaker_open.set(self._breaker.has_tripped)
        if available and not self._available:
            _log.warning("redis answers again")
        elif self._available and not available:
            _log.warning("redis failed", extra={"op": op, "kind": kind})
        self._available = available
