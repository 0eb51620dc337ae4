"""When to try again, and after how long: exponential backoff with full jitter, never past the call's deadline.

Reference: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

import httpx

from service.client.call import Call
from service.client.errors import retry_after_s

__all__ = ["Outcome", "Retrying", "Tries"]

Outcome = httpx.Response | httpx.TransportError
"""What one try came to."""

_BUSY = (429, 503)
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often and how patiently.

    Attributes:
        tries: of one call, the first included, >= 1.
        first_delay_s: greatest pause before the second try; it doubles from try to try.
        max_delay_s: greatest pause of all, beside what the service asks for.
    """

    tries: int = 4
    first_delay_s: float = 0.1
    max_delay_s: float = 5.0

    def delay_s(self, failures: int, asked_s: float | None, draw: float) -> float:
        """Returns the pause after a number of failures: what the service asked for, and a share of the ceiling.

        Args:
            failures: so far, >= 1.
            asked_s: the answer's Retry-After, or None.
            draw: uniform in [0, 1).
        """
        ceiling = min(self.max_delay_s, self.first_delay_s * 2.0 ** (failures - 1))
        return (asked_s or 0.0) + draw * ceiling


class Tries:
    """The tries of one call.

    Args:
        call: what is sent.
        retrying: how often.
        timeout_s: for all tries and pauses together.
    """

    def __init__(self, call: Call[Any], retrying: Retrying, timeout_s: float) -> None:
        self._call = call
        self._retrying = retrying
        self._deadline = time.monotonic() + max(timeout_s, call.least_timeout_s)
        self._failures = 0

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, at least a millisecond: a time-out of 0 would mean none."""
        return max(0.001, self._deadline - time.monotonic())

    def pause_after(self, outcome: Outcome) -> float | None:
        """Returns the seconds to wait before the next try, or None where this outcome stands."""
        self._failures += 1
        if self._failures >= self._retrying.tries or not _may_repeat(self._call, outcome):
            return None
        asked_s = retry_after_s(outcome) if isinstance(outcome, httpx.Response) else None
        pause_s = self._retrying.delay_s(self._failures, asked_s, random.random())
        return pause_s if pause_s < self.left_s else None


def _may_repeat(call: Call[Any], outcome: Outcome) -> bool:
    """Returns whether it is worth it, and harmless: a call whose answer got lost may have taken effect."""
    if call.repeats == "never":
        return False
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in _BUSY and outcome.status_code not in call.accepts
    if isinstance(outcome, _HOPELESS):
        return False
    return call.repeats == "always" or isinstance(outcome, _UNSENT)
