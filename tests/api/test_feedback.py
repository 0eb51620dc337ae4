"""Feedback: counts exactly once, is refused by code, and reaches the next slate."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.store.keys import UserKeys
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_one_event_answers_what_became_of_it(app: Running) -> None:
    assert await app.like("ada", "item3", "e1") == {
        "applied": 1,
        "duplicates": 0,
        "rejected": [],
        "users": [{"user_id": "ada", "status": "adapted", "transitions": 1}],
    }
    assert (await app.user("ada"))["transitions"] == 1
    assert app.metric("metarl_feedback_events_total", type="like", outcome="applied") == 1


async def test_same_event_again_is_a_duplicate_and_changes_nothing(app: Running) -> None:
    await app.like("ada", "item3", "e1")
    before = await app.user("ada")
    again = await app.like("ada", "item3", "e1")
    assert (again["applied"], again["duplicates"], again["rejected"]) == (0, 1, [])
    assert await app.user("ada") == before


async def test_same_event_id_fifty_times_at_once_counts_once(app: Running) -> None:
    answers = await asyncio.gather(*(app.like("ada", "item3", "e1") for _ in range(50)))
    assert sum(answer["applied"] for answer in answers) == 1
    assert sum(answer["duplicates"] for answer in answers) == 49
    assert (await app.user("ada"))["transitions"] == 1


async def test_same_event_id_with_other_content_is_a_conflict(app: Running) -> None:
    await app.like("ada", "item3", "e1")
    before = await app.user("ada")
    for change in ({"item_id": "item4"}, {"type": "dislike"}, {"timestamp": at(0)}):
        event = {"event_id": "e1", "user_id": "ada", "item_id": "item3", "type": "like", **change}
        response = await app.post_feedback(**event)
        assert (response.status_code, response.json()["code"]) == (422, "conflict")
    assert await app.user("ada") == before


async def test_same_event_id_of_another_user_is_another_event(app: Running) -> None:
    await app.like("ada", "item3", "e1")
    assert (await app.like("bob", "item3", "e1"))["applied"] == 1


async def test_64_feedbacks_for_one_user_at_once_all_count(app: Running) -> None:
    answers = await asyncio.gather(*(app.like("ada", f"item{i}", f"e{i}") for i in range(64)))
    assert all(answer["applied"] == 1 for answer in answers)
    assert sorted(answer["users"][0]["transitions"] for answer in answers) == list(range(1, 65))
    assert (await app.user("ada"))["transitions"] == 64


async def test_feedback_of_two_processes_on_one_redis_all_counts(
    app: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/service/redis/redis.sock"
    async with running(checkpoint_dir, tmp_path / "second", redis_url=url) as second:
        both = (app, second)
        await asyncio.gather(*(both[i % 2].like("ada", f"item{i}", f"e{i}") for i in range(40)))
        assert (await app.user("ada"))["transitions"] == 40
        assert await app.user("ada") == await second.user("ada")


async def test_reaction_to_a_shown_item_replaces_the_earlier_one(app: Running) -> None:
    slate = await app.recommend("ada", k=3)
    shown = {"item_id": slate["items"][0]["item_id"], "recommendation_id": slate["recommendation_id"]}
    await app.post_feedback(event_id="click", user_id="ada", type="click", **shown)
    after_click = await app.user("ada")
    await app.post_feedback(event_id="dislike", user_id="ada", type="dislike", **shown)
    after_dislike = await app.user("ada")
    assert after_click["transitions"] == after_dislike["transitions"] == 1
    assert after_click["weights_digest"] != after_dislike["weights_digest"]


async def test_recommendation_id_of_the_service_stands_for_its_user(app: Running) -> None:
    slate = await app.recommend("ada")
    response = await app.post_feedback(
        event_id="e1",
        item_id=slate["items"][2]["item_id"],
        type="like",
        recommendation_id=slate["recommendation_id"],
    )
    assert response.status_code == 200
    assert (await app.user("ada"))["transitions"] == 1


@pytest.mark.parametrize("kind", ["impression", "dwell", "custom"])
async def test_event_that_teaches_nothing_is_accepted_and_makes_no_transition(app: Running, kind: str) -> None:
    response = await app.post_feedback(event_id="e1", user_id="ada", item_id="item3", type=kind)
    assert response.status_code == 200
    assert response.json()["users"] == [{"user_id": "ada", "status": "cold", "transitions": 0}]


@pytest.mark.parametrize(("value", "likes"), [(5, True), (4.0, True), (3.9, False), (-3, False)])
async def test_rating_counts_as_like_from_the_threshold_on(app: Running, value: float, likes: bool) -> None:
    response = await app.post_feedback(event_id="e1", user_id="ada", item_id="item3", type="rating", value=value)
    assert response.status_code == 200
    kind = "like" if likes else "dislike"
    await app.post_feedback(event_id="e1", user_id="bob", item_id="item3", type=kind)
    assert (await app.user("ada"))["weights_digest"] == (await app.user("bob"))["weights_digest"]


async def refusals(app: Running) -> list[tuple[dict[str, object], int, str]]:
    """Returns events of every kind that must be refused, with status and code."""
    slate = await app.recommend("ada", k=2)
    shown = {item["item_id"] for item in slate["items"]}
    mine, others = slate["recommendation_id"], (await app.recommend("bob", k=2))
    outside = next(f"item{i}" for i in range(200) if f"item{i}" not in shown)
    inside = slate["items"][0]["item_id"]
    base = {"user_id": "ada", "type": "like", "item_id": inside}
    return [
        ({**base, "event_id": "r1", "recommendation_id": "never-made"}, 404, "unknown_impression"),
        ({**base, "event_id": "r2", "recommendation_id": mine[:-1] + "x"}, 404, "unknown_impression"),
        (
            {**base, "event_id": "r3", "recommendation_id": others["recommendation_id"]},
            404,
            "unknown_impression",
        ),
        ({**base, "event_id": "r4", "item_id": "no such item"}, 404, "unknown_item"),
        (
            {**base, "event_id": "r5", "recommendation_id": mine, "item_id": "no such item"},
            404,
            "unknown_item",
        ),
        ({**base, "event_id": "r6", "recommendation_id": mine, "item_id": outside}, 422, "not_in_slate"),
        ({**base, "event_id": "r7", "timestamp": at(3600)}, 422, "future"),
        ({**base, "event_id": "r8", "timestamp": at(-2 * 86400)}, 409, "late"),
        (
            {"type": "like", "item_id": inside, "event_id": "r9", "recommendation_id": "anonymous"},
            404,
            "unknown_impression",
        ),
    ]


async def test_single_event_that_must_not_count_is_refused_by_code(app: Running) -> None:
    for event, status, code in await refusals(app):
        response = await app.post_feedback(**event)
        assert (response.status_code, response.json()["code"]) == (status, code), event
        assert response.headers["content-type"] == "application/problem+json"
    assert (await app.client.get("/v1/users/ada")).status_code == 404


async def test_batch_applies_what_is_good_and_rejects_the_rest_by_index(app: Running) -> None:
    bad = await refusals(app)
    good = [{"event_id": f"g{i}", "user_id": "ada", "item_id": f"item{i}", "type": "like"} for i in range(5)]
    events = [event for pair in zip(good, [event for event, _, _ in bad], strict=False) for event in pair]
    events += [event for event, _, _ in bad][5:]
    events += [good[0], {**good[1], "type": "dislike"}]
    response = await app.client.post("/v1/feedback", json={"events": events})
    assert response.status_code == 200
    body = response.json()
    assert (body["applied"], body["duplicates"]) == (5, 1)
    codes = {event["event_id"]: code for event, _, code in bad}
    expected = [
        {"index": index, "code": codes.get(str(event["event_id"]), "conflict")}
        for index, event in enumerate(events)
        if event["event_id"] in codes or index == len(events) - 1
    ]
    assert body["rejected"] == expected
    assert (await app.user("ada"))["transitions"] == 5


async def test_batch_over_many_users_adapts_each(app: Running) -> None:
    events = [
        {"event_id": f"e{i}", "user_id": f"user {i % 7}", "item_id": f"item{i}", "type": "like"} for i in range(70)
    ]
    response = await app.client.post("/v1/feedback", json={"events": events})
    assert response.json()["applied"] == 70
    assert {user["user_id"]: user["transitions"] for user in response.json()["users"]} == {
        f"user {i}": 10 for i in range(7)
    }


async def test_malformed_event_in_a_batch_applies_nothing(app: Running) -> None:
    good = {"event_id": "g", "user_id": "ada", "item_id": "item1", "type": "like"}
    response = await app.client.post("/v1/feedback", json={"events": [good, {**good, "type": "adore"}]})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("events.1.type: ")
    assert (await app.client.get("/v1/users/ada")).status_code == 404


async def test_feedback_on_an_expired_recommendation_is_refused(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path, impression_ttl_s=1) as app:
        slate = await app.recommend("ada")
        await asyncio.sleep(2.1)
        response = await app.post_feedback(
            event_id="e1",
            user_id="ada",
            item_id=slate["items"][0]["item_id"],
            type="like",
            recommendation_id=slate["recommendation_id"],
        )
        assert response.status_code in (404, 409)
        assert response.json()["code"] in ("unknown_impression", "expired")


async def test_buffer_keeps_the_newest_transitions(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path, buffer_size=8, max_seen=16) as app:
        for i in range(30):
            slate = await app.recommend("ada", k=2)
            await app.like("ada", slate["items"][1]["item_id"], f"e{i}", recommendation_id=slate["recommendation_id"])
        assert (await app.user("ada"))["transitions"] == 8
        state = app.engine.decode((await app.engine.users.read(UserKeys.of("default", "ada"))).state)
        assert (len(state.seen), state.seen_dropped, len(state.slates)) == (16, 14, 8)


async def test_repeat_of_an_event_that_left_the_window_is_refused_as_late(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path / "service", event_window_size=64, buffer_size=256) as app:
        start = datetime.now(UTC) - timedelta(hours=1)
        events = [
            {
                "event_id": f"e{i}",
                "user_id": "ada",
                "item_id": f"item{i}",
                "type": "like",
                "timestamp": (start + timedelta(milliseconds=i)).isoformat(),
            }
            for i in range(100)
        ]
        assert (await app.client.post("/v1/feedback", json={"events": events})).json()["applied"] == 100
        again = (await app.client.post("/v1/feedback", json={"events": events})).json()
        assert (again["applied"], again["duplicates"]) == (0, 64)
        assert again["rejected"] == [{"index": i, "code": "late"} for i in range(36)]
        assert (await app.user("ada"))["transitions"] == 100
