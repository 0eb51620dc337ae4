"""A client that goes away in the middle of a call: no reply meant for it reaches the next caller."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from service.store.keys import UserKeys
from tests.running_service import Running

pytestmark = pytest.mark.anyio


async def test_calls_cancelled_at_any_moment_leave_no_reply_to_the_next_caller(app: Running) -> None:
    users = [f"user{i}" for i in range(20)]
    for i, user in enumerate(users):
        await app.like(user, f"item{i}", "e1")
    rng = np.random.default_rng(0)
    number = app.engine.catalogue.number

    async def check(i: int) -> bool:
        state = app.engine.decode((await app.engine.users.read(UserKeys.of("default", users[i]))).state)
        assert state.transitions["item"].tolist() == [number(f"item{i}")]
        return True

    async def cancelled(i: int) -> bool:
        try:
            async with asyncio.timeout(float(rng.uniform(0, 0.004))):
                return await check(i)
        except TimeoutError:
            return False

    finished = cut = 0
    for _ in range(40):
        results = await asyncio.gather(*(cancelled(int(i)) for i in rng.integers(0, 20, 20)))
        finished, cut = finished + sum(results), cut + len(results) - sum(results)
        assert await check(int(rng.integers(0, 20)))
    # Both happened, or nothing was tested.
    assert finished > 0
    assert cut > 0


async def test_error_that_redis_answers_at_once_leaves_the_breaker_closed(app: Running) -> None:
    await app.like("ada", "item1", "e1")
    redis = app.engine.redis.client
    await redis.config_set("maxmemory", "1")
    for i in range(10):
        assert (
            await app.post_feedback(event_id=f"x{i}", user_id="ada", item_id="item2", type="like")
        ).status_code == 503
    assert app.metric("metarl_redis_errors_total", op="commit", kind="oom") == 10
    assert app.metric("metarl_breaker_open") == 0
    assert (await app.client.get("/readyz")).json() == {"status": "ready", "degraded": True}
    # What is there can still be read: the slate is personal, only its impression has no room.
    body = await app.recommend("ada")
    assert (body["user"]["status"], body["degraded"]) == ("adapted", "impression")
    await redis.config_set("maxmemory", "0")
    await app.like("ada", "item2", "x0")
    assert (await app.client.get("/readyz")).json() == {"status": "ready", "degraded": False}
