"""A drawn slate as the answer's body, and why every item is in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.drawing import DrawnSlate
from service.engine import Engine, Standing
from service.schemas import RecommendationRequest
from service.store.codec import UserState
from service.times import rfc3339

__all__ = ["body_of"]

_REASONS = 3


def body_of(
    engine: Engine,
    request: RecommendationRequest,
    recommendation_id: str,
    state: UserState,
    standing: Standing,
    slate: DrawnSlate,
) -> dict[str, Any]:
    """Returns the answer's body; the fields are those of `RecommendationResponse`."""
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
    adapted_at = rfc3339(state.updated) if state.updated else None
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
        "ope_eligible": request.exploration.enabled,
        "expires_at": rfc3339(expires),
    }
    if slate.ignored:
        body["ignored"] = slate.ignored
    return body


def _reasons(
    engine: Engine, state: UserState, standing: Standing, slate: DrawnSlate, number: int
) -> list[dict[str, Any]]:
    """Returns how an item's score comes about: population, adaptation, rules, and the transitions most like it.

    A transition's part is its likeness f_j . f_i times its surprise y_j - v_j under the initialization: the direction
    in which the first epoch's value gradient moved this item. The parts rank transitions; they do not add up.
    """
    features, popularity = engine.catalogue.features, engine.catalogue.popularity
    row = features[number]
    population = float(popularity[number] + row @ standing.start)
    reasons: list[dict[str, Any]] = [{"kind": "population", "contribution": round(population, 6)}]
    if number in slate.pinned:
        reasons.append({"kind": "pin", "contribution": 0.0})
    if slate.boost is not None and slate.boost[number]:
        reasons.append({"kind": "boost", "contribution": round(float(slate.boost[number]), 6)})
    if slate.fatigue is not None:
        reasons.append({"kind": "fatigue", "contribution": round(-float(slate.fatigue[number]), 6)})
    if standing.status != "adapted":
        return reasons
    reasons.append({"kind": "adaptation", "contribution": round(float(row @ (standing.weights - standing.start)), 6)})
    known = np.array([engine.catalogue.knows(int(item)) for item in state.transitions["item"]], dtype=bool)
    shown = state.transitions["item"][known].astype(np.int64)
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
