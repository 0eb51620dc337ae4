"""Users: what is held of one, attributes that set the starting point, and deletion."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import DataError
from metarl_rec.kernels import policy_kl, score_items
from service.engine import Engine
from service.errors import ApiError, invalid_attributes, unavailable
from service.store.codec import UserState, encode_state, head_of
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys

__all__ = ["delete_user", "describe_user", "put_user"]

_ATTEMPTS = 50


async def describe_user(engine: Engine, user_id: str) -> dict[str, Any]:
    """Returns what is held of a user.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    try:
        snapshot = await engine.users.read(UserKeys.of(engine.settings.tenant, user_id))
        await engine.catch_up(snapshot.changes)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    state = engine.decode(snapshot.state)
    if not state.nonce or state.tombstone:
        raise ApiError(404, "unknown_user", "nothing is held of this user; feedback or attributes make one")
    return _description(engine, user_id, state)


async def put_user(engine: Engine, user_id: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Stores a user's attributes, adapts anew from the starting point that they set, and returns what is held.

    Raises:
        ApiError: 422 for an attribute that the checkpoint does not declare or of a wrong type; 503 without Redis.
    """
    try:
        start = engine.checkpoint.starting_point(attributes)
    except DataError as error:
        raise invalid_attributes("attributes", error) from None
    keys = UserKeys.of(engine.settings.tenant, user_id)
    try:
        async with engine.lock(keys.user):
            for attempt in range(_ATTEMPTS):
                snapshot = await engine.users.read(keys)
                await engine.catch_up(snapshot.changes)
                state = engine.decode(snapshot.state)
                state = replace(
                    state,
                    attributes=dict(attributes),
                    tombstone=False,
                    created=state.created or engine.now(),
                    weights=None,
                )
                result = engine.adapt(state, start) if len(state.transitions) else None
                if result is not None:
                    state = replace(state, weights=result.weights, version=engine.checkpoint.version)
                if await engine.users.commit(keys, head_of(snapshot.state), encode_state(state)):
                    return _description(engine, user_id, state)
                await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    raise unavailable("contention")


async def delete_user(engine: Engine, user_id: str) -> None:
    """Deletes everything held of a user; what is still in flight cannot bring any of it back.

    Raises:
        ApiError: 503 without Redis.
    """
    keys = UserKeys.of(engine.settings.tenant, user_id)
    tombstone = encode_state(UserState(life=secrets.token_bytes(8), tombstone=True))
    try:
        async with engine.lock(keys.user):
            await engine.users.erase(keys, tombstone)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    engine.metrics.erasures.inc()


def _description(engine: Engine, user_id: str, state: UserState) -> dict[str, Any]:
    standing = engine.standing(state)
    return {
        "user_id": user_id,
        "status": standing.status,
        "attributes": dict(state.attributes),
        "policy_version": engine.checkpoint.version,
        "transitions": len(state.transitions),
        "kl_nats": round(_kl(engine, state, standing.weights, standing.start), 6),
        "updated_at": datetime.fromtimestamp(state.updated, UTC).isoformat() if state.updated else None,
        "weights_digest": hashlib.sha256(standing.weights.tobytes()).hexdigest()[:16],
    }


def _kl(engine: Engine, state: UserState, weights: NDArray[np.float32], start: NDArray[np.float32]) -> float:
    """Returns KL(personal policy || starting point) over the items that the user may still be shown, nats."""
    catalogue = engine.catalogue
    rest = catalogue.available.copy()
    rest[state.seen[state.seen < len(rest)]] = False
    values, base = np.empty(len(rest), np.float32), np.empty(len(rest), np.float32)
    score_items(catalogue.features, catalogue.popularity, weights, values)
    score_items(catalogue.features, catalogue.popularity, start, base)
    return float(policy_kl(values, base, rest, engine.checkpoint.inner.temperature))
