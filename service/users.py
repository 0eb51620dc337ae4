"""Users: what is held of one, attributes that set the starting point, history, reset, merging and deletion."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.divergence import policy_kl
from metarl_rec.errors import DataError
from metarl_rec.kernels import score_items
from service.contention import ATTEMPTS, pause
from service.draft import Draft
from service.engine import Engine
from service.errors import ApiError, invalid_attributes, unavailable
from service.settling import read_settled
from service.store.codec import UserState, encode_state, head_of
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys, digest
from service.times import rfc3339

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


async def held_state(engine: Engine, keys: UserKeys) -> UserState:
    """Returns a user's state.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    return _existing((await _found(engine, keys))[0])


async def _found(engine: Engine, keys: UserKeys) -> tuple[UserState, bytes]:
    """Returns a user's state, whatever it is, and the head of its bytes, by which a write tells that it is still that.

    Raises:
        ApiError: 503 without Redis.
    """
    try:
        snapshot = await read_settled(engine, keys)
        await engine.catch_up(snapshot.changes)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    return engine.decode(snapshot.state), head_of(snapshot.state)


def _existing(state: UserState) -> UserState:
    if not state.nonce or state.tombstone:
        raise ApiError(404, "unknown_user", "nothing is held of this user; feedback or attributes make one")
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
        merged = {**_existing(state).attributes, **changes}
        return _with_attributes(engine, state, {name: value for name, value in merged.items() if value is not None})

    state = await change_user(engine, UserKeys.of(engine.settings.tenant, user_id), changed)
    return _description(engine, user_id, state)


async def reset_user(engine: Engine, user_id: str, *, attributes: bool) -> dict[str, Any]:
    """Takes a user back to the meta-policy: transitions, seen items, slates and weights go, and attributes if asked.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """

    def fresh(state: UserState) -> UserState:
        held = _existing(state)
        # Another life: feedback on what was shown before must not bring anything back.
        return UserState(
            life=secrets.token_bytes(8), created=held.created, attributes={} if attributes else held.attributes
        )

    state = await change_user(engine, UserKeys.of(engine.settings.tenant, user_id), fresh, anew=True)
    return _description(engine, user_id, state)


async def merge_users(engine: Engine, user_id: str, source_user_id: str) -> dict[str, Any]:
    """Moves everything held of one user to another, and deletes the first.

    The target is written first, then the source is erased: stopped in between, the same call finishes it, because
    transitions count once by their events. What is left of the source tells where it went, so that a call whose answer
    was lost can be repeated: it gives the target as it is then, as long as the source's tombstone lasts.

    Raises:
        ApiError: 422 for one user twice; 404 where nothing is held of the source, and it was not merged into this one;
            503 without Redis.
    """
    if user_id == source_user_id:
        raise ApiError(422, "invalid_field", "source_user_id: give another user than the one in the path")
    tenant = engine.settings.tenant
    keys, source_keys = UserKeys.of(tenant, user_id), UserKeys.of(tenant, source_user_id)
    # Of both at once: it confirms a merge to who knows its users, and tells nobody else of either.
    merge = digest(f"{source_keys.user} {keys.user}")
    for attempt in range(ATTEMPTS):
        source, head = await _found(engine, source_keys)
        if source.tombstone and source.merged_into == merge:
            return await describe_user(engine, user_id)
        if not source.nonce or source.tombstone:
            raise ApiError(
                404, "unknown_user", "source_user_id: nothing is held of this user; there is nothing to merge"
            )
        state = await change_user(engine, keys, partial(_joined, engine, source))
        if await _erase(engine, source_keys, head, merge):
            return _description(engine, user_id, state)
        # Something was told of the source meanwhile: it joins, too.
        await pause(attempt)
    raise unavailable("contention")


def _joined(engine: Engine, source: UserState, state: UserState) -> UserState:
    draft = Draft(state, engine.settings, engine.now())
    draft.adopt(source)
    return engine.adapted(replace(draft.state(), attributes={**source.attributes, **state.attributes}))[0]


async def delete_user(engine: Engine, user_id: str) -> None:
    """Deletes everything held of a user; what is still in flight cannot bring any of it back.

    Raises:
        ApiError: 503 without Redis.
    """
    await _erase(engine, UserKeys.of(engine.settings.tenant, user_id))


async def _erase(engine: Engine, keys: UserKeys, expected_head: bytes = b"*", merged_into: bytes = b"") -> bool:
    """Leaves a tombstone of a user; returns False where their state is not that of the head any more."""
    tombstone = encode_state(UserState(life=secrets.token_bytes(8), tombstone=True, merged_into=merged_into))
    try:
        async with engine.lock(keys.user):
            erased = await engine.users.erase(keys, tombstone, expected_head)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if erased:
        engine.metrics.erasures.inc()
    return erased


async def change_user(
    engine: Engine, keys: UserKeys, change: Callable[[UserState], UserState], *, anew: bool = False
) -> UserState:
    """Writes what `change` makes of a user's state and returns it; where that is the state itself, nothing is written.

    Args:
        engine: whose user.
        keys: the user's.
        change: may be called again where others write, too.
        anew: whether everything else that is held of the user goes.

    Raises:
        ApiError: 503 without Redis; whatever `change` raises.
    """
    write = engine.users.reset if anew else engine.users.commit
    try:
        async with engine.lock(keys.user):
            for attempt in range(ATTEMPTS):
                # What is forgotten need not be settled first.
                snapshot = await (engine.users.read(keys) if anew else read_settled(engine, keys))
                await engine.catch_up(snapshot.changes)
                before = engine.decode(snapshot.state)
                state = change(before)
                if state is before or await write(keys, head_of(snapshot.state), encode_state(state)):
                    return state
                await pause(attempt)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    raise unavailable("contention")


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
        "updated_at": rfc3339(state.updated) if state.updated else None,
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
