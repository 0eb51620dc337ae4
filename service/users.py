"""Users: what is held of one, attributes that set the starting point, history, reset, merging and deletion."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.divergence import policy_kl
from metarl_rec.errors import DataError
from metarl_rec.kernels import score_items
from service.draft import Draft
from service.engine import Engine
from service.errors import ApiError, invalid_attributes, unavailable
from service.settling import read_settled
from service.store.codec import UserState, encode_state, head_of
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys

__all__ = [
    "change_user",
    "delete_user",
    "describe_user",
    "held_state",
    "merge_users",
    "patch_user",
    "put_user",
    "reset_user",
]

_ATTEMPTS = 50
_UNKNOWN = ApiError(404, "unknown_user", "nothing is held of this user; feedback or attributes make one")


async def held_state(engine: Engine, keys: UserKeys) -> UserState:
    """Returns a user's state.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    try:
        snapshot = await read_settled(engine, keys)
        await engine.catch_up(snapshot.changes)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    state = engine.decode(snapshot.state)
    if not state.nonce or state.tombstone:
        raise _UNKNOWN
    return state


async def describe_user(engine: Engine, user_id: str) -> dict[str, Any]:
    """Returns what is held of a user.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    state = await held_state(engine, UserKeys.of(engine.settings.tenant, user_id))
    return _description(engine, user_id, state)


async def put_user(engine: Engine, user_id: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Stores a user's attributes, adapts anew from the starting point that they set, and returns what is held.

    Raises:
        ApiError: 422 for an attribute that the checkpoint does not declare or of a wrong type; 503 without Redis.
    """
    _check(engine, attributes)
    keys = UserKeys.of(engine.settings.tenant, user_id)
    state = await change_user(engine, keys, lambda state: _with_attributes(engine, state, attributes))
    return _description(engine, user_id, state)


async def patch_user(engine: Engine, user_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes some of a user's attributes; None takes one away.

    Raises:
        ApiError: as for `put_user`, and 404 for a user of whom nothing is held.
    """
    _check(engine, {name: value for name, value in changes.items() if value is not None})

    def changed(state: UserState) -> UserState:
        if not state.nonce or state.tombstone:
            raise _UNKNOWN
        merged = {**state.attributes, **changes}
        return _with_attributes(engine, state, {name: value for name, value in merged.items() if value is not None})

    state = await change_user(engine, UserKeys.of(engine.settings.tenant, user_id), changed)
    return _description(engine, user_id, state)


async def reset_user(engine: Engine, user_id: str, *, attributes: bool) -> dict[str, Any]:
    """Takes a user back to the meta-policy: transitions, seen items, slates and weights go, and attributes if asked.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    keys = UserKeys.of(engine.settings.tenant, user_id)
    try:
        async with engine.lock(keys.user):
            for attempt in range(_ATTEMPTS):
                snapshot = await engine.users.read(keys)
                await engine.catch_up(snapshot.changes)
                state = engine.decode(snapshot.state)
                if not state.nonce or state.tombstone:
                    raise _UNKNOWN
                # Another life: feedback on what was shown before must not bring anything back.
                fresh = UserState(
                    life=secrets.token_bytes(8),
                    created=state.created,
                    attributes={} if attributes else state.attributes,
                )
                if await engine.users.reset(keys, head_of(snapshot.state), encode_state(fresh)):
                    return _description(engine, user_id, fresh)
                await _pause(attempt)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    raise unavailable("contention")


async def merge_users(engine: Engine, user_id: str, source_user_id: str) -> dict[str, Any]:
    """Moves everything held of one user to another, and deletes the first.

    The target is written first, then the source is erased: stopped in between, the same call finishes it, because
    transitions count once by their events.

    Raises:
        ApiError: 422 for one user twice; 404 where nothing is held of the source; 503 without Redis.
    """
    if user_id == source_user_id:
        raise ApiError(422, "invalid_field", "source_user_id: give another user than the one in the path")
    tenant = engine.settings.tenant
    source = await held_state(engine, UserKeys.of(tenant, source_user_id))

    def joined(state: UserState) -> UserState:
        draft = Draft(state, engine.settings, engine.now())
        draft.adopt(source)
        after = replace(draft.state(), attributes={**source.attributes, **state.attributes})
        return engine.adapted(after)[0]

    state = await change_user(engine, UserKeys.of(tenant, user_id), joined)
    await delete_user(engine, source_user_id)
    return _description(engine, user_id, state)


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


async def change_user(engine: Engine, keys: UserKeys, change: Callable[[UserState], UserState]) -> UserState:
    """Writes what `change` makes of a user's state and returns it; it may be called again where others write, too.

    Raises:
        ApiError: 503 without Redis; whatever `change` raises.
    """
    try:
        async with engine.lock(keys.user):
            for attempt in range(_ATTEMPTS):
                snapshot = await read_settled(engine, keys)
                await engine.catch_up(snapshot.changes)
                state = change(engine.decode(snapshot.state))
                if await engine.users.commit(keys, head_of(snapshot.state), encode_state(state)):
                    return state
                await _pause(attempt)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    raise unavailable("contention")


async def _pause(attempt: int) -> None:
    # A random pause keeps two processes from meeting again and again.
    await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))


def _check(engine: Engine, attributes: Mapping[str, Any]) -> None:
    try:
        engine.checkpoint.starting_point(attributes)
    except DataError as error:
        raise invalid_attributes("attributes", error) from None


def _with_attributes(engine: Engine, state: UserState, attributes: Mapping[str, Any]) -> UserState:
    changed = replace(
        state, attributes=dict(attributes), tombstone=False, created=state.created or engine.now(), weights=None
    )
    return engine.adapted(changed)[0]


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
