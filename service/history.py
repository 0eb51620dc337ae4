"""Warm-up: a user's history, however old, makes them personal at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.draft import Draft
from service.engine import Engine
from service.rewards import reward_of
from service.schemas import HistoryEvent
from service.store.codec import UserState
from service.store.keys import UserKeys, digest
from service.users import change_user

__all__ = ["warm_up"]


async def warm_up(engine: Engine, user_id: str, events: Sequence[HistoryEvent]) -> dict[str, Any]:
    """Applies a history in the order of its times; the fields are those of `FeedbackResponse`.

    An event whose transition is still held counts once, whenever it is told again. One that is older than everything in
    a full buffer changes nothing but the list of seen items, and so may be told again, too.

    Raises:
        ApiError: 503 where Redis does not confirm the write; nothing is applied then, or everything.
    """
    applied = duplicates = 0
    rejected: list[dict[str, Any]] = []

    def told(state: UserState) -> UserState:
        nonlocal applied, duplicates, rejected
        applied, duplicates, rejected = 0, 0, []
        now = engine.now()
        draft = Draft(state, engine.settings, now)
        times = [now if event.timestamp is None else event.timestamp.timestamp() for event in events]
        for index in sorted(range(len(events)), key=lambda at: times[at]):
            event, identity = events[index], digest(events[index].event_id)
            number = engine.catalogue.number(event.item_id)
            if times[index] > now + engine.settings.max_clock_skew_s:
                rejected.append({"index": index, "code": "future"})
            elif draft.knows(identity):
                duplicates += 1
            elif number is None:
                rejected.append({"index": index, "code": "unknown_item"})
            else:
                applied += 1
                if event.type != "impression":
                    draft.see(number, event.type)
                reward = reward_of(event, engine.settings)
                if reward is not None:
                    draft.learn(identity, number, reward, None, None, max(0, int(times[index])))
        rejected.sort(key=lambda each: each["index"])
        return engine.adapted(draft.state())[0] if applied else state

    state = await change_user(engine, UserKeys.of(engine.settings.tenant, user_id), told)
    counts = {"applied": applied, "duplicate": duplicates, "rejected": len(rejected)}
    for outcome, count in counts.items():
        engine.metrics.warm_up_events.labels(outcome).inc(count)
    status = engine.standing(state).status
    users = [{"user_id": user_id, "status": status, "transitions": len(state.transitions)}]
    return {"applied": applied, "duplicates": duplicates, "rejected": rejected, "users": users}
