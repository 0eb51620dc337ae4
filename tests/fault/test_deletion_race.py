"""A deletion by another replica in the middle of a request wins: nothing of the user's former life comes back."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from service.store.codec import UserState, encode_state
from service.store.keys import UserKeys
from tests.running_service import Running

pytestmark = pytest.mark.anyio

ADA = UserKeys.of("default", "ada")


async def erase(app: Running) -> None:
    """Deletes ada as another process would: without this process's lock."""
    await app.engine.users.erase(ADA, encode_state(UserState(life=secrets.token_bytes(8), tombstone=True)))


def before_first(app: Running, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets the deletion happen just before the first call of a store method; returns a list that counts the calls."""
    original, calls = getattr(app.engine.users, name), list[int]()

    async def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            await erase(app)
        return await original(*args, **kwargs)

    monkeypatch.setattr(app.engine.users, name, call)
    return calls


async def test_feedback_that_was_adapting_while_the_user_was_deleted_is_refused(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.like("ada", "item1", "e1")
    before_first(app, "commit", monkeypatch)
    response = await app.post_feedback(event_id="e2", user_id="ada", item_id="item2", type="like")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_user")
    assert (await app.client.get("/v1/users/ada")).status_code == 404
    assert (await app.recommend("ada"))["user"] == {"status": "cold", "transitions": 0, "adapted_at": None}
    # A new life begins with what comes after the deletion.
    assert (await app.like("ada", "item2", "e3"))["users"][0]["transitions"] == 1


async def test_slate_that_was_drawn_while_the_user_was_deleted_is_drawn_again_without_the_user(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        await app.like("ada", f"item{4 * i}", f"e{i}")
    calls = before_first(app, "put_impression", monkeypatch)
    body = await app.recommend("ada")
    assert len(calls) == 2
    assert body["user"]["status"] == "cold"
    assert "degraded" not in body
    # The only impression left is the new life's, and feedback on it counts.
    assert await app.engine.redis.client.zcard(ADA.impressions) == 1
    item = body["items"][0]["item_id"]
    await app.like("ada", item, "e9", recommendation_id=body["recommendation_id"])


async def test_recommendation_never_fails_though_the_user_is_deleted_again_and_again(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.like("ada", "item1", "e1")
    original = app.engine.users.put_impression

    async def call(*args: Any, **kwargs: Any) -> Any:
        await erase(app)
        return await original(*args, **kwargs)

    monkeypatch.setattr(app.engine.users, "put_impression", call)
    body = await app.recommend("ada", k=5)
    assert len(body["items"]) == 5
    assert body["degraded"] == "impression"
    assert body["ope_eligible"] is False
    assert app.metric("metarl_degraded_total", reason="impression") == 1


@pytest.mark.parametrize("damage", ["flipped", "cut", "foreign"])
async def test_damaged_state_is_answered_by_the_meta_policy_and_says_so(app: Running, damage: str) -> None:
    await app.like("ada", "item1", "e1")
    redis = app.engine.redis.client
    data = await redis.get(ADA.state)
    flipped = bytes([*data[:40], data[40] ^ 1, *data[41:]])
    await redis.set(ADA.state, {"flipped": flipped, "cut": data[:-3], "foreign": b"\x80\x04pickle" * 20}[damage])
    response = await app.client.post("/v1/recommendations", json={"user_id": "ada", "k": 3})
    assert response.headers["x-policy"] == "meta"
    assert response.json()["degraded"] == "state"
    assert app.metric("metarl_degraded_total", reason="state") == 1
    cause = "foreign" if damage == "foreign" else "checksum"
    assert app.metric("metarl_state_resets_total", cause=cause) == 1
    shown = response.json()["items"][0]["item_id"]
    answer = await app.like("ada", shown, "e2", recommendation_id=response.json()["recommendation_id"])
    assert answer["users"] == [{"user_id": "ada", "status": "adapted", "transitions": 1}]
    assert "degraded" not in await app.recommend("ada")
