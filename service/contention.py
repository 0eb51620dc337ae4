"""Compare-and-set, tried again: what writers do who lost a race."""

from __future__ import annotations

import asyncio
import random

__all__ = ["ATTEMPTS", "pause"]

ATTEMPTS = 50
"""How often a write is tried before it counts as not confirmed."""


async def pause(attempt: int) -> None:
    """Waits a random moment, up to 20 ms, which keeps two processes from meeting again and again."""
    await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))
