"""Why a user's list is what it is: exact effects of every transition, because weights are a function of transitions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adaptation import adapt_user
from service.adapter import support_of
from service.engine import Engine
from service.fatigue import fatigue_of
from service.store.codec import UserState
from service.store.keys import UserKeys
from service.times import rfc3339
from service.users import held_state

__all__ = ["explain_user"]


async def explain_user(engine: Engine, user_id: str, k: int) -> dict[str, Any]:
    """Returns the items that lead the user's list, beside the meta-policy's, and what each transition did to them.

    Costs one adaptation a transition, at most the buffer's size; others are served in between.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    state = await held_state(engine, UserKeys.of(engine.settings.tenant, user_id))
    catalogue, now = engine.catalogue, engine.now()
    standing = engine.standing(state)
    fatigue = fatigue_of(
        state, catalogue, engine.checkpoint.inner, now=now, session_gap_s=engine.settings.session_gap_s
    )
    taken_off = 0.0 if fatigue is None else fatigue
    mask = catalogue.on_offer(now).copy()
    mask[state.seen[state.seen < len(mask)]] = False
    values = catalogue.popularity + catalogue.features @ standing.weights - taken_off
    meta = catalogue.popularity + catalogue.features @ standing.start
    leading = _ranked(values, mask)[:k]
    place = {int(number): rank for rank, number in enumerate(_ranked(meta, mask), start=1)}
    items = [
        {
            "item_id": catalogue.item_id(int(number)),
            "rank": rank,
            "score": round(float(values[number]), 6),
            "meta_rank": place[int(number)],
            "meta_score": round(float(meta[number]), 6),
        }
        for rank, number in enumerate(leading, start=1)
    ]
    rows = catalogue.features[leading].copy()
    transitions: list[dict[str, Any]] = []
    if standing.status == "adapted":
        whole = _weights(engine, state, standing.start)
        for index, number in enumerate(state.transitions["item"].tolist()):
            if not catalogue.knows(number):
                continue
            rest = replace(state, transitions=np.delete(state.transitions, index))
            effects = rows @ (whole - _weights(engine, rest, standing.start))
            transitions.append(
                {
                    "item_id": catalogue.item_id(number),
                    "reward": float(state.transitions["reward"][index]),
                    "at": rfc3339(int(state.transitions["time"][index])),
                    "effects": [round(float(effect), 6) for effect in effects],
                }
            )
            await asyncio.sleep(0)
    transitions.sort(key=lambda each: -sum(abs(effect) for effect in each["effects"]))
    return {"user_id": user_id, "status": standing.status, "items": items, "transitions": transitions}


def _ranked(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    numbers = np.flatnonzero(mask)
    return numbers[np.argsort(-values[numbers], kind="stable")]


def _weights(engine: Engine, state: UserState, start: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the weights that a state's transitions lead to now."""
    catalogue, inner = engine.catalogue, engine.checkpoint.inner
    support = support_of(state, catalogue, inner.organic_weight)
    return adapt_user(catalogue.features, catalogue.popularity, start, support, inner).weights
