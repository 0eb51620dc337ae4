"""Token buckets in Redis: one a key, whichever replica a call comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from service.store.connection import Connection
from service.store.keys import rate_of

__all__ = ["RateStore"]

_LEAST_TTL_S: Final = 60
_TAKE: Final = """
-- KEYS: bucket. ARGV: tokens a second, tokens of a full bucket, seconds now or '' for Redis' own clock, least ttl.
-- A bucket is 'tokens seconds'; a missing one is full. Returns whether a token was taken, and what is left.
-- The append-only file and Redis' replicas are not told: nobody waits for a disk, and what a failover loses forgives.
redis.set_repl(redis.REPL_NONE)
local rate, burst, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
local tokens, at = burst, now
local bucket = redis.call('GET', KEYS[1])
if bucket then
  local split = string.find(bucket, ' ')
  tokens, at = tonumber(string.sub(bucket, 1, split - 1)), tonumber(string.sub(bucket, split + 1))
end
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local taken = 0
if tokens >= 1 then
  tokens, taken = tokens - 1, 1
end
local left = string.format('%.17g', tokens)
local ttl = math.max(tonumber(ARGV[4]), math.ceil((burst - tokens) / rate) + 1)
redis.call('SET', KEYS[1], left .. ' ' .. string.format('%.17g', math.max(now, at)), 'EX', string.format('%d', ttl))
return {taken, left}
"""


class RateStore:
    """Buckets of API keys.

    Args:
        redis: the connection.
        clock: seconds, monotonic and the same on every replica; Redis' own when absent.
    """

    def __init__(self, redis: Connection, clock: Callable[[], float] | None = None) -> None:
        self._redis = redis
        self._clock = clock
        self._take = redis.client.register_script(_TAKE)

    async def take(self, key_id: str, rate: float, burst: float) -> tuple[bool, float]:
        """Takes one token of a key, where there is a whole one; returns whether, and how many are left.

        Args:
            key_id: whose bucket.
            rate: tokens a second, > 0.
            burst: tokens that a full bucket holds, >= 1.

        Raises:
            StoreUnavailable: Redis is away; whether a token was taken is unknown.
        """
        now = "" if self._clock is None else repr(self._clock())
        args: list[bytes | str | int] = [repr(float(rate)), repr(float(burst)), now, _LEAST_TTL_S]
        taken, left = await self._redis.guarded(
            "rate",
            lambda: self._take(keys=[rate_of(key_id)], args=args),
            repeatable=False,
            limit_s=self._redis.limit_s,
        )
        return bool(taken), float(left)
