"""Items on several replicas: what one was told the others know in the next call, however much it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.store import item_store
from service.store.connection import StoreUnavailable
from tests.fault.test_redis_away import frozen
from tests.running_service import Running, running
from tests.service_checkpoint import N_ITEMS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def second(app: Running, checkpoint_dir: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """Another replica on the same Redis."""
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    async with running(checkpoint_dir, tmp_path / "second", redis_url=url) as service:
        yield service


async def load(app: Running, count: int, **fields: Any) -> None:
    lines = [json.dumps({"item_id": f"n{i}", "attributes": {"year": 1990 + i % 9, **fields}}) for i in range(count)]
    body = (await app.client.post("/v1/items/bulk", content="\n".join(lines).encode())).json()
    assert (body["applied"], body["rejected"]) == (count, 0)


async def everything(app: Running) -> dict[str, Any]:
    """Returns all items by id, page by page."""
    found: dict[str, Any] = {}
    parameters: dict[str, Any] = {"limit": 700}
    while True:
        page = (await app.client.get("/v1/items", params=parameters)).json()
        for item in page["items"]:
            assert item["item_id"] not in found
            found[item["item_id"]] = item
        if "cursor" not in page:
            return found
        parameters["cursor"] = page["cursor"]


async def test_item_is_read_from_another_replica_in_the_next_call(app: Running, second: Running) -> None:
    await app.client.put("/v1/items/x", json={"attributes": {"genres": ["drama"], "mood": "calm"}})
    assert (await second.client.get("/v1/items/x")).json()["attributes"]["mood"] == "calm"
    assert (await second.client.get("/v1/items/x/similar")).status_code == 200
    await second.client.delete("/v1/items/x")
    assert (await app.client.get("/v1/items/x")).status_code == 404


async def test_calls_that_wait_at_once_share_what_brings_them_up_to_date(app: Running, second: Running) -> None:
    asked = {"name": "metarl_redis_command_duration_seconds_count", "op": "item_changes"}
    before = second.metric(**asked)
    await app.client.put("/v1/items/x", json={"attributes": {"year": 1999}})
    # More than Redis has told anybody of: equality never holds, so each waits for a round that began after it.
    await asyncio.gather(*(second.engine.catch_up(10**6, patient=True) for _ in range(100)))
    assert second.metric(**asked) - before <= 2
    assert second.engine.catalogue.number("x") is not None


@pytest.mark.parametrize("page_bytes", [1, 5000, item_store.PAGE_BYTES])
async def test_pages_of_any_size_bring_every_item(
    app: Running, second: Running, monkeypatch: pytest.MonkeyPatch, page_bytes: int
) -> None:
    await load(app, 2300 if page_bytes > 1 else 230)
    monkeypatch.setattr(item_store, "PAGE_BYTES", page_bytes)
    assert await everything(second) == await everything(app)
    assert second.metric("metarl_catalog_items") == app.metric("metarl_catalog_items") > N_ITEMS + 200
    assert (await second.recommend("ada", filter="year >= 1998"))["items"]


async def test_replica_with_too_much_to_take_over_serves_meanwhile_and_is_level_in_the_end(
    app: Running, second: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.like("ada", "item4", "e1")
    await load(app, 2500)
    gate, read = asyncio.Event(), second.engine.items.changes_after

    async def held_up(since: int) -> item_store.ItemChanges:
        await gate.wait()
        return await read(since)

    monkeypatch.setattr(second.engine.items, "changes_after", held_up)
    monkeypatch.setattr(second.engine.redis, "limit_s", 0.3)
    body = await second.recommend("ada")
    assert (body["degraded"], len(body["items"])) == ("redis", 10)
    refused = await second.post_feedback(event_id="e2", user_id="ada", item_id="item8", type="like")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    gate.set()
    # Nobody asks, and yet it goes on.
    while second.engine.catalogue.changes != app.engine.catalogue.changes:
        await asyncio.sleep(0.01)
    monkeypatch.undo()
    body = await second.recommend("ada", candidates=[{"item_id": "n2499"}])
    assert ("degraded" in body, body["user"]["status"], len(body["items"])) == (False, "adapted", 1)


async def test_writes_of_one_item_through_two_replicas_at_once_leave_both_with_what_redis_has(
    app: Running, second: Running
) -> None:
    puts = [
        service.client.put("/v1/items/x", json={"attributes": {"year": 1900 + turn}})
        for turn in range(40)
        for service in (app, second)
    ]
    reads = [service.recommend(f"user{i}") for i in range(20) for service in (app, second)]
    assert {response.status_code for response in (await asyncio.gather(*puts, *reads))[: len(puts)]} == {200}
    number = app.engine.catalogue.number("x")
    assert number is not None
    stored, changes = await app.engine.items.read(number)
    for service in (app, second):
        await service.client.get("/v1/items/x")
        assert service.engine.catalogue.stored(number) == stored
        assert service.engine.catalogue.changes == changes == 80


async def test_redis_that_lost_everything_is_started_over_from_the_checkpoint(app: Running, second: Running) -> None:
    await load(app, 50)
    await app.engine.redis.client.flushall()
    await second.client.put("/v1/items/item7", json={"available": False})
    for service in (app, second):
        assert (await service.client.get("/v1/items/n3")).status_code == 404
        assert (await service.client.get("/v1/items/item7")).json()["available"] is False
        assert len(await everything(service)) == N_ITEMS
        assert len((await service.recommend("ada"))["items"]) == 10


async def test_deleting_an_id_that_nobody_knows_writes_nothing(app: Running) -> None:
    before = await app.engine.items.counter()
    assert (await app.client.delete("/v1/items/ghost")).status_code == 204
    assert await app.engine.items.counter() == before


async def test_more_different_attributes_than_a_catalogue_may_have_are_refused(app: Running) -> None:
    for start in (0, 60, 120, 180):
        item = {"attributes": {f"a{i}": i for i in range(start, start + 60)}}
        assert (await app.client.put(f"/v1/items/x{start}", json=item)).status_code == 200
    # Three belong to the checkpoint's own items.
    rest = {"attributes": {f"b{i}": i for i in range(13)}}
    assert (await app.client.put("/v1/items/y", json=rest)).status_code == 200
    response = await app.client.put("/v1/items/z", json={"attributes": {"one_more": 1}})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_field")
    assert "more than 256 different ones" in response.json()["detail"]
    line = json.dumps({"item_id": "z", "attributes": {"one_more": 1}})
    body = (await app.client.post("/v1/items/bulk", content=line)).json()
    assert (body["applied"], body["rejections"][0]["code"]) == (0, "invalid_field")
    # What no item has any more makes room.
    await app.client.delete("/v1/items/y")
    assert (await app.client.put("/v1/items/z", json={"attributes": {"one_more": 1}})).status_code == 200


async def test_item_that_expires_before_it_is_published_is_refused_and_changes_nothing(app: Running) -> None:
    times = {"published_at": "2026-01-02T00:00:00Z", "expires_at": "2026-01-02T01:00:00+01:00"}
    response = await app.client.put("/v1/items/x", json=times)
    assert (response.status_code, response.json()["detail"]) == (422, "expires_at: must be later than published_at")
    await app.client.put("/v1/items/x", json={"published_at": times["published_at"]})
    response = await app.client.patch("/v1/items/x", json={"expires_at": times["expires_at"]})
    assert response.status_code == 422
    line = json.dumps({"item_id": "x", **times})
    body = (await app.client.post("/v1/items/bulk", content=line)).json()
    assert body["rejections"] == [
        {"line": 1, "code": "invalid_field", "detail": "expires_at: must be later than published_at"}
    ]
    assert "expires_at" not in (await app.client.get("/v1/items/x")).json()


async def test_bulk_load_goes_on_after_redis_has_not_answered_for_a_moment(app: Running) -> None:
    redis, put, calls = app.engine.items, app.engine.items.put, 0

    async def weak(records: Sequence[tuple[str, bytes]]) -> int:
        nonlocal calls
        calls += 1
        change = await put(records)
        if calls in (1, 3):
            # It was written, and the reply was lost.
            raise StoreUnavailable("timeout")
        return change

    redis.put = weak  # type: ignore[method-assign]
    await load(app, 1500)
    assert calls == 4
    assert app.metric("metarl_catalog_items") == N_ITEMS + 1500


async def test_items_without_redis_are_read_as_they_were_and_not_written(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path / "service", redis_timeout_s=0.2, redis_connect_timeout_s=0.05) as app:
        with frozen(int((tmp_path / "service" / "redis" / "redis.pid").read_text())):
            assert (await app.client.get("/v1/items/item3")).json()["item_id"] == "item3"
            assert len((await app.client.get("/v1/items")).json()["items"]) == 100
            for response in (
                await app.client.put("/v1/items/x", json={}),
                await app.client.patch("/v1/items/item3", json={"available": False}),
                await app.client.delete("/v1/items/item3"),
                await app.client.post("/v1/items/bulk", content=b'{"item_id": "x"}'),
            ):
                assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
            assert (await app.client.get("/v1/items/item3")).json()["available"] is True
