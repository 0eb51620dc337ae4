"""Users and items: attributes, deletion, new items, odd ids."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from service.store.codec import decode_state
from service.store.keys import UserKeys
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio

ODD_IDS = ["a/b", "/", "a//b/../c", "🎬 film", "*", "{a}", "a:b", "%2F", "ü", "a b", "?x=1#y", ".", "..", "x" * 256]


def path(kind: str, name: str) -> str:
    return f"/v1/{kind}/{quote(name, safe='').replace('.', '%2E')}"


async def test_attributes_move_the_starting_point_at_once(app: Running) -> None:
    greedy: dict[str, Any] = {"exploration": {"enabled": False}, "k": 5}
    plain = await app.recommend("ada", **greedy)
    response = await app.client.put("/v1/users/ada", json={"attributes": {"gender": "F", "age": 31}})
    assert response.status_code == 200
    body = response.json()
    assert (body["status"], body["attributes"], body["transitions"]) == ("cold", {"gender": "F", "age": 31}, 0)
    moved = await app.recommend("ada", **greedy)
    assert [i["item_id"] for i in moved["items"]] != [i["item_id"] for i in plain["items"]]
    checkpoint = app.engine.checkpoint
    start = checkpoint.starting_point({"gender": "F", "age": 31})
    values = checkpoint.popularity + checkpoint.features @ start
    np.testing.assert_allclose([i["score"] for i in moved["items"]], np.sort(values)[::-1][:5], atol=2e-6)


async def test_attributes_of_an_adapted_user_adapt_anew_from_the_new_start(app: Running) -> None:
    for i in range(3):
        await app.like("ada", f"item{4 * i}", f"a{i}")
    await app.client.put("/v1/users/bob", json={"attributes": {"gender": "M"}})
    for i in range(3):
        await app.like("bob", f"item{4 * i}", f"b{i}")
    before = await app.user("ada")
    response = await app.client.put("/v1/users/ada", json={"attributes": {"gender": "M"}})
    after = response.json()
    assert (after["status"], after["transitions"]) == ("adapted", 3)
    assert after["weights_digest"] != before["weights_digest"]
    assert after["weights_digest"] == (await app.user("bob"))["weights_digest"]
    assert after["kl_nats"] > 0


@pytest.mark.parametrize("attributes", [{"shoe_size": 43}, {"gender": 3}, {"age": "old"}, {"gender": ["F"]}])
async def test_unknown_or_mistyped_user_attribute_is_refused_by_name(app: Running, attributes: dict[str, Any]) -> None:
    response = await app.client.put("/v1/users/ada", json={"attributes": attributes})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_field")
    assert "attributes" in response.json()["detail"]
    assert (await app.client.get("/v1/users/ada")).status_code == 404


async def keys_of(app: Running, user_id: str) -> list[str]:
    keys = UserKeys.of("default", user_id)
    found = await app.engine.redis.client.keys(f"*{keys.user}*")
    return sorted(key.decode() for key in found)


async def test_delete_leaves_nothing_but_a_tombstone_and_refuses_what_came_before(app: Running) -> None:
    await app.client.put("/v1/users/ada", json={"attributes": {"gender": "F"}})
    slates = [await app.recommend("ada", k=3) for _ in range(3)]
    await app.recommend("ada", k=3, recommendation_id="mine")
    await app.like("ada", slates[0]["items"][0]["item_id"], "e1", recommendation_id=slates[0]["recommendation_id"])
    assert len(await keys_of(app, "ada")) == 7
    for _ in range(2):
        assert (await app.client.delete("/v1/users/ada")).status_code == 204
        keys = UserKeys.of("default", "ada")
        assert await keys_of(app, "ada") == [keys.state]
        state = decode_state((await app.engine.users.read(keys)).state or b"")
        assert state.tombstone
        assert (len(state.transitions), len(state.seen), state.weights, state.attributes) == (0, 0, None, {})
    assert (await app.client.get("/v1/users/ada")).status_code == 404
    for i, name in enumerate([slates[1]["recommendation_id"], "mine"]):
        response = await app.post_feedback(
            event_id=f"old{i}",
            user_id="ada",
            item_id=slates[1]["items"][0]["item_id"],
            type="like",
            recommendation_id=name,
        )
        assert (response.status_code, response.json()["code"]) == (404, "unknown_impression")
    body = await app.recommend("ada")
    assert body["user"] == {"status": "cold", "transitions": 0, "adapted_at": None}
    expected = app.engine.checkpoint.initialization
    number = app.engine.catalogue.number(body["items"][0]["item_id"])
    assert number is not None
    score = app.engine.checkpoint.popularity[number] + app.engine.checkpoint.features[number] @ expected
    assert body["items"][0]["score"] == pytest.approx(float(score), abs=2e-6)


async def test_new_life_after_a_delete_learns_and_refuses_slates_of_the_old_one(app: Running) -> None:
    old = await app.recommend("ada", k=3)
    await app.client.delete("/v1/users/ada")
    new = await app.recommend("ada", k=3)
    await app.like("ada", new["items"][0]["item_id"], "e1", recommendation_id=new["recommendation_id"])
    assert (await app.user("ada"))["transitions"] == 1
    response = await app.post_feedback(
        event_id="e2", item_id=old["items"][0]["item_id"], type="like", recommendation_id=old["recommendation_id"]
    )
    assert response.status_code == 404


async def test_feedback_in_flight_of_another_process_does_not_resurrect_a_deleted_user(
    app: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    async with running(checkpoint_dir, tmp_path / "second", redis_url=url) as second:
        for turn in range(10):
            slate = await app.recommend("ada", k=20)
            events = [
                second.post_feedback(
                    event_id=f"{turn} {i}",
                    user_id="ada",
                    item_id=item["item_id"],
                    type="like",
                    recommendation_id=slate["recommendation_id"],
                )
                for i, item in enumerate(slate["items"])
            ]
            waiting = asyncio.gather(*events)
            await asyncio.sleep(0.002 * turn)
            assert (await app.client.delete("/v1/users/ada")).status_code == 204
            statuses = {response.status_code for response in await waiting}
            assert statuses <= {200, 404}
            assert (await app.client.get("/v1/users/ada")).status_code == 404
            assert await keys_of(app, "ada") == [UserKeys.of("default", "ada").state]


async def test_new_item_is_recommendable_at_once_on_every_process(
    app: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    async with running(checkpoint_dir, tmp_path / "second", redis_url=url) as second:
        response = await app.client.put(
            "/v1/items/brand-new", json={"attributes": {"genres": ["drama"], "year": 2026, "title": "New"}}
        )
        assert response.status_code == 200
        offered = [{"item_id": "brand-new"}]
        for service in (app, second):
            body = await service.recommend("ada", candidates=offered, explain=True)
            assert [item["item_id"] for item in body["items"]] == ["brand-new"]
            assert body["items"][0]["attributes"]["title"] == "New"
        row, popularity = app.engine.checkpoint.encode_item({"genres": ["drama"], "year": 2026, "title": "New"})
        expected = popularity + float(row @ app.engine.checkpoint.initialization)
        assert body["items"][0]["score"] == pytest.approx(expected, abs=1e-5)
        await second.like("ada", "brand-new", "e1")
        assert (await app.user("ada"))["transitions"] == 1


async def test_item_taken_off_is_gone_at_once_on_every_process_and_comes_back(
    app: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    offered = [{"item_id": "item5"}]
    async with running(checkpoint_dir, tmp_path / "second", redis_url=url) as second:
        for available in (False, True, False):
            record = {"attributes": {"genres": ["comedy"]}, "available": available}
            assert (await second.client.put("/v1/items/item5", json=record)).status_code == 200
            for service in (app, second):
                body = await service.recommend("ada", candidates=offered)
                assert len(body["items"]) == int(available)
                assert "ignored" not in body
        assert app.metric("metarl_catalog_items") == 199
        # Feedback on it still counts: it was shown while it was on offer.
        await app.like("ada", "item5", "e1")


async def test_items_survive_a_restart(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path) as app:
        await app.client.put("/v1/items/kept", json={"attributes": {"genres": ["drama"]}})
        await app.client.put("/v1/items/item5", json={"available": False})
    async with running(checkpoint_dir, tmp_path) as app:
        assert len((await app.recommend("ada", candidates=[{"item_id": "kept"}]))["items"]) == 1
        assert (await app.client.get("/v1/items/item5")).json()["available"] is False


async def test_many_new_items_at_once_are_all_offered(app: Running) -> None:
    async def put(item: str) -> int:
        response = await app.client.put(f"/v1/items/{item}", json={"attributes": {"year": 2000}})
        if response.status_code == 503:
            # On a busy machine Redis may miss its deadline; the answer says when to try again.
            await asyncio.sleep(int(response.headers["retry-after"]))
            response = await app.client.put(f"/v1/items/{item}", json={"attributes": {"year": 2000}})
        return response.status_code

    for i in range(0, 1300, 100):
        assert set(await asyncio.gather(*(put(f"n{j}") for j in range(i, i + 100)))) == {200}
    body = await app.recommend("ada", candidates=[{"item_id": "n0"}, {"item_id": "n1299"}, {"item_id": "item0"}])
    assert len(body["items"]) == 3
    await app.like("ada", "n1299", "e1")
    assert app.metric("metarl_catalog_items") == 1500


@pytest.mark.parametrize("attributes", [{"genres": "drama"}, {"year": "1990"}])
async def test_mistyped_item_attribute_is_refused(app: Running, attributes: dict[str, Any]) -> None:
    response = await app.client.put("/v1/items/x", json={"attributes": attributes})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_field")
    assert (await app.client.get("/v1/items/x")).status_code == 404


@pytest.mark.parametrize("name", ODD_IDS)
async def test_odd_ids_of_users_and_items_work_everywhere(app: Running, name: str) -> None:
    response = await app.client.put(path("items", name), json={"attributes": {"genres": ["horror"]}})
    assert response.status_code == 200, response.text
    assert response.json()["item_id"] == name
    assert (await app.client.get(path("items", name))).json()["item_id"] == name
    slate = await app.recommend(name, candidates=[{"item_id": name}])
    assert [item["item_id"] for item in slate["items"]] == [name]
    await app.like(name, name, name, recommendation_id=slate["recommendation_id"])
    response = await app.client.get(path("users", name))
    assert (response.json()["user_id"], response.json()["transitions"]) == (name, 1)
    assert (await app.client.delete(path("users", name))).status_code == 204
    assert (await app.client.get(path("users", name))).status_code == 404


@pytest.mark.parametrize("name", ["\r\nFLUSHALL\r\n", "\x00", "a\x7f", "x" * 257])
async def test_ids_with_control_characters_or_too_long_are_refused(app: Running, name: str) -> None:
    for response in (
        await app.client.get(path("users", name)),
        await app.client.put(path("items", name), json={}),
        await app.client.post("/v1/recommendations", json={"user_id": name}),
    ):
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert "FLUSHALL" not in response.text
