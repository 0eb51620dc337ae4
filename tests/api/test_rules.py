"""Recommendations under rules, over HTTP: every rule is obeyed, lists are full, propensities are those drawn from."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import candidates
from service.candidates import pool_of
from service.catalogue import LiveCatalogue
from service.schemas import Cap
from tests.running_service import Running
from tests.service_checkpoint import N_ITEMS, genre_of, synthetic_checkpoint

pytestmark = pytest.mark.anyio


def ids(body: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in body["items"]]


async def refused(app: Running, **fields: Any) -> str:
    response = await app.client.post("/v1/recommendations", json={"user_id": "ada", **fields})
    assert response.status_code == 422, response.text
    detail: str = response.json()["detail"]
    return detail


RULES = st.fixed_dictionaries(
    {},
    optional={
        "filter": st.sampled_from(['"drama" in genres', "year >= 1980", 'not ("horror" in genres) and year < 2010']),
        "boosts": st.just([{"filter": "year < 1960", "value": 0.2}]),
        "pins": st.lists(st.integers(0, 9), max_size=3, unique=True),
        "caps": st.sampled_from([[{"attribute": "genres", "max": 4}], [{"attribute": "year", "max": 1}]]),
        "diversity": st.sampled_from([0.1, 0.7, 1.0]),
        "exclude_item_ids": st.just([f"item{i}" for i in range(100, 130)]),
        "exploration": st.just({"enabled": False}),
    },
)


@pytest.mark.parametrize("user", ["cold", "adapted"])
async def test_any_rules_are_obeyed_and_lists_are_full(app: Running, user: str) -> None:
    if user == "adapted":
        for i in range(5):
            await app.like(user, f"item{4 * i}", f"e{i}")
    found: list[dict[str, Any]] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(RULES)
    def collect(rules: dict[str, Any]) -> None:
        found.append(rules)

    await asyncio.to_thread(collect)
    for rules in found:
        pins = {rank: f"item{130 + rank}" for rank in rules.pop("pins", [])}
        body = await app.recommend(user, k=10, pins=[{"item_id": i, "rank": r + 1} for r, i in pins.items()], **rules)
        check(body, rules, pins)


def check(body: dict[str, Any], rules: dict[str, Any], pins: dict[int, str]) -> None:
    shown = ids(body)
    drawn = [item for item in shown if item not in pins.values()]
    assert len(set(shown)) == len(shown)
    assert all(shown[rank] == item for rank, item in pins.items() if len(shown) == 10)
    assert not set(drawn) & set(rules.get("exclude_item_ids", []))
    year = {item: 1950 + int(item.removeprefix("item")) % 70 for item in shown}
    text = rules.get("filter", "")
    if "drama" in text:
        assert {genre_of(item) for item in drawn} <= {"drama"}
    elif "year >= 1980" in text:
        assert all(year[item] >= 1980 for item in drawn)
    elif text:
        assert all(genre_of(item) != "horror" and year[item] < 2010 for item in drawn)
    caps = rules.get("caps", [])
    for cap in caps:
        own = genre_of if cap["attribute"] == "genres" else year.get
        held, pinned = Counter(map(own, shown)), Counter(map(own, pins.values()))
        assert all(count <= max(cap["max"], pinned[value]) for value, count in held.items())
    # Ten items qualify under every rule here but four of one genre.
    full = not (caps and caps[0]["attribute"] == "genres" and "drama" in text)
    assert len(shown) == 10 if full else len(drawn) <= 4
    if rules.get("exploration"):
        assert all(item["propensity"] == 1 for item in body["items"])
        assert body["ope_eligible"] is False
    else:
        placed = [rank for rank, item in pins.items() if shown[rank:] and shown[rank] == item]
        assert all(body["items"][rank]["propensity"] == 1 for rank in placed)
        assert body["slate_propensity"] == pytest.approx(np.prod([item["propensity"] for item in body["items"]]))


async def test_frequencies_under_rules_agree_with_the_propensities_within_four_standard_errors(app: Running) -> None:
    for i in range(3):
        await app.like("ada", f"item{4 * i}", f"e{i}")
    request = {
        "k": 3,
        "filter": 'item_id in ["item20", "item21", "item24", "item25", "item26", "item30"]',
        "boosts": [{"filter": '"comedy" in genres', "value": 0.03}],
        "pins": [{"item_id": "item40", "rank": 2}],
        "caps": [{"attribute": "genres", "max": 2}],
        "diversity": 0.2,
    }
    draws = 1500
    slates: Counter[tuple[str, ...]] = Counter()
    stated: dict[tuple[str, ...], float] = {}
    for _ in range(draws):
        body = await app.recommend("ada", **request)
        key = tuple(ids(body))
        slates[key] += 1
        stated[key] = body["slate_propensity"]
        assert key[1] == "item40"
        assert Counter(map(genre_of, key))["action"] <= 2
    assert sum(stated.values()) <= 1 + 1e-9
    assert sum(stated.values()) > 0.95
    for key, p in stated.items():
        assert abs(slates[key] - draws * p) <= 4 * (draws * p * (1 - p)) ** 0.5 + 1, key


async def test_boost_moves_the_score_by_its_value_and_is_a_reason(app: Running) -> None:
    offered = [{"item_id": "item7"}]
    plain = (await app.recommend("ada", candidates=offered))["items"][0]["score"]
    body = await app.recommend(
        "ada", candidates=offered, boosts=[{"filter": "exists(year)", "value": -0.25}], explain=True
    )
    assert body["items"][0]["score"] == pytest.approx(plain - 0.25, abs=2e-6)
    assert {"kind": "boost", "contribution": -0.25} in body["items"][0]["reasons"]


async def test_pins_that_are_not_on_offer_come_back_and_filters_do_not_bind_pins(app: Running) -> None:
    await app.client.put("/v1/items/gone", json={"available": False})
    await app.like("ada", "item1", "e1")
    pins = [{"item_id": item, "rank": rank} for rank, item in enumerate(("gone", "ghost", "item1"), start=1)]
    body = await app.recommend("ada", k=5, pins=pins, filter='"drama" in genres', explain=True)
    assert body["ignored"] == ["gone", "ghost"]
    assert ids(body)[2] == "item1"
    assert "pin" in {reason["kind"] for reason in body["items"][2]["reasons"]}
    assert len(ids(body)) == 5


async def test_exclude_seen_by_event_type_leaves_the_others_in(app: Running) -> None:
    for item, kind in (("item1", "click"), ("item2", "purchase"), ("item3", "dislike")):
        response = await app.post_feedback(event_id=item, user_id="ada", item_id=item, type=kind)
        assert response.status_code == 200
    await app.post_feedback(event_id="again", user_id="ada", item_id="item1", type="purchase")
    offered = [{"item_id": f"item{i}"} for i in range(1, 5)]
    for types, left in (
        (["purchase"], [3, 4]),
        (["click"], [2, 3, 4]),
        (["dislike", "like"], [1, 2, 4]),
        (["skip"], [1, 2, 3, 4]),
    ):
        body = await app.recommend("ada", candidates=offered, exclude_seen=types)
        assert sorted(ids(body)) == [f"item{i}" for i in left], types


async def test_slates_under_rules_form_no_ratios(app: Running) -> None:
    for number, rules in enumerate(
        ({}, {"filter": "year > 0"}, {"diversity": 0.1}, {"boosts": [{"filter": "year > 0", "value": 0.1}]})
    ):
        body = await app.recommend(f"user{number}", **rules)
        await app.like(f"user{number}", ids(body)[0], "e1", recommendation_id=body["recommendation_id"])
    samples = [
        sample.value
        for family in app.engine.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "metarl_ppo_clipped_ratio_count"
    ]
    assert samples == [1]


async def test_rules_that_contradict_themselves_are_refused_by_name(app: Running) -> None:
    assert "rank" in await refused(app, k=2, pins=[{"item_id": "item1", "rank": 3}])
    assert "every rank once" in await refused(app, pins=[{"item_id": f"item{i}", "rank": 1} for i in (1, 2)])
    assert "every item once" in await refused(app, pins=[{"item_id": "item1", "rank": r} for r in (1, 2)])
    assert "every attribute once" in await refused(app, caps=[{"attribute": "year", "max": m} for m in (1, 2)])
    assert (await refused(app, filter="year =")).startswith("filter: character 7")
    assert (await refused(app, boosts=[{"filter": "nope = 1", "value": 0.1}])).startswith(
        "boosts.0.filter: no item has"
    )
    assert (await refused(app, context={"hour": 3})).startswith("context:")
    assert "diversity" in await refused(app, diversity=1.5)
    assert "exclude_seen" in await refused(app, exclude_seen=["stare"])


async def test_batch_answers_every_request_by_itself(app: Running) -> None:
    await app.like("ada", "item1", "e1")
    requests = [{"user_id": "ada", "k": 3}, {"user_id": "bob", "filter": "year ="}, {"user_id": "cleo", "k": 2}]
    response = await app.client.post("/v1/recommendations/batch", json={"requests": requests})
    results = response.json()["results"]
    assert [result["status"] for result in results] == [200, 422, 200]
    assert [len(results[0]["body"]["items"]), len(results[2]["body"]["items"])] == [3, 2]
    assert results[0]["body"]["user"]["status"] == "adapted"
    assert results[1]["body"]["code"] == "invalid_field"
    too_many = {"requests": [{"user_id": str(i)} for i in range(101)]}
    assert (await app.client.post("/v1/recommendations/batch", json=too_many)).status_code == 422


async def test_prefetched_slate_is_activated_once_and_for_its_own_user_only(app: Running) -> None:
    body = await app.recommend("ada", activate=False)
    name = body["recommendation_id"]
    url = f"/v1/recommendations/{name}/activate"
    assert (await app.client.post(url, json={"user_id": "bob"})).status_code == 404
    assert (await app.client.post(url)).status_code == 204
    assert (await app.client.post(url, json={"user_id": "ada"})).status_code == 204
    own = await app.recommend("ada", activate=False, recommendation_id="mine")
    assert (await app.client.post("/v1/recommendations/mine/activate")).status_code == 422
    assert (await app.client.post("/v1/recommendations/mine/activate", json={"user_id": "ada"})).status_code == 204
    replayed = await app.recommend("ada", activate=False, recommendation_id="mine")
    assert ids(replayed) == ids(own)
    await app.like(
        "ada",
        ids(own)[0],
        "e1",
        recommendation_id="mine",
    )
    await app.client.delete("/v1/users/ada")
    assert (await app.client.post(url)).status_code == 404


def test_pool_of_a_large_catalogue_holds_the_best_and_the_longest_list_that_obeys_the_caps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "FULL_CATALOGUE", 50)
    monkeypatch.setattr(candidates, "POOL", 20)
    catalogue = LiveCatalogue(synthetic_checkpoint(), range(N_ITEMS))
    values = (
        np.where(np.arange(N_ITEMS) % 4 == 0, 1.0, 0.0).astype(np.float32) + np.arange(N_ITEMS, dtype=np.float32) / 1e4
    )
    mask = np.ones(N_ITEMS, bool)
    pool = pool_of(catalogue, values, mask, [], 8)
    assert set(pool) == set(np.argsort(-values)[:20])
    capped = pool_of(catalogue, values, mask, [Cap(attribute="genres", max=2)], 8)
    assert set(pool) < set(capped)
    assert all(sum(1 for i in capped if i % 4 == genre) >= 2 for genre in range(4))
    mask[60:] = False
    mask[:20] = False
    assert len(pool_of(catalogue, values, mask, [], 8)) == 40


async def test_slate_of_a_large_catalogue_is_drawn_from_the_best_and_full_under_caps(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (candidates, __import__("service.drawing", fromlist=["drawing"])):
        monkeypatch.setattr(module, "FULL_CATALOGUE", 50)
    monkeypatch.setattr(candidates, "POOL", 20)
    engine = app.engine
    values = engine.catalogue.popularity + engine.catalogue.features @ engine.checkpoint.initialization
    best = {f"item{i}" for i in np.argsort(-values)[:20]}
    for _ in range(20):
        assert set(ids(await app.recommend("ada", k=5))) <= best
    body = await app.recommend("ada", k=12, caps=[{"attribute": "genres", "max": 3}])
    assert Counter(map(genre_of, ids(body))) == dict.fromkeys(("action", "comedy", "drama", "horror"), 3)
