"""Tenants in one process: nothing of one is seen, changed or guessed by another, and deleting leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.keys import ADMIN, Clock, bearer, everything_in_redis, made
from tests.fault.test_redis_away import frozen
from tests.running_service import Running, running
from tests.service_checkpoint import N_ITEMS

pytestmark = pytest.mark.anyio

SOON: dict[str, Any] = {"auth": "required", "admin_key": ADMIN, "key_cache_s": 0.0, "bulk_timeout_s": 0.01}
"""Deleted tenants are gone as soon as Redis has answered, however slow it may be."""


@pytest.fixture
async def guarded(checkpoint_dir: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Running]:
    async with running(checkpoint_dir, tmp_path / "service", **SOON, redis_connect_timeout_s=0.5) as app:
        yield app


async def tenant(app: Running, name: str, role: str = "writer", **fields: Any) -> dict[str, str]:
    """Makes a tenant and returns the headers of a key of it."""
    response = await app.client.post("/v1/tenants", json={"name": name, **fields}, headers=bearer(ADMIN))
    assert response.status_code == 201, response.text
    return bearer((await made(app, role, tenant=name))["key"])


async def slate(app: Running, headers: dict[str, str], **fields: Any) -> Any:
    """Returns the body of a recommendation that must succeed."""
    response = await app.client.post("/v1/recommendations", json={"user_id": "ada", **fields}, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def post(app: Running, path: str, headers: dict[str, str], **body: Any) -> tuple[int, Any]:
    response = await app.client.post(path, json=body, headers=headers)
    return response.status_code, response.json() if response.content else None


async def listed(app: Running) -> list[tuple[str, str]]:
    tenants = (await app.client.get("/v1/tenants", headers=bearer(ADMIN))).json()["tenants"]
    return [(each["name"], each["status"]) for each in tenants]


async def until_gone(app: Running, name: str) -> None:
    for _ in range(2000):
        if (name, "deleting") not in await listed(app):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} is still being deleted")


async def test_user_of_one_tenant_is_nobody_in_another(guarded: Running) -> None:
    one, two = await tenant(guarded, "shop-1"), await tenant(guarded, "shop-2")
    shown = await slate(guarded, one, k=3)
    like = {"event_id": "e1", "user_id": "ada", "item_id": shown["items"][0]["item_id"], "type": "like"}
    code, body = await post(guarded, "/v1/feedback", one, **like)
    assert (code, body["applied"]) == (200, 1)
    await guarded.client.put("/v1/users/ada", json={"attributes": {"age": 40}}, headers=one)
    for stranger in (two, bearer(ADMIN)):
        for path in ("/v1/users/ada", "/v1/users/ada/export", "/v1/users/ada/explain"):
            assert (await guarded.client.get(path, headers=stranger)).status_code == 404
        assert (await slate(guarded, stranger))["user"]["status"] == "cold"
        # The same event of another tenant is another event.
        assert (await post(guarded, "/v1/feedback", stranger, **like))[1]["applied"] == 1
        assert (await guarded.client.delete("/v1/users/ada", headers=stranger)).status_code == 204
    held = (await guarded.client.get("/v1/users/ada", headers=one)).json()
    assert (held["transitions"], held["attributes"]) == (1, {"age": 40})


async def test_recommendation_of_one_tenant_is_unknown_to_another(guarded: Running) -> None:
    one, two = await tenant(guarded, "shop-1"), await tenant(guarded, "shop-2")
    made_by_server = (await slate(guarded, one, k=3, activate=False))["recommendation_id"]
    own = await slate(guarded, one, k=3, recommendation_id="mine")
    never = made_by_server[:-4] + "0000"
    for name, fields in ((made_by_server, {}), ("mine", {"user_id": "ada"}), (never, {})):
        event = {"event_id": f"e-{name}", "item_id": "item1", "type": "like", "recommendation_id": name, **fields}
        code, body = await post(guarded, "/v1/feedback", two, **event)
        assert (code, body["code"]) == (404, "unknown_impression")
        code, body = await post(guarded, f"/v1/recommendations/{name}/activate", two, **fields)
        assert code == 404
    replayed = await guarded.client.post(
        "/v1/recommendations", json={"user_id": "ada", "k": 3, "recommendation_id": "mine"}, headers=two
    )
    # Not a replay: the other tenant's own slate under the same id.
    assert (replayed.status_code, "x-replay" in replayed.headers) == (200, False)
    assert await slate(guarded, one, k=3, recommendation_id="mine") == own


async def test_items_of_one_tenant_are_not_in_another(guarded: Running) -> None:
    one, two = await tenant(guarded, "shop-1"), await tenant(guarded, "shop-2", checkpoint_items=False)
    assert (await slate(guarded, two))["items"] == []
    assert (await guarded.client.get("/v1/items/item1", headers=two)).status_code == 404
    lines = "\n".join(f'{{"item_id": "own{i}", "attributes": {{"genres": ["drama"]}}}}' for i in range(30))
    loaded = await guarded.client.post("/v1/items/bulk", content=lines.encode(), headers=two)
    assert loaded.json()["applied"] == 30
    assert {item["item_id"][:3] for item in (await slate(guarded, two, k=5))["items"]} == {"own"}
    event = {"event_id": "e1", "user_id": "ada", "item_id": "own3", "type": "like"}
    code, body = await post(guarded, "/v1/feedback", two, **event)
    assert (code, body["users"][0]["status"]) == (200, "adapted")
    assert (await post(guarded, "/v1/feedback", one, **event))[0] == 404
    await guarded.client.patch("/v1/items/item1", json={"available": False}, headers=one)
    for headers, available, own in ((one, False, 404), (bearer(ADMIN), True, 404)):
        assert (await guarded.client.get("/v1/items/item1", headers=headers)).json()["available"] is available
        assert (await guarded.client.get("/v1/items/own3", headers=headers)).status_code == own
    assert guarded.metric("metarl_catalog_items") == N_ITEMS + (N_ITEMS - 1) + 30


async def test_admin_of_a_tenant_sees_to_its_own_keys_alone(guarded: Running) -> None:
    one, two = await tenant(guarded, "shop-1", "admin"), await tenant(guarded, "shop-2", "admin")
    own = (await post(guarded, "/v1/api-keys", one, name="a", role="writer"))[1]
    assert own["tenant"] == "shop-1"
    for body in ({"tenant": "shop-2"}, {"tenant": "default"}, {"tenant": "nobody"}, {"rate_per_s": 1e6}):
        code, refused = await post(guarded, "/v1/api-keys", one, name="a", role="reader", **body)
        assert (code, refused["code"]) == (403, "forbidden")
    for name in ("shop-2", "default", "nobody"):
        assert (await guarded.client.get(f"/v1/api-keys?tenant={name}", headers=one)).status_code == 403
    assert len((await guarded.client.get("/v1/api-keys", headers=one)).json()["keys"]) == 2
    foreign = f"/v1/api-keys/{own['key_id']}"
    refused_keys = [await guarded.client.delete(path, headers=two) for path in (foreign, foreign[:-1] + "!")]
    assert [answer.status_code for answer in refused_keys] == [404, 404]
    assert len({answer.json()["detail"] for answer in refused_keys}) == 1
    assert (await guarded.client.get("/v1/items", headers=bearer(own["key"]))).status_code == 200
    listing = await guarded.client.get("/v1/api-keys?tenant=shop-1", headers=bearer(ADMIN))
    assert len(listing.json()["keys"]) == 2
    assert (await guarded.client.get("/v1/api-keys?tenant=nobody", headers=bearer(ADMIN))).status_code == 404
    assert (await guarded.client.delete(foreign, headers=bearer(ADMIN))).status_code == 204
    assert (await guarded.client.get("/v1/items", headers=bearer(own["key"]))).status_code == 401


async def test_deleted_tenant_leaves_nothing_and_one_of_its_name_begins_anew(guarded: Running) -> None:
    admin = await tenant(guarded, "shop", "admin")
    await slate(guarded, admin)
    await post(guarded, "/v1/feedback", admin, event_id="e1", user_id="ada", item_id="item1", type="like")
    assert b"{shop." in await everything_in_redis(guarded)
    answer = await guarded.client.delete("/v1/tenants/shop", headers=bearer(ADMIN))
    assert (answer.status_code, answer.json()) == (202, {"name": "shop", "status": "deleting"})
    assert (await guarded.client.get("/v1/items", headers=admin)).status_code == 401
    fresh = await tenant(guarded, "shop")
    assert (await guarded.client.get("/v1/users/ada", headers=fresh)).status_code == 404
    assert (await guarded.client.delete("/v1/tenants/shop", headers=bearer(ADMIN))).status_code == 202
    await until_gone(guarded, "shop")
    assert await listed(guarded) == [("default", "active")]
    assert b"shop" not in await everything_in_redis(guarded)
    assert guarded.metric("metarl_catalog_items") == N_ITEMS
    for name, code in (("default", 409), ("shop", 404), ("{*}", 404), ("*", 404)):
        assert (await guarded.client.delete(f"/v1/tenants/{name}", headers=bearer(ADMIN))).status_code == code
    code, problem = await post(guarded, "/v1/api-keys", bearer(ADMIN), name="x", role="reader", tenant="shop")
    assert (code, problem["code"]) == (404, "unknown_tenant")


async def test_erasing_goes_on_after_a_restart(checkpoint_dir: Path, tmp_path: Path) -> None:
    late = {**SOON, "bulk_timeout_s": 3600.0}
    async with running(checkpoint_dir, tmp_path / "service", **late) as app:
        await slate(app, await tenant(app, "shop"))
        namespace = (await app.administration.tenants.store.tenant("shop")).namespace  # type: ignore[union-attr]
        await app.client.delete("/v1/tenants/shop", headers=bearer(ADMIN))
        # What a call on another replica, begun before the deletion, may still write.
        await app.engine.redis.client.set(f"metarl:{{{namespace}:7}}:u:late", b"x")
        assert ("shop", "deleting") in await listed(app)
        await app.engine.redis.client.hset("metarl:{_}:erasures", namespace, "1.0")
    async with running(checkpoint_dir, tmp_path / "service", **SOON) as app:
        await until_gone(app, "shop")
        assert b"shop" not in await everything_in_redis(app)


async def test_replica_learns_of_tenants_made_and_deleted_elsewhere(
    guarded: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    async with running(checkpoint_dir, tmp_path / "second", **SOON, redis_url=url, max_tenants=2) as second:
        one, two = await tenant(guarded, "shop-1"), await tenant(guarded, "shop-2")
        await guarded.client.put("/v1/items/x", json={"attributes": {}}, headers=one)
        assert (await second.client.get("/v1/items/x", headers=one)).status_code == 200
        assert (await second.client.get("/v1/items/x", headers=two)).status_code == 404
        assert second.metric("metarl_catalog_items") == 3 * N_ITEMS + 1
        three = await tenant(guarded, "shop-3")
        full = await second.client.get("/v1/items", headers=three)
        assert (full.status_code, full.json()["code"]) == (503, "too_many_tenants")
        await guarded.client.delete("/v1/tenants/shop-1", headers=bearer(ADMIN))
        assert (await second.client.get("/v1/items/x", headers=one)).status_code == 401
        # Its room is free, and its items are on offer no more.
        assert (await second.client.get("/v1/items", headers=three)).status_code == 200
        assert second.metric("metarl_catalog_items") == 3 * N_ITEMS


async def test_tenants_are_bounded_and_their_names_are_taken_once(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path / "service", **SOON, max_tenants=2) as app:
        await tenant(app, "shop-1")
        await tenant(app, "shop-2")
        for body, code, word in (
            ({"name": "shop-1"}, 409, "conflict"),
            ({"name": "default"}, 409, "conflict"),
            ({"name": "shop-3"}, 409, "too_many_tenants"),
            ({"name": "Shop"}, 422, "invalid_field"),
            ({"name": "a.12345678"}, 422, "invalid_field"),
            ({"name": "a" * 64}, 422, "invalid_field"),
            ({"name": "x", "checkpoint_items": "no"}, 422, "invalid_field"),
        ):
            status, problem = await post(app, "/v1/tenants", bearer(ADMIN), **body)
            assert (status, problem["code"]) == (code, word)
        assert await listed(app) == [("default", "active"), ("shop-1", "active"), ("shop-2", "active")]


async def test_first_calls_of_a_tenant_arriving_together_make_one_engine(guarded: Running) -> None:
    key = await tenant(guarded, "shop")
    answers = await asyncio.gather(*(slate(guarded, key, k=2) for _ in range(8)))
    assert all(len(answer["items"]) == 2 for answer in answers)
    assert guarded.metric("metarl_catalog_items") == 2 * N_ITEMS


async def test_tenant_that_was_never_served_waits_for_redis_and_one_that_was_degrades(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    given = {**SOON, "key_cache_s": 5.0, "clock": Clock(), "redis_timeout_s": 0.1, "breaker_open_s": 0.01}
    async with running(checkpoint_dir, tmp_path / "service", **given) as app:
        served, unserved = await tenant(app, "shop-1"), await tenant(app, "shop-2")
        for key in (served, unserved):
            assert (await app.client.get("/v1/tenants", headers=key)).status_code == 403
        await slate(app, served)
        with frozen(int((tmp_path / "service" / "redis" / "redis.pid").read_text())):
            body = await slate(app, served, k=3)
            assert (body["degraded"], len(body["items"])) == ("redis", 3)
            code, problem = await post(app, "/v1/recommendations", unserved, user_id="ada")
            assert (code, problem["code"]) == (503, "store_unavailable")
        for _ in range(1000):
            code, body = await post(app, "/v1/recommendations", unserved, user_id="ada", k=3)
            if code == 200:
                break
            await asyncio.sleep(0.01)
        assert (code, len(body["items"])) == (200, 3)


async def test_tenant_without_any_item_answers_every_call(guarded: Running) -> None:
    key = await tenant(guarded, "shop", checkpoint_items=False)
    for body in ({}, {"exploration": {"enabled": False}}, {"diversity": 0.5}, {"explain": True}):
        assert (await slate(guarded, key, **body))["items"] == []
    user = await guarded.client.put("/v1/users/ada", json={"attributes": {"age": 30}}, headers=key)
    assert (user.status_code, user.json()["kl_nats"]) == (200, 0.0)
    for path, code in (
        ("/v1/users/ada", 200),
        ("/v1/users/ada/export", 200),
        ("/v1/users/ada/explain", 200),
        ("/v1/items", 200),
        ("/v1/items?filter=genres%20%3D%20%22drama%22", 200),
        ("/v1/items/item1", 404),
        ("/v1/items/item1/similar", 404),
    ):
        answer = await guarded.client.get(path, headers=key)
        assert answer.status_code == code, answer.text
        assert "NaN" not in answer.text
    code, body = await post(guarded, "/v1/feedback", key, event_id="e", user_id="ada", item_id="item1", type="like")
    assert (code, body["code"]) == (404, "unknown_item")
    assert (await post(guarded, "/v1/users/ada/reset", key))[0] == 200
