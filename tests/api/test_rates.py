"""Rates of keys over HTTP and a real Redis: what a key may, on one replica, on several, and while Redis is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.rate_limit import LocalBuckets
from service.store.rate_store import RateStore
from tests.api.keys import ADMIN, Clock, bearer, made, status
from tests.fault.test_redis_away import frozen
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio

ASKED = "metarl_redis_command_duration_seconds_count"


async def test_calls_beyond_a_keys_rate_are_refused_until_tokens_are_back(guarded: Running, clock: Clock) -> None:
    key = bearer((await made(guarded, "reader", rate_per_s=2, burst=3))["key"])
    url = "/v1/items/item1"
    answers = [await guarded.client.get(url, headers=key) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"key";r=2;t=1', '"key";r=1;t=1', '"key";r=0;t=2', '"key";r=0;t=2', '"key";r=0;t=2',
    ]  # fmt: skip
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=3;w=2'}
    assert (answers[-1].headers["retry-after"], answers[-1].json()["code"]) == ("1", "rate_limited")
    clock.now += 0.5
    missing = await guarded.client.get("/v1/items/nothing", headers=key)
    assert (missing.status_code, missing.headers["ratelimit"]) == (404, '"key";r=0;t=2')
    assert (await guarded.client.get(url, headers=key)).status_code == 429
    clock.now += 60
    assert [(await guarded.client.get(url, headers=key)).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert guarded.metric("metarl_rejected_total", reason="rate_limited") == 4
    unlimited = await guarded.client.get(url, headers=bearer((await made(guarded, "reader"))["key"]))
    assert "ratelimit" not in unlimited.headers


async def test_rate_of_the_service_holds_for_keys_without_one_of_their_own(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"auth": "required", "admin_key": ADMIN, "rate_per_s": 1.0, "clock": Clock()}
    async with running(checkpoint_dir, tmp_path / "service", **given) as app:
        one, two = (await made(app, "reader"))["key"], (await made(app, "reader"))["key"]
        assert [await status(app, one) for _ in range(3)] == [200, 200, 429]
        assert await status(app, two) == 200


async def test_replicas_on_one_redis_share_a_keys_bucket(
    guarded: Running, clock: Clock, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    given: dict[str, Any] = {"redis_url": url, "auth": "required", "admin_key": ADMIN, "clock": clock}
    async with running(checkpoint_dir, tmp_path / "second", **given) as second:
        key = (await made(guarded, "reader", rate_per_s=2, burst=4))["key"]
        turns = [guarded, second] * 3
        assert [await status(app, key) for app in turns] == [200, 200, 200, 200, 429, 429]
        clock.now += 0.5
        assert [await status(app, key) for app in (second, guarded)] == [200, 429]
        clock.now += 60
        assert [await status(app, key) for app in turns] == [200, 200, 200, 200, 429, 429]


async def test_bucket_outlives_its_replica_and_is_kept_no_longer_than_it_takes_to_fill(
    guarded: Running, clock: Clock, checkpoint_dir: Path, tmp_path: Path
) -> None:
    created = await made(guarded, "reader", rate_per_s=0.01, burst=2)
    assert [await status(guarded, created["key"]) for _ in range(2)] == [200, 200]
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    given: dict[str, Any] = {"redis_url": url, "auth": "required", "admin_key": ADMIN, "clock": clock}
    async with running(checkpoint_dir, tmp_path / "second", **given) as second:
        assert await status(second, created["key"]) == 429
    (name,) = await guarded.engine.redis.client.keys("*:rate")
    assert created["key_id"].encode() in name
    assert 0 < await guarded.engine.redis.client.ttl(name) <= 201


async def test_key_without_a_rate_asks_redis_nothing_and_one_beyond_its_rate_nothing_more(
    guarded: Running, clock: Clock
) -> None:
    free, bound = (await made(guarded, "reader"))["key"], (await made(guarded, "reader", rate_per_s=1, burst=2))["key"]
    assert [await status(guarded, free) for _ in range(5)] == [200] * 5
    assert guarded.metric(ASKED, op="rate") == 0
    assert [await status(guarded, bound) for _ in range(20)] == [200, 200, *[429] * 18]
    assert guarded.metric(ASKED, op="rate") == 2
    clock.now += 1
    assert [await status(guarded, bound) for _ in range(3)] == [200, 429, 429]
    assert guarded.metric(ASKED, op="rate") == 3


async def test_without_redis_a_bucket_of_the_same_size_goes_on_from_what_was_left(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    clock = Clock()
    given: dict[str, Any] = {
        "auth": "required", "admin_key": ADMIN, "clock": clock, "redis_timeout_s": 0.1, "breaker_failures": 1,
        "breaker_open_s": 0.2, "key_cache_s": 300.0,
    }  # fmt: skip
    async with running(checkpoint_dir, tmp_path / "service", **given) as app:
        key = (await made(app, "reader", rate_per_s=2, burst=4))["key"]
        assert await status(app, key) == 200
        with frozen(int((tmp_path / "service" / "redis" / "redis.pid").read_text())):
            body = {"user_id": "ada"}
            answers = [await app.client.post("/v1/recommendations", json=body, headers=bearer(key)) for _ in range(5)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
            assert answers[2].json()["degraded"] == "redis"
            assert [answer.headers["ratelimit"] for answer in answers[2:4]] == ['"key";r=0;t=2'] * 2
            assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=4;w=2'}
            clock.now += 0.5
            assert (await app.client.post("/v1/recommendations", json=body, headers=bearer(key))).status_code == 200
        assert app.metric("metarl_redis_errors_total", op="rate", kind="timeout") >= 1
        assert app.metric("metarl_redis_errors_total", op="rate", kind="breaker") >= 1


async def test_bucket_in_redis_says_what_the_local_one_says(app: Running, clock: Clock) -> None:
    store, local = RateStore(app.engine.redis, clock), LocalBuckets(clock)
    for rate, burst in ((2.0, 3.0), (0.001, 1.0), (1e6, 5.0), (0.3, 1e6), (1 / 3, 7.0)):
        for index, pause in enumerate([0.0] * 10 + [0.1, 0.9, 1 / rate, 0.0, 0.5 / rate, 0.0, 3.3 / rate] + [0.0] * 5):
            clock.now += pause
            expected = local.take(f"{rate}", rate, burst)
            taken, left = await store.take(f"{rate}", rate, burst)
            assert (taken, left) == (expected.wait_s == 0, pytest.approx(expected.tokens, abs=1e-9)), (rate, index)


async def test_bucket_waits_for_no_disk(app: Running, clock: Clock) -> None:
    async def written() -> int:
        return int((await app.engine.redis.client.info("persistence"))["aof_current_size"])

    store = RateStore(app.engine.redis, clock)
    # The first call brings the script, which is kept.
    await store.take("b", 1.0, 2)
    before = await written()
    assert before > 0
    assert [(await store.take("a", 1.0, 2))[0] for _ in range(3)] == [True, True, False]
    assert await written() == before
    await app.like("ada", "item1", "e1")
    assert await written() > before


async def test_bucket_fills_by_the_clock_of_redis_and_never_backwards(app: Running, clock: Clock) -> None:
    store = RateStore(app.engine.redis)
    assert [(await store.take("a", 0.001, 2))[0] for _ in range(3)] == [True, True, False]
    assert [(await store.take("b", 1e6, 1))[0] for _ in range(3)] == [True, True, True]
    shifted = RateStore(app.engine.redis, clock)
    assert [(await shifted.take("c", 1.0, 2))[0] for _ in range(3)] == [True, True, False]
    clock.now -= 100
    assert (await shifted.take("c", 1.0, 2))[0] is False
    clock.now += 100
    assert (await shifted.take("c", 1.0, 2))[0] is False
