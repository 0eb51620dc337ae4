"""Recommending: read the user, score, draw a slate with exact propensities, remember the impression, answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import DataError
from metarl_rec.kernels import score_items
from metarl_rec.slates import greedy_slate, sample_slate
from service.engine import Engine, Standing
from service.errors import ApiError, invalid_attributes
from service.fatigue import fatigue_of
from service.schemas import RecommendationRequest
from service.store.codec import Impression, StateError, UserState, decode_impression, encode_impression
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys, new_recommendation_id

__all__ = ["Answer", "recommend"]

_REASONS = 3
_ATTEMPTS = 3
_META = ("redis", "state", "adaptation")
"""What leaves only the meta-policy to serve; where just the impression was lost, the slate is still personal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response body with its headers."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Slate:
    items: NDArray[np.int32]
    log_propensities: NDArray[np.float64]
    values: NDArray[np.float32]
    fatigue: NDArray[np.float32] | None = None


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


async def _attempt(engine: Engine, request: RecommendationRequest, *, last: bool) -> Answer | None:
    """Returns the answer, or None where the user was deleted meanwhile and there is another attempt."""
    keys = UserKeys.of(engine.settings.tenant, request.user_id)
    recommendation_id = request.recommendation_id or new_recommendation_id(keys)
    digest = hashlib.blake2b(request.model_dump_json().encode(), digest_size=16).digest()
    degraded: str | None = None
    state = UserState()
    try:
        wanted = [recommendation_id] if request.recommendation_id else []
        snapshot = await engine.users.read(keys, wanted)
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
    mask, ignored = _candidates(engine, state, request)
    fatigue = fatigue_of(
        state, engine.catalogue, engine.checkpoint.inner, now=engine.now(), session_gap_s=engine.settings.session_gap_s
    )
    slate = _draw(engine, standing, mask, request, fatigue)
    body = _body(engine, request, recommendation_id, state, standing, slate, ignored, degraded)
    if degraded != "redis":
        impression = Impression(
            life=state.life,
            request=digest,
            seen=state.seen_dropped + len(state.seen),
            # A ratio compares policies of values alone, so a slate that fatigue had a hand in forms none.
            usable=_forms_ratios(request) and fatigue is None,
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


def _forms_ratios(request: RecommendationRequest) -> bool:
    """Returns whether the slate is drawn from the candidates that `adapter.support_of` rebuilds later."""
    restricted = request.candidates is not None or bool(request.exclude_item_ids) or not request.exclude_seen
    return request.exploration.enabled and not restricted


def _candidates(
    engine: Engine, state: UserState, request: RecommendationRequest
) -> tuple[NDArray[np.bool_], list[str]]:
    """Returns the items [n] bool that may be shown, and the candidates that are unknown."""
    catalogue = engine.catalogue
    mask = catalogue.available.copy()
    ignored: list[str] = []
    if request.candidates is not None:
        offered = np.zeros_like(mask)
        for candidate in request.candidates:
            number = catalogue.number(candidate.item_id)
            if number is None:
                ignored.append(candidate.item_id)
            else:
                offered[number] = True
        mask &= offered
    if request.exclude_seen:
        mask[state.seen[state.seen < len(mask)]] = False
    for item_id in request.exclude_item_ids:
        number = catalogue.number(item_id)
        if number is not None:
            mask[number] = False
    return mask, ignored


def _draw(
    engine: Engine,
    standing: Standing,
    mask: NDArray[np.bool_],
    request: RecommendationRequest,
    fatigue: NDArray[np.float32] | None,
) -> _Slate:
    values = np.empty(len(mask), np.float32)
    score_items(engine.catalogue.features, engine.catalogue.popularity, standing.weights, values)
    if fatigue is not None:
        values -= fatigue
    if not request.exploration.enabled:
        items = greedy_slate(values, mask, request.k)
        return _Slate(items, np.zeros(len(items)), values, fatigue)
    temperature = request.exploration.temperature or engine.checkpoint.inner.temperature
    items, log_propensities = sample_slate(values, mask, temperature, engine.rng.random(request.k))
    return _Slate(items, log_propensities, values, fatigue)


def _body(
    engine: Engine,
    request: RecommendationRequest,
    recommendation_id: str,
    state: UserState,
    standing: Standing,
    slate: _Slate,
    ignored: list[str],
    degraded: str | None,
) -> dict[str, Any]:
    items = []
    for rank, (number, log_propensity) in enumerate(zip(slate.items, slate.log_propensities, strict=True), start=1):
        item: dict[str, Any] = {
            "item_id": engine.catalogue.item_id(int(number)),
            "rank": rank,
            "score": round(float(slate.values[number]), 6),
            "propensity": float(np.exp(log_propensity)),
        }
        if request.explain:
            item["attributes"] = dict(engine.catalogue.attributes(int(number)))
            item["reasons"] = _reasons(engine, state, standing, slate, int(number))
        items.append(item)
    expires = engine.now() + engine.settings.impression_ttl_s
    adapted_at = datetime.fromtimestamp(state.updated, UTC).isoformat() if state.updated else None
    body: dict[str, Any] = {
        "recommendation_id": recommendation_id,
        "policy": {"version": engine.checkpoint.version, "alias": "champion"},
        "user": {
            "status": "adapted" if standing.status == "adapted" else "cold",
            "transitions": len(state.transitions),
            "adapted_at": adapted_at,
        },
        "items": items,
        "slate_propensity": float(np.exp(slate.log_propensities.sum())),
        "ope_eligible": request.exploration.enabled and degraded is None,
        "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(),
    }
    if ignored:
        body["ignored"] = ignored
    return body


def _reasons(engine: Engine, state: UserState, standing: Standing, slate: _Slate, number: int) -> list[dict[str, Any]]:
    """Returns how an item's score comes about: population, adaptation, fatigue, and the transitions most like it.

    A transition's part is its likeness f_j . f_i times its surprise y_j - v_j under the initialization: the direction
    in which the first epoch's value gradient moved this item. The parts rank transitions; they do not add up.
    """
    features, popularity = engine.catalogue.features, engine.catalogue.popularity
    row = features[number]
    population = float(popularity[number] + row @ standing.start)
    reasons: list[dict[str, Any]] = [{"kind": "population", "contribution": round(population, 6)}]
    if slate.fatigue is not None:
        reasons.append({"kind": "fatigue", "contribution": round(-float(slate.fatigue[number]), 6)})
    if standing.status != "adapted":
        return reasons
    reasons.append({"kind": "adaptation", "contribution": round(float(row @ (standing.weights - standing.start)), 6)})
    shown = np.array(
        [int(item) for item in state.transitions["item"] if engine.catalogue.knows(int(item))], dtype=np.int64
    )
    known = np.array([engine.catalogue.knows(int(item)) for item in state.transitions["item"]], dtype=bool)
    surprise = state.transitions["reward"][known] - popularity[shown] - features[shown] @ standing.start
    parts = (features[shown] @ row) * surprise
    reasons += [
        {
            "kind": "transition",
            "contribution": round(float(parts[index]), 6),
            "item_id": engine.catalogue.item_id(int(shown[index])),
        }
        for index in np.argsort(-np.abs(parts))[:_REASONS]
    ]
    return reasons
