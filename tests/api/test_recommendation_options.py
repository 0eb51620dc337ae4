"""The fields of a recommendation request, one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.running_service import Running
from tests.service_checkpoint import N_ITEMS

pytestmark = pytest.mark.anyio


def ids(body: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in body["items"]]


async def test_candidates_restrict_the_slate_and_unknown_ones_come_back(app: Running) -> None:
    wanted = ["item7", "item8", "item9"]
    body = await app.recommend("ada", k=10, candidates=[{"item_id": i} for i in [*wanted, "ghost", "spectre"]])
    assert sorted(ids(body)) == wanted
    assert body["ignored"] == ["ghost", "spectre"]
    assert body["items"][-1]["propensity"] == pytest.approx(1.0)


async def test_only_unknown_candidates_give_an_empty_slate(app: Running) -> None:
    body = await app.recommend("ada", candidates=[{"item_id": "ghost"}])
    assert body["items"] == []
    assert body["ignored"] == ["ghost"]
    assert body["slate_propensity"] == 1.0


async def test_excluded_items_never_appear(app: Running) -> None:
    banned = [f"item{i}" for i in range(N_ITEMS) if i % 50]
    body = await app.recommend("ada", k=10, exclude_item_ids=[*banned, "ghost"])
    assert sorted(ids(body)) == ["item0", "item100", "item150", "item50"]


async def test_seen_items_are_left_out_unless_asked_for(app: Running) -> None:
    for i in range(3):
        await app.like("ada", f"item{i}", f"e{i}")
    offered = [{"item_id": f"item{i}"} for i in range(4)]
    assert ids(await app.recommend("ada", candidates=offered)) == ["item3"]
    assert len(ids(await app.recommend("ada", candidates=offered, exclude_seen=False))) == 4


async def test_shown_items_without_feedback_may_be_shown_again(app: Running) -> None:
    offered = [{"item_id": f"item{i}"} for i in range(4)]
    for _ in range(2):
        assert len(ids(await app.recommend("ada", candidates=offered))) == 4


async def test_without_exploration_the_best_items_come_in_order(app: Running) -> None:
    body = await app.recommend("ada", k=100, exploration={"enabled": False})
    checkpoint = app.engine.checkpoint
    values = checkpoint.popularity + checkpoint.features @ checkpoint.initialization
    scores = [item["score"] for item in body["items"]]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, np.sort(values)[::-1][:100], atol=2e-6)
    assert {item["propensity"] for item in body["items"]} == {1.0}
    assert (body["slate_propensity"], body["ope_eligible"]) == (1.0, False)
    assert ids(await app.recommend("ada", k=100, exploration={"enabled": False})) == ids(body)


async def test_temperature_of_the_request_decides_the_propensities(app: Running) -> None:
    offered = [{"item_id": "item0"}, {"item_id": "item1"}]
    checkpoint = app.engine.checkpoint
    v = (checkpoint.popularity + checkpoint.features @ checkpoint.initialization)[:2].astype(np.float64)
    body = await app.recommend("ada", k=1, candidates=offered, exploration={"temperature": 0.5})
    chosen = int(body["items"][0]["item_id"][-1])
    expected = np.exp(v[chosen] / 0.5) / np.exp(v / 0.5).sum()
    assert body["items"][0]["propensity"] == pytest.approx(expected, rel=1e-5)


async def test_k_beyond_the_catalogue_gives_what_there_is(app: Running) -> None:
    body = await app.recommend("ada", k=100, exclude_item_ids=[f"item{i}" for i in range(120)])
    assert len(body["items"]) == 80
    assert len(set(ids(body))) == 80


async def test_explain_adds_attributes_and_reasons_that_add_up_to_the_score(app: Running) -> None:
    for i in range(4):
        await app.like("ada", f"item{4 * i}", f"e{i}")
    body = await app.recommend("ada", explain=True)
    for item in body["items"]:
        number = int(item["item_id"][4:])
        assert item["attributes"]["title"] == f"Title {number} (ü)"
        parts = {reason["kind"]: reason["contribution"] for reason in item["reasons"]}
        assert parts["population"] + parts["adaptation"] == pytest.approx(item["score"], abs=3e-6)
        named = [reason["item_id"] for reason in item["reasons"] if reason["kind"] == "transition"]
        assert len(named) == 3
        assert set(named) <= {"item0", "item4", "item8", "item12"}
    plain = await app.recommend("ada")
    assert set(plain["items"][0]) == {"item_id", "rank", "score", "propensity"}


async def test_attributes_of_the_request_move_the_starting_point_of_this_request_only(app: Running) -> None:
    greedy = {"exploration": {"enabled": False}, "k": 5}
    plain = await app.recommend("ada", **greedy)
    female = await app.recommend("ada", user_attributes={"gender": "F", "age": 30}, **greedy)
    assert ids(plain) != ids(female)
    assert ids(await app.recommend("ada", **greedy)) == ids(plain)
    response = await app.client.post("/v1/recommendations", json={"user_id": "ada", "user_attributes": {"shoe": 43}})
    assert response.status_code == 422
    assert "user_attributes" in response.json()["detail"]


async def test_same_recommendation_id_and_request_give_the_same_slate_byte_for_byte(app: Running) -> None:
    request = {"user_id": "ada", "k": 5, "recommendation_id": "mine/1 🎬"}
    first = await app.client.post("/v1/recommendations", json=request)
    await app.like("ada", first.json()["items"][0]["item_id"], "e1", recommendation_id="mine/1 🎬")
    again = await app.client.post("/v1/recommendations", json=request)
    assert again.status_code == 200
    assert again.content == first.content


async def test_same_recommendation_id_twenty_times_at_once_is_one_slate(app: Running) -> None:
    request = {"user_id": "ada", "k": 5, "recommendation_id": "mine"}
    answers = await asyncio.gather(*(app.client.post("/v1/recommendations", json=request) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


async def test_recommendation_id_of_another_request_is_a_conflict(app: Running) -> None:
    await app.recommend("ada", k=5, recommendation_id="mine")
    response = await app.client.post(
        "/v1/recommendations", json={"user_id": "ada", "k": 6, "recommendation_id": "mine"}
    )
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    # Another user's id is another name space.
    assert len((await app.recommend("bob", k=6, recommendation_id="mine"))["items"]) == 6
