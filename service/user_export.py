"""Everything held of a user, one JSON object a line: for the user who asks, and for who moves elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from service.engine import Engine
from service.errors import unavailable
from service.store.codec import EVENT_TYPES, NO_SLATE, SETTLED, StateError, UserState, decode_impression, types_of
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys, slate_of
from service.times import rfc3339
from service.users import held_state

__all__ = ["export_user"]


async def export_user(engine: Engine, user_id: str) -> bytes:
    """Returns NDJSON: a line of kind `user`, then `transition`, `seen` and `slate` lines.

    Raises:
        ApiError: 404 for a user of whom nothing is held; 503 without Redis.
    """
    keys = UserKeys.of(engine.settings.tenant, user_id)
    state = await held_state(engine, keys)
    try:
        names = await engine.users.impression_keys(keys)
        found = await engine.users.impressions(names)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    lines = [*_held(engine, user_id, state)]
    for name, data in zip(names, found, strict=True):
        try:
            lines.append(_slate(engine, slate_of(name), data or b""))
        except StateError:
            continue
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _held(engine: Engine, user_id: str, state: UserState) -> Iterator[dict[str, Any]]:
    yield {
        "kind": "user",
        "user_id": user_id,
        "attributes": dict(state.attributes),
        "created_at": _time(state.created),
        "updated_at": _time(state.updated),
        "policy_version": state.version,
        "weights": None if state.weights is None else state.weights.tolist(),
    }
    for row in state.transitions.tolist():
        identity, number, reward, log_propensity, time, slate, position, flags = row
        yield {
            "kind": "transition",
            "event": identity.hex(),
            "item_id": _item(engine, number),
            "reward": reward,
            "propensity": None if slate == NO_SLATE else math.exp(log_propensity),
            "at": _time(time),
            "slate": None if slate == NO_SLATE else slate.hex(),
            "rank": None if slate == NO_SLATE else position + 1,
            "answered": not flags & SETTLED,
        }
    for number, bits in zip(state.seen.tolist(), types_of(state).tolist(), strict=True):
        types = [name for at, name in enumerate(EVENT_TYPES) if bits & 1 << at]
        yield {"kind": "seen", "item_id": _item(engine, number), "types": types}


def _slate(engine: Engine, slate: bytes, data: bytes) -> dict[str, Any]:
    impression = decode_impression(data)
    return {
        "kind": "slate",
        "slate": slate.hex(),
        "items": [_item(engine, number) for number in impression.items],
        "propensities": [math.exp(value) for value in impression.log_propensities],
        "shown": impression.active,
        "answers_until": _time(impression.expires),
    }


def _item(engine: Engine, number: int) -> str | None:
    """Returns an item's id, None for an item that was deleted."""
    return engine.catalogue.item_id(number) if engine.catalogue.knows(number) else None


def _time(seconds: int) -> str | None:
    return rfc3339(seconds) if seconds else None
