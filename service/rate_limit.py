"""Token buckets: how many calls a key may make, on this replica."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Allowance", "RateLimiter"]

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


class RateLimiter:
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
        tokens, at = self._buckets.pop(name, (burst, now))
        tokens = min(burst, tokens + (now - at) * rate)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / rate
        if wait_s == 0:
            tokens -= 1
        self._buckets[name] = (tokens, now)
        if len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)
        return Allowance(wait_s, tokens, rate, burst)
