"""Items over HTTP: parts, times, deletion, bulk, pages, likeness; each effective in the very next call."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import bulk
from tests.running_service import Running
from tests.service_checkpoint import N_ITEMS

pytestmark = pytest.mark.anyio


async def offered(app: Running, *items: str) -> list[str]:
    body = await app.recommend("ada", k=100, candidates=[{"item_id": item} for item in items])
    return sorted(item["item_id"] for item in body["items"])


def at(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_patch_changes_what_it_names_and_nothing_else(app: Running) -> None:
    await app.client.put("/v1/items/x", json={"attributes": {"genres": ["drama"], "price": 3}, "expires_at": at(900)})
    patch = {"attributes": {"price": 4, "genres": None}, "available": False}
    body = (await app.client.patch("/v1/items/x", json=patch)).json()
    assert body["attributes"] == {"price": 4}
    assert body["available"] is False
    assert body["not_learned_from"] == ["price"]
    assert "expires_at" in body
    assert "expires_at" not in (await app.client.patch("/v1/items/x", json={"expires_at": None})).json()
    assert (await app.client.patch("/v1/items/ghost", json={"available": True})).status_code == 404
    refused = await app.client.patch("/v1/items/x", json={"attributes": {"genres": "drama"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
    assert (await app.client.get("/v1/items/x")).json()["attributes"] == {"price": 4}


async def test_patches_of_different_attributes_at_once_all_stay(app: Running) -> None:
    await app.client.put("/v1/items/x", json={})
    await asyncio.gather(*(app.client.patch("/v1/items/x", json={"attributes": {f"a{i}": i}}) for i in range(20)))
    body = (await app.client.get("/v1/items/x")).json()
    assert body["attributes"] == {f"a{i}": i for i in range(20)}


async def test_items_are_offered_from_their_publication_until_they_expire(app: Running) -> None:
    for name, times in (
        ("past", {"published_at": at(-60), "expires_at": at(60)}),
        ("future", {"published_at": at(60)}),
        ("over", {"expires_at": at(-1)}),
        ("soon", {"expires_at": at(1)}),
    ):
        assert (await app.client.put(f"/v1/items/{name}", json=times)).status_code == 200
    assert await offered(app, "past", "future", "over", "soon") == ["past", "soon"]
    catalogue = app.engine.catalogue
    numbers = [catalogue.number(name) for name in ("past", "future", "over", "soon")]
    now = app.engine.now()
    assert catalogue.on_offer(now + 30)[numbers].tolist() == [True, False, False, False]
    assert catalogue.on_offer(now + 90)[numbers].tolist() == [False, True, False, False]
    assert catalogue.on_offer(now)[numbers].tolist() == [True, False, False, True]
    naive = await app.client.put("/v1/items/y", json={"published_at": "2026-01-01T00:00:00"})
    assert (naive.status_code, "time zone" in naive.json()["detail"]) == (422, True)


async def test_deleted_item_is_gone_and_transitions_with_it_are_skipped_until_it_comes_back(app: Running) -> None:
    for i in range(3):
        await app.like("ada", f"item{4 * i}", f"e{i}")
    before = await app.user("ada")
    for _ in range(2):
        assert (await app.client.delete("/v1/items/item4")).status_code == 204
    assert (await app.client.get("/v1/items/item4")).status_code == 404
    assert await offered(app, "item4", "item8", "item12") == ["item12"]
    refused = await app.post_feedback(event_id="e9", user_id="ada", item_id="item4", type="like")
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_item")
    # The next write of this user adapts without it.
    await app.like("ada", "item16", "e10")
    await app.client.put("/v1/items/item4", json={"attributes": {"genres": ["action"], "year": 1954}})
    assert (await app.user("ada"))["transitions"] == before["transitions"] + 1
    assert (await app.client.delete("/v1/items/never-there")).status_code == 204


async def test_deleted_item_of_the_checkpoint_stays_deleted_for_a_new_replica(app: Running) -> None:
    await app.client.delete("/v1/items/item4")
    app.engine.synced = False
    await app.recommend("ada")
    assert app.engine.catalogue.number("item4") is None
    assert app.engine.catalogue.on_offer(app.engine.now()).sum() == N_ITEMS - 1


async def test_list_pages_hold_every_item_once_while_others_come_and_go(app: Running) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 30} | ({"cursor": cursor} if cursor else {})
        page = (await app.client.get("/v1/items", params=query)).json()
        seen += [item["item_id"] for item in page["items"]]
        cursor = page.get("cursor")
        if cursor is None:
            break
        await app.client.delete(f"/v1/items/{seen[0]}")
        await app.client.put(f"/v1/items/new{len(seen)}", json={})
    assert len(set(seen)) == len(seen)
    assert {f"item{i}" for i in range(N_ITEMS)} <= set(seen)
    drama = (await app.client.get("/v1/items", params={"filter": '"drama" in genres', "limit": 1000})).json()
    assert len(drama["items"]) == N_ITEMS // 4
    for query in ({"cursor": "nonsense"}, {"limit": 0}, {"filter": "genres ="}, {"limit": "many"}):
        response = await app.client.get("/v1/items", params=query)
        assert response.status_code == 422, query
        assert next(iter(query)) in response.json()["detail"]


async def test_similar_items_share_the_genre_and_obey_the_filter(app: Running) -> None:
    body = (await app.client.get("/v1/items/item5/similar", params={"k": 8, "filter": "year < 1990"})).json()
    assert len(body["items"]) == 8
    assert {item["attributes"]["genres"][0] for item in body["items"]} == {"comedy"}
    assert all(item["attributes"]["year"] < 1990 for item in body["items"])
    similarity = [item["similarity"] for item in body["items"]]
    assert similarity == sorted(similarity, reverse=True)
    rows = app.engine.catalogue.features[[5, app.engine.catalogue.number(body["items"][0]["item_id"])]]
    cosine = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    assert similarity[0] == pytest.approx(float(cosine), abs=1e-5)
    assert (await app.client.get("/v1/items/ghost/similar")).status_code == 404


async def test_bulk_equals_the_same_puts_and_tells_every_refused_line(app: Running) -> None:
    lines = [json.dumps({"item_id": f"b{i}", "attributes": {"genres": ["drama"], "stock": i}}) for i in range(2500)]
    lines[3] = "{not json"
    lines[5] = json.dumps({"item_id": "b5", "attributes": {"genres": "drama"}})
    lines[7] = ""
    lines[9] = json.dumps({"item_id": "", "colour": "red"})
    lines[11] = json.dumps({"item_id": "b11", "attributes": {"text": "x" * bulk.MAX_LINE_BYTES}})
    body = "\n".join(lines)
    response = await app.client.post("/v1/items/bulk", content=body)
    found = response.json()
    assert (response.status_code, found["applied"], found["rejected"]) == (200, 2495, 4)
    assert [row["line"] for row in found["rejections"]] == [4, 6, 10, 12]
    assert [row["code"] for row in found["rejections"]] == [
        "invalid_json",
        "invalid_field",
        "invalid_field",
        "line_too_long",
    ]
    await app.client.put("/v1/items/one", json={"attributes": {"genres": ["drama"], "stock": 8}})
    catalogue = app.engine.catalogue
    one, eight = catalogue.number("one"), catalogue.number("b8")
    assert one is not None
    assert eight is not None
    np.testing.assert_array_equal(catalogue.features[one], catalogue.features[eight])
    assert catalogue.popularity[one] == catalogue.popularity[eight]
    again = (await app.client.post("/v1/items/bulk", content=body)).json()
    assert again["applied"] == 2495
    assert len(catalogue.following(-1)) == N_ITEMS + 2495 + 1


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=10))
def test_lines_in_pieces_of_any_size_are_those_of_the_whole(content: bytes, sizes: list[int]) -> None:
    async def pieces() -> Any:
        at = 0
        for size in [*sizes, len(content)]:
            yield content[at : at + size]
            at += size

    async def joined() -> list[bytes]:
        return [line async for line in bulk._lines(pieces())]

    expected = content.split(b"\n")
    assert asyncio.run(joined()) == (expected if expected[-1] else expected[:-1])


async def test_new_item_by_attributes_alone_leads_for_who_likes_its_kind(app: Running) -> None:
    await app.client.put("/v1/items/fresh", json={"attributes": {"genres": ["horror"]}})
    for i in range(6):
        await app.like("ada", f"item{4 * i + 3}", f"e{i}")
    candidates = [{"item_id": item} for item in ("fresh", "item100", "item101", "item102")]
    body = await app.recommend("ada", candidates=candidates, exploration={"enabled": False})
    assert body["items"][0]["item_id"] == "fresh"
