"""Keys in tests: the first one, others made with it, and a clock that stands still."""

from __future__ import annotations

from typing import Any

from tests.running_service import Running

__all__ = ["ADMIN", "Clock", "bearer", "everything_in_redis", "made", "status"]

ADMIN = "a" * 40


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def made(app: Running, role: str, by: str = ADMIN, **fields: Any) -> dict[str, Any]:
    """Returns a new key."""
    body = {"name": f"the {role}", "role": role, **fields}
    response = await app.client.post("/v1/api-keys", json=body, headers=bearer(by))
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def status(app: Running, key: str) -> int:
    """Returns what a call with a key is answered with."""
    return (await app.client.get("/v1/items/item1", headers=bearer(key))).status_code


async def everything_in_redis(app: Running) -> bytes:
    """Returns all keys and values of the store, of whatever type."""
    redis: Any = app.engine.redis.client
    found: list[bytes] = []
    for name in await redis.keys("*"):
        kind = await redis.type(name)
        if kind == b"hash":
            found += [part for pair in (await redis.hgetall(name)).items() for part in pair]
        elif kind == b"zset":
            found += await redis.zrange(name, 0, -1)
        else:
            assert kind == b"string"
            found.append(await redis.get(name))
        found.append(name)
    return b"\n".join(found)
