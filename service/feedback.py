"""Feedback: resolve events, append them, adapt, and write it all at once; exactly once by event id."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.engine import Engine
from service.errors import unavailable
from service.rewards import reward_of
from service.schemas import Event
from service.store.codec import (
    NO_SLATE,
    TRANSITION,
    USABLE,
    Impression,
    Slate,
    StateError,
    UserState,
    decode_impression,
    encode_state,
    head_of,
)
from service.store.events import EventLog
from service.store.keys import UserKeys, digest, user_of_recommendation
from service.store.redis_store import StoreUnavailable

__all__ = ["REJECTION_STATUS", "FeedbackResult", "apply_events"]

REJECTION_STATUS = {
    "unknown_impression": 404,
    "unknown_item": 404,
    "expired": 409,
    "late": 409,
    "conflict": 422,
    "not_in_slate": 422,
    "future": 422,
}
"""HTTP status of a single event's rejection."""

_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What became of a batch; the fields are those of `FeedbackResponse`."""

    applied: int
    duplicates: int
    rejected: list[dict[str, Any]]
    users: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Indexed:
    index: int
    event: Event


@dataclass(frozen=True, slots=True)
class _Outcome:
    applied: list[Event]
    duplicates: list[Event]
    rejected: list[tuple[_Indexed, str]]
    state: UserState
    log: EventLog


async def apply_events(engine: Engine, events: Sequence[Event]) -> FeedbackResult:
    """Applies events user by user; each user's part is durable and adapted before this returns.

    Raises:
        ApiError: 503 where Redis does not confirm a write. What was confirmed for other users stays; repeating the
            call is safe, because what was applied comes back as a duplicate.
    """
    rejected: list[tuple[_Indexed, str]] = []
    groups: dict[str, tuple[UserKeys, list[_Indexed]]] = {}
    for index, event in enumerate(events):
        keys = _keys_of(engine, event)
        if keys is None:
            rejected.append((_Indexed(index, event), "unknown_impression"))
        else:
            groups.setdefault(keys.user, (keys, []))[1].append(_Indexed(index, event))
    applied = duplicates = 0
    users = []
    for keys, group in groups.values():
        try:
            async with engine.lock(keys.user):
                outcome, status = await _apply_to_user(engine, keys, group)
        except StoreUnavailable as error:
            raise unavailable(error.kind) from None
        applied += len(outcome.applied)
        duplicates += len(outcome.duplicates)
        rejected += outcome.rejected
        user_id = next((entry.event.user_id for entry in group if entry.event.user_id is not None), None)
        users.append({"user_id": user_id, "status": status, "transitions": len(outcome.state.transitions)})
        for event in outcome.applied:
            engine.metrics.feedback_events.labels(event.type, "applied").inc()
        for event in outcome.duplicates:
            engine.metrics.feedback_events.labels(event.type, "duplicate").inc()
    for entry, _ in rejected:
        engine.metrics.feedback_events.labels(entry.event.type, "rejected").inc()
    rejected.sort(key=lambda pair: pair[0].index)
    refusals: list[dict[str, Any]] = [{"index": entry.index, "code": code} for entry, code in rejected]
    return FeedbackResult(applied, duplicates, refusals, users)


def _keys_of(engine: Engine, event: Event) -> UserKeys | None:
    """Returns whose event this is; None where the ids contradict each other or name nobody."""
    tenant = engine.settings.tenant
    named = UserKeys.of(tenant, event.user_id) if event.user_id is not None else None
    owner = user_of_recommendation(tenant, event.recommendation_id) if event.recommendation_id is not None else None
    if named is not None and owner is not None and named.user != owner.user:
        return None
    return named or owner


async def _apply_to_user(engine: Engine, keys: UserKeys, group: list[_Indexed]) -> tuple[_Outcome, str]:
    wanted = sorted({entry.event.recommendation_id for entry in group if entry.event.recommendation_id is not None})
    for attempt in range(_ATTEMPTS):
        snapshot = await engine.store.read(keys, wanted, events=True)
        await engine.catch_up(snapshot.changes)
        state = engine.decode(snapshot.state)
        impressions: dict[str, Impression] = {}
        for name, data in zip(wanted, snapshot.impressions, strict=True):
            try:
                if data is not None:
                    impressions[name] = decode_impression(data)
            except StateError as error:
                engine.metrics.state_resets.labels(error.cause).inc()
        outcome = _append(engine, state, EventLog.decode(snapshot.events), group, impressions)
        if not outcome.applied:
            return outcome, engine.standing(state).status
        adapted, status = _adapted(engine, outcome.state)
        data = encode_state(adapted)
        if await engine.store.commit(keys, head_of(snapshot.state), data, outcome.log.encode()):
            engine.metrics.state_bytes.observe(len(data))
            return outcome, status
        # Another process was faster; a random pause keeps two of them from meeting again and again.
        await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))
    raise StoreUnavailable("contention")


def _adapted(engine: Engine, state: UserState) -> tuple[UserState, str]:
    """Returns the state with its weights, or without them and `pending` where adapting failed."""
    start = engine.starting_point(state.attributes, stored=True)
    if not len(state.transitions):
        return replace(state, version=engine.checkpoint.version, weights=None), "cold"
    result = engine.adapt(state, start)
    if result is None:
        return replace(state, weights=None), "pending"
    return replace(state, version=engine.checkpoint.version, weights=result.weights), "adapted"


def _append(
    engine: Engine, state: UserState, log: EventLog, group: list[_Indexed], impressions: dict[str, Impression]
) -> _Outcome:
    """Returns what the events make of the state; a pure function of its arguments and the clock."""
    settings, now = engine.settings, engine.now()
    applied: list[Event] = []
    duplicates: list[Event] = []
    rejected: list[tuple[_Indexed, str]] = []
    for entry in group:
        event = entry.event
        identity, content = digest(event.event_id), _content_digest(event)
        known = log.find(identity, content)
        if known == "same":
            duplicates.append(event)
            continue
        code = "conflict" if known == "other" else _fault(engine, state, event, impressions, now)
        if code is not None:
            rejected.append((entry, code))
            continue
        number = engine.catalogue.number(event.item_id)
        if number is None:
            rejected.append((entry, "unknown_item"))
            continue
        impression = impressions.get(event.recommendation_id) if event.recommendation_id is not None else None
        state = _with_event(engine, state, event, identity, number, impression, now)
        log = log.with_event(
            identity, content, now, window_s=settings.event_window_s, window_size=settings.event_window_size
        )
        applied.append(event)
        if impression is not None:
            shown_at = impression.expires - settings.impression_ttl_s
            engine.metrics.feedback_delay.observe(max(0, now - shown_at))
    return _Outcome(applied, duplicates, rejected, state, log)


def _fault(engine: Engine, state: UserState, event: Event, impressions: dict[str, Impression], now: int) -> str | None:
    """Returns why an event must not be learned from, or None."""
    if event.timestamp is not None:
        age = now - event.timestamp.timestamp()
        if age < -engine.settings.max_clock_skew_s:
            return "future"
        if age > engine.settings.event_window_s:
            # Its id may have been forgotten by now: whether it counted already cannot be told any more.
            return "late"
    if event.recommendation_id is None:
        return None
    impression = impressions.get(event.recommendation_id)
    if impression is None or impression.life != state.life:
        return "unknown_impression"
    if impression.expires < now:
        return "expired"
    number = engine.catalogue.number(event.item_id)
    return "not_in_slate" if number is not None and number not in impression.items else None


def _with_event(
    engine: Engine,
    state: UserState,
    event: Event,
    identity: bytes,
    number: int,
    impression: Impression | None,
    now: int,
) -> UserState:
    """Returns the state after one event: the item is seen, and where the event teaches, there is a transition."""
    settings = engine.settings
    reward = reward_of(event, settings)
    state = replace(state, created=state.created or now, tombstone=False)
    if event.type == "impression":
        return state
    slate_key, slates = NO_SLATE, dict(state.slates)
    position, log_propensity, usable = 0, 0.0, False
    if impression is not None and event.recommendation_id is not None:
        slate_key = digest(event.recommendation_id)[:8]
        position = impression.items.index(number)
        log_propensity, usable = impression.log_propensities[position], impression.usable
        slates[slate_key] = Slate(impression.seen, impression.items)
    transitions = state.transitions
    if reward is not None:
        engine.metrics.reward.observe(reward)
        same = [
            row
            for row in range(len(transitions))
            if int(transitions[row]["item"]) == number and transitions[row]["slate"].tobytes() == slate_key
        ]
        entry = np.array(
            [(identity, number, reward, log_propensity, now, slate_key, position, USABLE if usable else 0)], TRANSITION
        )
        # A later word on the same shown item replaces the earlier one: a like after a click is one transition.
        transitions = np.concatenate([np.delete(transitions, same), entry])[-settings.buffer_size :]
    used = {row.tobytes() for row in transitions["slate"]}
    seen = state.seen if number in state.seen else np.append(state.seen, np.uint32(number)).astype(np.uint32)
    dropped = max(0, len(seen) - settings.max_seen)
    return replace(
        state,
        updated=now,
        transitions=transitions,
        slates={key: slate for key, slate in slates.items() if key in used},
        seen=seen[dropped:],
        seen_dropped=state.seen_dropped + dropped,
    )


def _content_digest(event: Event) -> bytes:
    return hashlib.blake2b(event.model_dump_json(exclude={"event_id"}).encode(), digest_size=4).digest()
