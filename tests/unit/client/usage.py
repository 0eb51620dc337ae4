"""How programs use the client; type-checked strictly by a test, so that what it promises to editors is true."""

from __future__ import annotations

from collections.abc import AsyncIterator

from service.client import ApiError, AsyncClient, Client, Event, NotFoundError, Request, TooManyRequestsError


def show_and_learn(client: Client, user_id: str) -> list[str]:
    """Shows a slate and reports a like on its first item."""
    slate = client.recommend(
        user_id, k=5, filter='"Drama" in genres', boosts={"year >= 1995": 0.05}, pins={1: "50"}, caps={"genres": 2}
    )
    ids: list[str] = [item.item_id for item in slate.items]
    propensity: float = slate.slate_propensity
    assert 0 < propensity <= 1
    client.feedback(Event("like", ids[0], user_id, slate.recommendation_id))
    return ids


def known(client: Client, user_id: str) -> bool:
    """Says whether anything is held of a user."""
    try:
        return client.users.get(user_id).transitions > 0
    except NotFoundError:
        return False
    except TooManyRequestsError as error:
        pause_s: float | None = error.retry_after_s
        return pause_s is None


def prefetch(client: Client, user_ids: list[str]) -> dict[str, list[str]]:
    """Asks for many slates that nobody sees yet."""
    answers = client.recommend_batch(Request(user_id, k=3, activate=False) for user_id in user_ids)
    out: dict[str, list[str]] = {}
    for user_id, answer in zip(user_ids, answers, strict=True):
        if isinstance(answer, ApiError):
            continue
        out[user_id] = [item.item_id for item in answer.items]
    return out


async def catalogue(client: AsyncClient) -> AsyncIterator[tuple[str, float]]:
    """Yields every item that is on offer with what the population thinks of it."""
    await client.items.bulk([{"item_id": "m1", "attributes": {"genres": ["Drama"]}}])
    async for item in client.items.list(page_size=500):
        if item.available:
            yield item.item_id, item.popularity
    merged = await client.users.merge("ada", "session-8f3a")
    assert merged.kl_nats >= 0
