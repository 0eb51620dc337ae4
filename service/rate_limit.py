"""Token buckets: how many calls a key may make, on this replica."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["RateLimiter"]

_BUCKETS = 65_536


class RateLimiter:
    """One bucket a name; the least recently used are forgotten, which only forgives.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, rate: float, burst: float) -> float:
        """Takes one token and returns 0, or returns the seconds until there is one.

        Args:
            name: whose bucket.
            rate: tokens a second, > 0.
            burst: tokens that a full bucket holds, >= 1.
        """
        now = self._clock()
        tokens, at = self._buckets.pop(name, (burst, now))
        tokens = min(burst, tokens + (now - at) * rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
        self._buckets[name] = (tokens - 1 if wait == 0 else tokens, now)
        if len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)
        return wait
