"""What can be done with a user: patch, warm-up, reset, merge, export, explain; and what nothing counts as."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_rec.adaptation import adapt_user
from service.adapter import support_of
from service.draft import Draft
from service.settings import Settings
from service.store.codec import SETTLED, Impression, UserState
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio


def history(*items: str, age_days: int = 400, kind: str = "like") -> dict[str, Any]:
    start = datetime.now(UTC) - timedelta(days=age_days)
    times = [(start + timedelta(hours=index)).isoformat() for index in range(len(items))]
    return {
        "events": [
            {"event_id": f"h-{item}", "type": kind, "item_id": item, "timestamp": time}
            for item, time in zip(items, times, strict=True)
        ]
    }


async def state_of(app: Running, user: str) -> UserState:
    return app.engine.decode((await app.engine.users.read(UserKeys.of("default", user))).state)


async def test_patch_changes_what_it_names(app: Running) -> None:
    await app.client.put("/v1/users/ada", json={"attributes": {"age": 30, "gender": "F"}})
    body = (await app.client.patch("/v1/users/ada", json={"attributes": {"age": 50, "gender": None}})).json()
    assert body["attributes"] == {"age": 50}
    assert (await app.client.patch("/v1/users/bob", json={"attributes": {"age": 3}})).status_code == 404
    refused = await app.client.patch("/v1/users/ada", json={"attributes": {"shoe": 3}})
    assert (refused.status_code, "shoe" in refused.json()["detail"]) == (422, False)
    assert (await app.user("ada"))["attributes"] == {"age": 50}


async def test_warm_up_makes_a_user_personal_at_once_and_counts_once(app: Running) -> None:
    told = history(*(f"item{4 * i}" for i in range(8)))
    for applied, duplicates in ((8, 0), (0, 8)):
        response = await app.client.post("/v1/users/ada/warm-up", json=told)
        assert response.status_code == 200, response.text
        body = response.json()
        assert (body["applied"], body["duplicates"], body["rejected"]) == (applied, duplicates, [])
    user = await app.user("ada")
    assert (user["status"], user["transitions"]) == ("adapted", 8)
    shown = await app.recommend("ada", k=20, exploration={"enabled": False})
    cold = await app.recommend("bob", k=20, exploration={"enabled": False})
    action = [sum(int(i["item_id"][4:]) % 4 == 0 for i in body["items"]) for body in (shown, cold)]
    assert action[0] > action[1]
    assert not {i["item_id"] for i in shown["items"]} & {f"item{4 * i}" for i in range(8)}
    mixed = {"events": [*history("item1")["events"], *history("ghost")["events"]]}
    body = (await app.client.post("/v1/users/ada/warm-up", json=mixed)).json()
    assert (body["applied"], body["rejected"]) == (1, [{"index": 1, "code": "unknown_item"}])
    future = history("item2", age_days=-2)
    assert (await app.client.post("/v1/users/ada/warm-up", json=future)).json()["rejected"][0]["code"] == "future"


async def test_warm_up_of_more_than_the_buffer_keeps_the_newest_and_may_be_told_again(app: Running) -> None:
    told = history(*(f"item{i}" for i in range(100)))
    for _ in range(2):
        await app.client.post("/v1/users/ada/warm-up", json=told)
    state = await state_of(app, "ada")
    catalogue = app.engine.catalogue
    assert [catalogue.item_id(int(n)) for n in state.transitions["item"]] == [f"item{i}" for i in range(36, 100)]
    assert len(state.seen) == 100


async def test_history_does_not_displace_what_happened_since(app: Running) -> None:
    await app.like("ada", "item5", "now")
    await app.client.post("/v1/users/ada/warm-up", json=history("item5", kind="dislike"))
    state = await state_of(app, "ada")
    assert state.transitions["reward"].tolist() == [1.0]


async def test_reset_forgets_everything_learned_and_what_was_in_flight(app: Running) -> None:
    await app.client.put("/v1/users/ada", json={"attributes": {"age": 30}})
    slate = await app.recommend("ada")
    await app.like("ada", "item1", "e1")
    body = (await app.client.post("/v1/users/ada/reset")).json()
    assert (body["status"], body["transitions"], body["attributes"]) == ("cold", 0, {"age": 30})
    late = await app.post_feedback(
        event_id="e2", user_id="ada", item_id=slate["items"][0]["item_id"], type="like",
        recommendation_id=slate["recommendation_id"],
    )  # fmt: skip
    assert (late.status_code, late.json()["code"]) == (404, "unknown_impression")
    # The same event may be told again to the new life.
    await app.like("ada", "item1", "e1")
    assert (await app.user("ada"))["transitions"] == 1
    body = (await app.client.post("/v1/users/ada/reset", json={"attributes": True})).json()
    assert body["attributes"] == {}
    assert (await app.client.post("/v1/users/nobody/reset")).status_code == 404


async def test_merge_moves_an_anonymous_session_into_a_login_once(app: Running) -> None:
    await app.client.put("/v1/users/ada", json={"attributes": {"gender": "F"}})
    await app.client.put("/v1/users/session", json={"attributes": {"gender": "M", "age": 30}})
    await app.like("ada", "item1", "a1")
    slate = await app.recommend("session")
    first = slate["items"][0]["item_id"]
    await app.like("session", first, "s1", recommendation_id=slate["recommendation_id"])
    await app.like("session", "item8", "s2")
    body = (await app.client.post("/v1/users/ada/merge", json={"source_user_id": "session"})).json()
    assert (body["transitions"], body["attributes"]) == (3, {"gender": "F", "age": 30})
    assert (await app.client.get("/v1/users/session")).status_code == 404
    itself = await app.client.post("/v1/users/ada/merge", json={"source_user_id": "ada"})
    assert itself.status_code == 422
    offered = await app.recommend("ada", k=100)
    assert not {first, "item8", "item1"} & {item["item_id"] for item in offered["items"]}


async def test_merge_whose_answer_was_lost_answers_again_and_moves_nothing_twice(app: Running) -> None:
    async def merge(target: str, source: str) -> tuple[int, dict[str, Any]]:
        response = await app.client.post(f"/v1/users/{target}/merge", json={"source_user_id": source})
        return response.status_code, response.json()

    await app.like("ada", "item1", "a1")
    await app.like("session", "item8", "s1")
    first = await merge("ada", "session")
    assert first[0] == 200
    assert await merge("ada", "session") == first
    await app.like("ada", "item12", "a2")
    assert (await merge("ada", "session"))[1]["transitions"] == 3
    for target, source in (("bob", "session"), ("session", "ada2"), ("ada", "nobody"), ("session", "session2")):
        status, problem = await merge(target, source)
        assert (status, problem["code"]) == (404, "unknown_user")
    # The session begins anew: that is another merge, wherever it goes.
    await app.like("session", "item16", "s2")
    assert (await merge("bob", "session"))[1]["transitions"] == 1
    assert (await merge("ada", "session"))[0] == 404
    assert (await merge("bob", "session"))[1]["transitions"] == 1
    await app.client.delete("/v1/users/bob")
    assert (await merge("bob", "session"))[0] == 404
    # Deleted by itself, it was merged nowhere.
    await app.like("session", "item16", "s3")
    assert (await merge("ada", "session"))[0] == 200
    await app.client.delete("/v1/users/session")
    assert (await merge("ada", "session"))[0] == 404


async def test_merges_at_once_on_two_replicas_all_answer_and_move_once(
    app: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    async with running(
        checkpoint_dir, tmp_path / "second", redis_url=f"unix://{tmp_path}/service/redis/redis.sock"
    ) as second:
        await app.like("ada", "item1", "a1")
        await app.like("session", "item8", "s1")
        calls = [
            each.client.post("/v1/users/ada/merge", json={"source_user_id": "session"})
            for each in (app, second)
            for _ in range(5)
        ]
        answers = await asyncio.gather(*calls)
        assert [(answer.status_code, answer.json()["transitions"]) for answer in answers] == [(200, 2)] * 10
        assert app.metric("metarl_user_erasures_total") + second.metric("metarl_user_erasures_total") == 1


async def test_merge_that_stopped_before_the_source_was_erased_is_finished_by_the_same_call(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.like("ada", "item1", "a1")
    await app.like("session", "item8", "s1")
    source = (await app.engine.users.read(UserKeys.of("default", "session"))).state
    assert (await app.client.post("/v1/users/ada/merge", json={"source_user_id": "session"})).status_code == 200
    # As if the process had died in between: the source is still there.
    assert source is not None
    await app.engine.redis.client.set(UserKeys.of("default", "session").state, source)
    body = (await app.client.post("/v1/users/ada/merge", json={"source_user_id": "session"})).json()
    assert body["transitions"] == 2
    assert (await app.client.get("/v1/users/session")).status_code == 404


async def test_merge_whose_last_write_was_not_confirmed_is_a_503_and_the_same_call_then_answers(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.like("session", "item8", "s1")
    original = app.engine.users.erase

    async def erase(*given: Any) -> bool:
        await original(*given)
        raise StoreUnavailable("timeout")

    body = {"source_user_id": "session"}
    with monkeypatch.context() as patched:
        patched.setattr(app.engine.users, "erase", erase)
        assert (await app.client.post("/v1/users/ada/merge", json=body)).status_code == 503
    answer = await app.client.post("/v1/users/ada/merge", json=body)
    assert (answer.status_code, answer.json()["transitions"]) == (200, 1)
    assert (await app.client.get("/v1/users/session")).status_code == 404


async def test_export_holds_everything_and_nothing_after_deletion(app: Running) -> None:
    await app.client.put("/v1/users/ada", json={"attributes": {"age": 30}})
    slate = await app.recommend("ada", k=3)
    shown = [item["item_id"] for item in slate["items"]]
    await app.like("ada", shown[1], "e1", recommendation_id=slate["recommendation_id"])
    await app.like("ada", "item8", "e2")
    response = await app.client.get("/v1/users/ada/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["user", "transition", "transition", "seen", "seen", "slate"]
    assert lines[0]["attributes"] == {"age": 30}
    first, second = lines[1:3]
    assert (first["item_id"], first["rank"], first["propensity"]) == (
        shown[1], 2, pytest.approx(slate["items"][1]["propensity"], rel=1e-5),
    )  # fmt: skip
    assert (second["item_id"], second["slate"], second["answered"]) == ("item8", None, True)
    assert {line["item_id"]: line["types"] for line in lines[3:5]} == {shown[1]: ["like"], "item8": ["like"]}
    assert lines[5]["items"] == shown
    await app.client.delete("/v1/users/ada")
    assert (await app.client.get("/v1/users/ada/export")).status_code == 404
    assert [key async for key in app.engine.redis.client.scan_iter("*:i:*")] == []


async def test_explain_leave_one_out_is_a_fresh_adaptation_without_the_transition(app: Running) -> None:
    for i in range(4):
        await app.like("ada", f"item{4 * i}", f"e{i}")
    body = (await app.client.get("/v1/users/ada/explain", params={"k": 5})).json()
    assert [item["rank"] for item in body["items"]] == [1, 2, 3, 4, 5]
    engine = app.engine
    state = await state_of(app, "ada")
    start = engine.checkpoint.initialization

    def weights(part: UserState) -> Any:
        support = support_of(part, engine.catalogue, engine.checkpoint.inner.organic_weight)
        catalogue, inner = engine.catalogue, engine.checkpoint.inner
        return adapt_user(catalogue.features, catalogue.popularity, start, support, inner).weights

    numbers = [engine.catalogue.number(item["item_id"]) for item in body["items"]]
    rows = engine.catalogue.features[numbers]
    for told in body["transitions"]:
        index = [engine.catalogue.item_id(int(n)) for n in state.transitions["item"]].index(told["item_id"])
        without = replace(state, transitions=np.delete(state.transitions, index))
        np.testing.assert_allclose(told["effects"], rows @ (weights(state) - weights(without)), atol=2e-6)
    assert (await app.client.get("/v1/users/nobody/explain")).status_code == 404
    assert (await app.client.get("/v1/users/ada/explain", params={"k": 0})).status_code == 422


async def test_what_got_nothing_counts_once_after_the_window_and_lets_evidence_stay(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    async with running(checkpoint_dir, tmp_path, impression_ttl_s=1, buffer_size=12) as app:
        slate = await app.recommend("ada", k=10)
        shown = [item["item_id"] for item in slate["items"]]
        await app.like("ada", shown[2], "e1", recommendation_id=slate["recommendation_id"])
        assert (await app.user("ada"))["transitions"] == 1
        prefetched = await app.recommend("ada", k=5, activate=False)
        await asyncio.sleep(2.1)
        await asyncio.gather(*(app.recommend("ada", k=1) for _ in range(8)), *(app.user("ada") for _ in range(4)))
        state = await state_of(app, "ada")
        rows = {app.engine.catalogue.item_id(int(r["item"])): r for r in state.transitions}
        assert set(rows) == set(shown)
        assert {item: float(row["reward"]) for item, row in rows.items()} == {i: float(i == shown[2]) for i in shown}
        assert [item for item, row in rows.items() if not row["flags"] & SETTLED] == [shown[2]]
        assert app.metric("metarl_settled_positions_total") == 9
        late = await app.post_feedback(
            event_id="e2", user_id="ada", item_id=shown[3], type="like", recommendation_id=slate["recommendation_id"]
        )
        assert (late.status_code, late.json()["code"]) == (409, "expired")
        assert not set(rows) & {i["item_id"] for i in prefetched["items"]} - set(shown)
        for i in range(11):
            await app.like("ada", f"item{190 - i}", f"x{i}")
        answered = (await state_of(app, "ada")).transitions
        assert len(answered) == 12
        assert not (answered["flags"] & SETTLED).any()


async def test_without_a_default_reward_nothing_settles(checkpoint_dir: Path, tmp_path: Path) -> None:
    async with running(checkpoint_dir, tmp_path, impression_ttl_s=1, default_reward=None) as app:
        await app.recommend("ada", k=10)
        await asyncio.sleep(2.1)
        await app.like("ada", "item1", "e1")
        assert (await app.user("ada"))["transitions"] == 1


REWARDS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(REWARDS, st.sampled_from(["last", "first", "max", "sum"]), st.booleans())
def test_several_events_on_one_shown_item_aggregate_as_set(rewards: list[float], kind: str, in_slate: bool) -> None:
    given_settings = Settings(checkpoint_dir=Path("c"), data_dir=Path("d"), reward_aggregation=kind)
    draft = Draft(UserState(), given_settings, 100)
    slate = Impression(bytes(8), bytes(16), 0, True, 200, (7, 9), (-1.0, -2.0), b"")
    for index, reward in enumerate(rewards):
        draft.learn(bytes([index]) * 16, 9, reward, "r" if in_slate else None, slate if in_slate else None)
    (found,) = draft.state().transitions["reward"].tolist()
    assert found == {"last": rewards[-1], "first": rewards[0], "max": max(rewards), "sum": min(1.0, sum(rewards))}[kind]


async def test_a_thousand_events_of_history_fit_into_one_call(app: Running) -> None:
    told = [
        {"event_id": f"{'long-' * 12}{at}", "type": "rating", "item_id": f"item{at % 200}", "value": at % 5 + 1}
        for at in range(1000)
    ]
    response = await app.client.post("/v1/users/ada/warm-up", json={"events": told})
    assert (response.status_code, response.json()["applied"]) == (200, 1000), response.text[:200]


async def test_warm_up_that_applies_nothing_makes_no_user(app: Running) -> None:
    body = (await app.client.post("/v1/users/ada/warm-up", json=history("ghost"))).json()
    assert (body["applied"], len(body["rejected"])) == (0, 1)
    assert (await app.client.get("/v1/users/ada")).status_code == 404


async def test_merge_takes_along_what_was_told_of_the_source_meanwhile(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.like("session", "item8", "s1")
    original, told = app.engine.users.commit, list[str]()

    async def commit(*given: Any) -> bool:
        written = await original(*given)
        if not told:
            told.append("s2")
            await app.like("session", "item12", "s2")
        return written

    monkeypatch.setattr(app.engine.users, "commit", commit)
    body = (await app.client.post("/v1/users/ada/merge", json={"source_user_id": "session"})).json()
    assert body["transitions"] == 2
    assert (await app.client.get("/v1/users/session")).status_code == 404
