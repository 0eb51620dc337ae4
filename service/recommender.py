"""Recommending: read the user, score, draw a slate with exact propensities, remember the impression, answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from metarl_rec.errors import DataError
from service.answering import body_of
from service.drawing import draw
from service.engine import Engine
from service.errors import ApiError, invalid_attributes, problem_content, unavailable
from service.schemas import RecommendationRequest
from service.settling import read_settled
from service.store.codec import Impression, StateError, UserState, decode_impression, encode_impression
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys, new_recommendation_id, user_named_by, user_of_recommendation

__all__ = ["Answer", "activate", "recommend", "recommend_batch"]

_ATTEMPTS = 3
_USERS_AT_ONCE = 16
_META = ("redis", "state", "adaptation")
"""What leaves only the meta-policy to serve; where just the impression was lost, the slate is still personal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response body with its headers."""

    body: bytes
    headers: dict[str, str]


async def recommend(engine: Engine, request: RecommendationRequest) -> Answer:
    """Returns a slate for one user; without Redis it is the meta-policy's, and says so.

    Raises:
        ApiError: an attribute is unknown, or the recommendation id stands for another request.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        answer = await _attempt(engine, request, last=attempt == _ATTEMPTS)
        if answer is not None:
            return answer
    raise AssertionError("the last attempt answers")


async def recommend_batch(
    engine: Engine, requests: Sequence[RecommendationRequest], request_id: str
) -> list[dict[str, Any]]:
    """Returns each request's status and body, in order; one that is refused does not touch the others."""
    gate = asyncio.Semaphore(_USERS_AT_ONCE)

    async def one(request: RecommendationRequest) -> dict[str, Any]:
        async with gate:
            try:
                answer = await recommend(engine, request)
            except ApiError as error:
                return {"status": error.status, "body": problem_content(error, request_id)}
            return {"status": 200, "body": json.loads(answer.body)}

    return await asyncio.gather(*(one(request) for request in requests))


async def activate(engine: Engine, recommendation_id: str, user_id: str | None) -> None:
    """Marks a prefetched slate as shown; its reward window begins now. Repeating it is harmless.

    Raises:
        ApiError: 404 where no live slate of this user has the id; 422 where the id does not tell whose it is; 503.
    """
    tenant = engine.settings.tenant
    if user_id is None and user_of_recommendation(tenant, recommendation_id) is None:
        raise ApiError(422, "invalid_field", "user_id: give it, because the caller chose this recommendation_id")
    unknown = ApiError(
        404, "unknown_impression", "no live recommendation of this user has this id; it expired or never was"
    )
    keys = user_named_by(tenant, user_id, recommendation_id)
    if keys is None:
        raise unknown
    try:
        for _ in range(_ATTEMPTS):
            snapshot = await engine.users.read(keys, [recommendation_id])
            data, life = snapshot.impressions[0], engine.decode(snapshot.state).life
            if data is None or (impression := decode_impression(data)).life != life:
                raise unknown
            if impression.active:
                return
            expires = engine.now() + engine.settings.impression_ttl_s
            shown = encode_impression(replace(impression, active=True, expires=expires))
            if await engine.users.replace_impression(keys, recommendation_id, data, shown, expires):
                return
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    except StateError:
        raise unknown from None
    raise unavailable("contention")


async def _attempt(engine: Engine, request: RecommendationRequest, *, last: bool) -> Answer | None:
    """Returns the answer, or None where the user was deleted meanwhile and there is another attempt."""
    keys = UserKeys.of(engine.settings.tenant, request.user_id)
    recommendation_id = request.recommendation_id or new_recommendation_id(keys)
    digest = hashlib.blake2b(request.model_dump_json().encode(), digest_size=16).digest()
    degraded: str | None = None
    state = UserState()
    if request.context:
        raise ApiError(422, "invalid_field", "context: this checkpoint declares no context features; leave it out")
    try:
        wanted = [recommendation_id] if request.recommendation_id else []
        snapshot = await read_settled(engine, keys, wanted)
        await engine.catch_up(snapshot.changes)
        state = engine.decode(snapshot.state)
        if snapshot.state is not None and not state.nonce:
            degraded = "state"
        if wanted and snapshot.impressions[0] is not None:
            return _replay(engine, snapshot.impressions[0], digest)
    except StoreUnavailable:
        degraded = "redis"
    try:
        standing = engine.standing(state, request.user_attributes)
    except DataError as error:
        raise invalid_attributes("user_attributes", error) from None
    if standing.status == "pending":
        degraded = degraded or "adaptation"
    slate = draw(engine, state, standing, request)
    body = body_of(engine, request, recommendation_id, state, standing, slate)
    if degraded != "redis":
        impression = Impression(
            life=state.life,
            request=digest,
            seen=state.seen_dropped + len(state.seen),
            usable=slate.usable,
            active=request.activate,
            expires=engine.now() + engine.settings.impression_ttl_s,
            items=tuple(int(item) for item in slate.items),
            log_propensities=tuple(float(value) for value in slate.log_propensities),
            body=json.dumps(body).encode() if request.recommendation_id else b"",
        )
        try:
            life = b"" if degraded == "state" else state.life
            result = await engine.users.put_impression(keys, recommendation_id, encode_impression(impression), life)
            if result == "taken":
                # Somebody asked the same a moment ago: theirs is the slate that counts.
                stored = await engine.users.read(keys, [recommendation_id])
                return _replay(engine, stored.impressions[0], digest)
            if result == "stale":
                # Deleted meanwhile: this slate still knows the user, so it must neither be kept nor be shown.
                if not last:
                    return None
                degraded = "impression"
        except StoreUnavailable:
            degraded = "impression"
    status = "cold" if standing.status == "cold" else "adapted"
    if degraded is not None:
        body |= {"degraded": degraded, "ope_eligible": False}
        engine.metrics.degraded.labels(degraded).inc()
    engine.metrics.recommendations.labels("champion", status, "degraded" if degraded else "ok").inc()
    return Answer(json.dumps(body).encode(), {"X-Policy": "meta" if degraded in _META else "personal"})


def _replay(engine: Engine, data: bytes | None, digest: bytes) -> Answer:
    try:
        impression = decode_impression(data or b"")
    except StateError as error:
        raise ApiError(
            409, "conflict", f"the stored slate of this recommendation_id cannot be read: {error.cause}"
        ) from None
    if impression.request != digest:
        raise ApiError(409, "conflict", "recommendation_id was used for another request; choose a new one")
    engine.metrics.recommendations.labels("champion", "adapted", "replayed").inc()
    return Answer(impression.body, {"X-Policy": "personal", "X-Replay": "true"})
