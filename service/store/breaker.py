"""A circuit breaker: after some failures in a row nobody waits for a time-out again until a probe succeeds."""

from __future__ import annotations

import time

__all__ = ["Breaker"]


class Breaker:
    """Counts failures in a row.

    Args:
        failures: how many open the breaker.
        open_s: how long it stays open before one caller may try again, seconds.
    """

    def __init__(self, failures: int, open_s: float) -> None:
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once; the first caller after the pause finds it closed, the others still open."""
        if self._failures < self._limit:
            return False
        now = time.monotonic()
        if now < self._retry_at:
            return True
        self._retry_at = now + self._open_s
        return False

    @property
    def has_tripped(self) -> bool:
        """Whether it is open, or waits for the outcome of a probe."""
        return self._failures >= self._limit

    def succeeded(self) -> None:
        """Closes the breaker."""
        self._failures = 0

    def failed(self) -> None:
        """Counts one failure."""
        self._failures += 1
        if self._failures >= self._limit:
            self._retry_at = time.monotonic() + self._open_s
