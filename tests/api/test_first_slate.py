"""What a slate is drawn from: the meta-policy, then the personal one, with the propensities that it states."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np
import pytest

from metarl_rec.adaptation import adapt_user
from metarl_rec.kernels import score_items
from metarl_rec.slates import slate_log_propensities
from service.adapter import support_of
from service.recommender import Answer, recommend
from service.schemas import RecommendationRequest
from service.store.codec import UserState, decode_state
from service.store.keys import UserKeys
from tests.running_service import Running
from tests.service_checkpoint import GENRES, genre_of

pytestmark = pytest.mark.anyio


async def stored_state(app: Running, user_id: str) -> UserState:
    snapshot = await app.engine.users.read(UserKeys.of("default", user_id))
    assert snapshot.state is not None
    return decode_state(snapshot.state)


def values_of(app: Running, weights: np.ndarray) -> np.ndarray:
    catalogue = app.engine.catalogue
    values = np.empty(len(catalogue.popularity), np.float32)
    score_items(catalogue.features, catalogue.popularity, weights, values)
    return values


async def test_first_slate_of_a_new_user_is_the_meta_policys(app: Running) -> None:
    body = await app.recommend("ada", k=10)
    checkpoint, catalogue = app.engine.checkpoint, app.engine.catalogue
    items = np.array([catalogue.number(item["item_id"]) for item in body["items"]], np.int32)
    expected = checkpoint.popularity + checkpoint.features @ checkpoint.initialization
    np.testing.assert_allclose([item["score"] for item in body["items"]], expected[items], atol=2e-6)
    values = values_of(app, checkpoint.initialization)
    logs = slate_log_propensities(values, catalogue.available, checkpoint.inner.temperature, items)
    np.testing.assert_allclose([item["propensity"] for item in body["items"]], np.exp(logs), rtol=1e-9)
    assert body["slate_propensity"] == pytest.approx(np.exp(logs.sum()), rel=1e-9)
    assert [item["rank"] for item in body["items"]] == list(range(1, 11))
    assert body["user"] == {"status": "cold", "transitions": 0, "adapted_at": None}
    assert body["ope_eligible"] is True
    assert "degraded" not in body


async def gather(app: Running, request: RecommendationRequest, count: int) -> list[Answer]:
    return await asyncio.gather(*(recommend(app.engine, request) for _ in range(count)))


async def check_frequencies(app: Running, user_id: str, draws: int = 20_000) -> None:
    """First positions, and second ones given the first, agree with their propensities within 4 standard errors."""
    first: Counter[str] = Counter()
    second: Counter[tuple[str, str]] = Counter()
    given: dict[tuple[str, ...], float] = {}
    request = RecommendationRequest(user_id=user_id, k=2)
    standing_state = await stored_state(app, user_id) if user_id != "new" else None
    standing = app.engine.standing(standing_state) if standing_state is not None else None
    weights = app.engine.checkpoint.initialization if standing is None else standing.weights
    mask = app.engine.catalogue.available.copy()
    if standing_state is not None:
        mask[standing_state.seen] = False
    values = values_of(app, weights).astype(np.float64)
    mass = np.where(mask, np.exp((values - values[mask].max()) / app.engine.checkpoint.inner.temperature), 0)
    expected = mass / mass.sum()
    # Twenty thousand synced writes would measure the disk; durability is tested elsewhere.
    await app.engine.redis.client.config_set("appendfsync", "no")
    answers = [answer for _ in range(draws // 50) for answer in await gather(app, request, 50)]
    for answer in answers:
        body = json.loads(answer.body)
        a, b = body["items"]
        first[a["item_id"]] += 1
        second[a["item_id"], b["item_id"]] += 1
        given[a["item_id"],] = a["propensity"]
        given[a["item_id"], b["item_id"]] = b["propensity"]
    for item, count in first.items():
        p = given[item,]
        assert p == pytest.approx(expected[app.engine.catalogue.number(item)], rel=1e-5)
        assert abs(count - draws * p) <= 4 * np.sqrt(draws * p * (1 - p)) + 1
    a = first.most_common(1)[0][0]
    pairs = {b: count for (head, b), count in second.items() if head == a}
    for b, count in pairs.items():
        p = given[a, b]
        assert abs(count - first[a] * p) <= 4 * np.sqrt(first[a] * p * (1 - p)) + 1


async def test_frequencies_of_a_new_users_draws_agree_with_propensities(app: Running) -> None:
    await check_frequencies(app, "new")


async def test_frequencies_of_an_adapted_users_draws_agree_with_propensities(app: Running) -> None:
    for i in range(3):
        slate = await app.recommend("ada", k=3)
        await app.like("ada", slate["items"][0]["item_id"], f"e{i}", recommendation_id=slate["recommendation_id"])
        await app.post_feedback(
            event_id=f"d{i}",
            user_id="ada",
            item_id=slate["items"][1]["item_id"],
            type="dislike",
            recommendation_id=slate["recommendation_id"],
        )
    await check_frequencies(app, "ada")


@pytest.mark.parametrize("genre", GENRES)
async def test_three_likes_in_one_genre_raise_its_share(app: Running, genre: str) -> None:
    async def shares() -> np.ndarray:
        slates = [await app.recommend("ada", k=5) for _ in range(200)]
        return np.array([np.mean([genre_of(i["item_id"]) == genre for i in slate["items"]]) for slate in slates])

    before = await shares()
    wanted = [item for item in (f"item{i}" for i in range(200)) if genre_of(item) == genre][:3]
    for item in wanted:
        answer = await app.like("ada", item, f"like {item}")
    assert answer["users"] == [{"user_id": "ada", "status": "adapted", "transitions": 3}]
    after = await shares()
    error = np.sqrt(before.var(ddof=1) / 200 + after.var(ddof=1) / 200)
    assert after.mean() - before.mean() > 2 * error
    body = await app.recommend("ada")
    assert body["user"]["status"] == "adapted"
    assert body["user"]["transitions"] == 3
    assert not {item["item_id"] for item in body["items"]} & set(wanted)


async def test_stored_weights_are_the_inner_loop_on_the_stored_transitions(app: Running) -> None:
    for i in range(12):
        slate = await app.recommend("ada", k=4)
        for j, item in enumerate(slate["items"][:3]):
            response = await app.post_feedback(
                event_id=f"{i} {j}",
                user_id="ada",
                item_id=item["item_id"],
                type=("like", "skip", "dislike")[(i + j) % 3],
                recommendation_id=slate["recommendation_id"],
            )
            assert response.status_code == 200
    state = await stored_state(app, "ada")
    assert len(state.transitions) == 36
    engine = app.engine
    again = adapt_user(
        engine.catalogue.features,
        engine.catalogue.popularity,
        engine.checkpoint.initialization,
        support_of(state, engine.catalogue, engine.checkpoint.inner.organic_weight),
        engine.checkpoint.inner,
    )
    assert again.ratios > 0
    assert state.weights is not None
    assert again.weights.tobytes() == state.weights.tobytes()
    assert state.weights.tobytes() != engine.checkpoint.initialization.tobytes()


async def test_next_recommendation_uses_the_feedback_just_acknowledged(app: Running) -> None:
    for i in range(8):
        await app.like("ada", f"item{4 * i}", f"e{i}")
        body = await app.recommend("ada", k=1)
        assert body["user"]["transitions"] == i + 1
        state = await stored_state(app, "ada")
        assert state.weights is not None
        item = body["items"][0]
        expected = values_of(app, state.weights)[app.engine.catalogue.number(item["item_id"])]
        assert item["score"] == pytest.approx(float(expected), abs=1e-6)
