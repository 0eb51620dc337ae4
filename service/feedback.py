"""Feedback: resolve events, append them, adapt, and write it all at once; exactly once by event id."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.contention import ATTEMPTS, pause
from service.draft import Draft
from service.engine import Engine
from service.errors import unavailable
from service.rewards import reward_of
from service.schemas import Event
from service.settling import read_settled
from service.store.codec import (
    Impression,
    StateError,
    UserState,
    decode_impression,
    encode_state,
    head_of,
)
from service.store.connection import StoreUnavailable
from service.store.events import EventLog
from service.store.keys import UserKeys, digest, user_named_by

__all__ = ["REJECTION_STATUS", "FeedbackResult", "apply_events"]

REJECTION_STATUS = {
    "unknown_impression": 404,
    "unknown_item": 404,
    "unknown_user": 404,
    "expired": 409,
    "late": 409,
    "conflict": 422,
    "not_in_slate": 422,
    "future": 422,
}
"""HTTP status of a single event's rejection."""

_USERS_AT_ONCE = 16


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
    rewards: list[float] = field(default_factory=list)
    delays_s: list[int] = field(default_factory=list)


async def apply_events(engine: Engine, events: Sequence[Event]) -> FeedbackResult:
    """Applies events user by user; each user's part is durable and adapted before this returns.

    Raises:
        ApiError: 503 where Redis does not confirm a write. What was confirmed for other users stays; repeating the
            call is safe, because what was applied comes back as a duplicate.
    """
    rejected: list[tuple[_Indexed, str]] = []
    groups: dict[str, tuple[UserKeys, list[_Indexed]]] = {}
    for index, event in enumerate(events):
        keys = user_named_by(engine.settings.tenant, event.user_id, event.recommendation_id)
        if keys is None:
            rejected.append((_Indexed(index, event), "unknown_impression"))
        else:
            groups.setdefault(keys.user, (keys, []))[1].append(_Indexed(index, event))
    # Users are independent: their round trips overlap, a bounded number at a time.
    gate = asyncio.Semaphore(_USERS_AT_ONCE)

    async def apply_group(keys: UserKeys, group: list[_Indexed]) -> tuple[_Outcome, str]:
        async with gate, engine.lock(keys.user):
            return await _apply_to_user(engine, keys, group)

    found = await asyncio.gather(*(apply_group(keys, group) for keys, group in groups.values()), return_exceptions=True)
    applied = duplicates = 0
    users = []
    for (_, group), result in zip(groups.values(), found, strict=True):
        if isinstance(result, StoreUnavailable):
            raise unavailable(result.kind) from None
        if isinstance(result, BaseException):
            raise result
        outcome, status = result
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


async def _apply_to_user(engine: Engine, keys: UserKeys, group: list[_Indexed]) -> tuple[_Outcome, str]:
    wanted = sorted({entry.event.recommendation_id for entry in group if entry.event.recommendation_id is not None})
    life: bytes | None = None
    for attempt in range(ATTEMPTS):
        snapshot = await read_settled(engine, keys, wanted, events=True)
        await engine.catch_up(snapshot.changes)
        state = engine.decode(snapshot.state)
        if life is not None and state.life != life:
            # The user was deleted while this was at work: what was in flight must not bring anything back.
            return _Outcome([], [], [(entry, "unknown_user") for entry in group], state, EventLog({})), "cold"
        life = state.life
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
        adapted, status = engine.adapted(outcome.state)
        data = encode_state(adapted)
        if await engine.users.commit(keys, head_of(snapshot.state), data, outcome.log.encode()):
            _count(engine, outcome, len(data))
            return outcome, status
        # Another process was faster.
        await pause(attempt)
    raise StoreUnavailable("contention")


def _count(engine: Engine, outcome: _Outcome, size_bytes: int) -> None:
    """Counts what was written; only now, because a lost race applies the same events again."""
    engine.metrics.state_bytes.observe(size_bytes)
    for reward in outcome.rewards:
        engine.metrics.reward.observe(reward)
    for delay_s in outcome.delays_s:
        engine.metrics.feedback_delay.observe(delay_s)


def _append(
    engine: Engine, state: UserState, log: EventLog, group: list[_Indexed], impressions: dict[str, Impression]
) -> _Outcome:
    """Returns what the events make of the state; `log` takes the applied ones in."""
    settings, now = engine.settings, engine.now()
    draft = Draft(state, settings, now)
    outcome = _Outcome([], [], [], state, log)
    for entry in group:
        event = entry.event
        identity, content = digest(event.event_id), _content_digest(event)
        stamp = max(0.0, event.timestamp.timestamp()) if event.timestamp is not None else 0.0
        known = log.find(identity, content, stamp)
        if known == "same":
            outcome.duplicates.append(event)
            continue
        code = {"other": "conflict", "late": "late"}.get(known) or _fault(engine, state, event, impressions, now)
        number = engine.catalogue.number(event.item_id)
        if code is None and number is None:
            code = "unknown_item"
        if code is not None or number is None:
            outcome.rejected.append((entry, code or "unknown_item"))
            continue
        if event.type != "impression":
            draft.see(number, event.type)
        reward = reward_of(event, settings)
        if reward is not None:
            outcome.rewards.append(reward)
            impression = impressions.get(event.recommendation_id) if event.recommendation_id is not None else None
            draft.learn(identity, number, reward, event.recommendation_id, impression)
            if impression is not None:
                outcome.delays_s.append(max(0, now - impression.expires + settings.impression_ttl_s))
        log.add(
            identity,
            content,
            now,
            window_s=settings.event_window_s,
            window_size=settings.event_window_size,
            stamp=stamp,
        )
        outcome.applied.append(event)
    return replace(outcome, state=draft.state()) if outcome.applied else outcome


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
    if impression is None and digest(event.recommendation_id)[:8] in state.slates:
        # Settled since: what it could still say has been counted.
        return "expired"
    if impression is None or impression.life != state.life:
        return "unknown_impression"
    if impression.expires < now:
        return "expired"
    number = engine.catalogue.number(event.item_id)
    return "not_in_slate" if number is not None and number not in impression.items else None


def _content_digest(event: Event) -> bytes:
    return hashlib.blake2b(event.model_dump_json(exclude={"event_id"}).encode(), digest_size=4).digest()
