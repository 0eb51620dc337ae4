"""Token buckets: how many calls a key may make, on all replicas together."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.store.connection import StoreUnavailable
from service.store.rate_store import RateStore

__all__ = ["Allowance", "LocalBuckets", "RateLimiter"]

_BUCKETS = 65_536


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a bucket says to one call.

    Attributes:
        wait_s: seconds until there is a token; 0 where this call got one.
        tokens: what is left in the bucket.
        rate: tokens a second.
        burst: tokens that a full bucket holds.
    """

    wait_s: float
    tokens: float
    rate: float
    burst: float

    def headers(self) -> dict[str, str]:
        """Returns the response headers that tell it, in whole calls and seconds.

        Reference: draft-ietf-httpapi-ratelimit-headers-10 (2025). q and w: a full bucket, and how long it takes to
        fill; r: calls left; t: seconds until the bucket is full again.
        """
        fill_s, full_in_s = self.burst / self.rate, (self.burst - self.tokens) / self.rate
        found = {
            "RateLimit-Policy": f'"key";q={math.floor(self.burst)};w={math.ceil(fill_s)}',
            "RateLimit": f'"key";r={math.floor(self.tokens)};t={math.ceil(full_in_s)}',
        }
        if self.wait_s > 0:
            found["Retry-After"] = str(max(1, math.ceil(self.wait_s)))
        return found


class LocalBuckets:
    """One bucket a name; the least recently used are forgotten, which only forgives.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, rate: float, burst: float) -> Allowance:
        """Takes one token, or none where there is not a whole one.

        Args:
            name: whose bucket.
            rate: tokens a second, > 0.
            burst: tokens that a full bucket holds, >= 1.
        """
        now = self._clock()
        found = self._at(now, name, rate, burst)
        left = found if found < 1 else found - 1
        self.set(name, left, now)
        return Allowance(0.0 if found >= 1 else (1 - found) / rate, left, rate, burst)

    def empty(self, name: str, rate: float, burst: float) -> Allowance | None:
        """Returns the refusal of a call where there is no whole token, or None; takes nothing."""
        if name not in self._buckets:
            return None
        found = self._at(self._clock(), name, rate, burst)
        return None if found >= 1 else Allowance((1 - found) / rate, found, rate, burst)

    def set(self, name: str, tokens: float, at: float) -> None:
        """Says what a bucket held at a time of the clock."""
        self._buckets[name] = (tokens, at)
        self._buckets.move_to_end(name)
        if len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)

    def _at(self, now: float, name: str, rate: float, burst: float) -> float:
        """Returns how many tokens a bucket holds."""
        tokens, at = self._buckets.get(name, (burst, now))
        return min(burst, tokens + (now - at) * rate)


class RateLimiter:
    """The buckets in Redis, and while Redis is away ones of the same size here, which begin as those were last seen.

    A call costs one round trip, except where the bucket was last seen so empty that it cannot hold a token yet: others
    only take from it. So a flood of one key is refused without asking.

    Args:
        store: the buckets in Redis.
        clock: seconds, monotonic.
    """

    def __init__(self, store: RateStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._local = LocalBuckets(clock)

    async def take(self, name: str, rate: float, burst: float) -> Allowance:
        """Takes one token, or none where there is not a whole one; the arguments are those of `LocalBuckets.take`."""
        refusal = self._local.empty(name, rate, burst)
        if refusal is not None:
            return refusal
        # What Redis tells is at least as new as this.
        asked_at = self._clock()
        try:
            taken, left = await self._store.take(name, rate, burst)
        except StoreUnavailable:
            return self._local.take(name, rate, burst)
        self._local.set(name, left, asked_at)
        return Allowance(0.0 if taken else (1 - left) / rate, left, rate, burst)
