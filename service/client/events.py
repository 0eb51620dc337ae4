"""What users did: an event gets its id once, before the first try, so that no repeat of a call counts twice."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from service.client.call import Call, encoded
from service.client.decoding import built
from service.client.results import FeedbackResult

__all__ = ["Event", "EventType", "body_of", "feedback", "feedback_batch", "new_event_id", "time_text"]

EventType = Literal["impression", "click", "like", "dislike", "skip", "rating", "purchase", "dwell", "custom"]


def new_event_id() -> str:
    """Returns an id that nobody else makes: 128 random bits."""
    return secrets.token_hex(16)


def time_text(time: datetime) -> str:
    """Returns a time as RFC 3339; one without a zone is taken as local time, as Python does elsewhere."""
    return time.astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a user did.

    Attributes:
        type: what it was.
        item_id: to which item.
        user_id: who did it; may be left out with a recommendation id that the service made.
        recommendation_id: the slate that showed the item, if one did.
        value: the rating of type rating; the reward in 0..1 of type custom.
        timestamp: when; the service's now when absent.
        event_id: counts exactly once for its user; made here unless given.
    """

    type: EventType
    item_id: str
    user_id: str | None = None
    recommendation_id: str | None = None
    value: float | None = None
    timestamp: datetime | None = None
    event_id: str = field(default_factory=new_event_id)


def feedback(event: Event | Mapping[str, Any]) -> Call[FeedbackResult]:
    """Reports one event; when this returns it is durable and part of the user's next recommendation.

    Raises:
        ConflictError, NotFoundError, InvalidRequestError: the event was refused; `code` says why.
    """
    return Call("POST", "/v1/feedback", _read, encoded(body_of(event)))


def feedback_batch(events: Iterable[Event | Mapping[str, Any]]) -> Call[FeedbackResult]:
    """Reports up to 1,000 events; each is applied, a duplicate, or among `rejected` with its index and code."""
    return Call("POST", "/v1/feedback", _read, encoded({"events": [body_of(event) for event in events]}))


def body_of(event: Event | Mapping[str, Any]) -> dict[str, Any]:
    """Returns an event's JSON; an id is made for a mapping that has none."""
    if isinstance(event, Event):
        given = {each.name: getattr(event, each.name) for each in fields(event)}
        given = {name: value for name, value in given.items() if value is not None}
    else:
        given = {"event_id": new_event_id(), **event}
    if isinstance(given.get("timestamp"), datetime):
        given["timestamp"] = time_text(given["timestamp"])
    return given


def _read(body: object) -> FeedbackResult:
    return built(FeedbackResult, body)
