"""Settling: what was shown and got nothing within the reward window becomes a transition with the default reward.

Nothing scans for it: the read that begins every request of a user also tells which of their slates are due. The state
that has learned from them and their removal are one atomic write, so each counts once, whoever comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from service.draft import Draft
from service.engine import Engine
from service.store.codec import Impression, StateError, UserState, decode_impression, encode_state, head_of
from service.store.connection import StoreUnavailable
from service.store.keys import UserKeys, slate_of
from service.store.user_store import Snapshot

__all__ = ["read_settled"]

_ATTEMPTS = 5


async def read_settled(
    engine: Engine, keys: UserKeys, impressions: Sequence[str] = (), *, events: bool = False
) -> Snapshot:
    """Returns a user's snapshot with everything settled that was due; one round trip where nothing was.

    Slates that are asked for are told as they were before: who answers too late hears just that.

    Raises:
        StoreUnavailable: Redis is away.
    """
    snapshot = await engine.users.read(keys, impressions, events=events)
    asked = snapshot.impressions
    for _ in range(_ATTEMPTS):
        if not snapshot.due or not await _settle(engine, keys, snapshot):
            break
        snapshot = await engine.users.read(keys, impressions, events=events)
        asked = [now or before for now, before in zip(snapshot.impressions, asked, strict=True)]
    return replace(snapshot, impressions=asked)


async def _settle(engine: Engine, keys: UserKeys, snapshot: Snapshot) -> bool:
    """Learns from what is due; returns whether it makes sense to look again.

    Where Redis does not confirm the write, nothing is lost: what is due stays due.
    """
    settings = engine.settings
    state = engine.decode(snapshot.state)
    try:
        await engine.catch_up(snapshot.changes)
        found = await engine.users.impressions(snapshot.due)
        draft, count = Draft(state, settings, engine.now()), 0
        for key, data in zip(snapshot.due, found, strict=True):
            impression = _shown(engine, state, data)
            if impression is not None:
                count += draft.settle(slate_of(key), impression, settings.default_reward or 0.0)
        # With nothing to learn, only the index forgets.
        after = encode_state(engine.adapted(draft.state())[0]) if count else b""
        if await engine.users.settle(keys, head_of(snapshot.state), after, snapshot.due):
            engine.metrics.settled_positions.inc(count)
    except StoreUnavailable:
        return False
    return True


def _shown(engine: Engine, state: UserState, data: bytes | None) -> Impression | None:
    """Returns a slate that was shown in this life of the user, or None."""
    if data is None:
        return None
    try:
        impression = decode_impression(data)
    except StateError as error:
        engine.metrics.state_resets.labels(error.cause).inc()
        return None
    return impression if impression.active and impression.life == state.life else None
