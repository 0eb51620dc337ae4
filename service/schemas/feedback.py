"""What users did, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.schemas.base import Closed, Id, Number, Time
from service.settings import EventType

__all__ = ["Event", "EventBatch", "FeedbackResponse", "HistoryEvent"]


class HistoryEvent(Closed):
    """One thing that a user did, wherever that was."""

    event_id: Id = Field(description="Counts exactly once for its user.")
    type: EventType = Field(description="METARL_EVENT_REWARDS says what each is worth.")
    item_id: Id = Field(description="What it was done with.")
    value: Number | None = Field(default=None, description="The rating of type rating; reward in 0..1 of type custom.")
    timestamp: Time | None = Field(default=None, description="RFC 3339; now when absent.")

    @model_validator(mode="after")
    def _valued(self) -> HistoryEvent:
        if self.type == "rating" and self.value is None:
            raise ValueError("a rating needs its value")
        if self.type == "custom" and self.value is not None and not 0 <= self.value <= 1:
            raise ValueError("the value of a custom event is its reward and must lie in 0..1")
        return self


class Event(HistoryEvent):
    """One thing that a user did, here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"event_id": "e1", "user_id": "ada", "item_id": "50", "type": "like"},
                {"event_id": "e2", "user_id": "ada", "item_id": "172", "type": "rating", "value": 5},
            ]
        }
    )

    user_id: Id | None = Field(
        default=None, description="May be left out with a recommendation id made by the service."
    )
    recommendation_id: Id | None = Field(default=None, description="The slate that showed the item, if one did.")

    @model_validator(mode="after")
    def _owned(self) -> Event:
        if self.user_id is None and self.recommendation_id is None:
            raise ValueError("give user_id, or a recommendation_id made by the service")
        return self


class EventBatch(Closed):
    """Up to 1,000 events; each is applied, a duplicate, or rejected with a code."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"event_id": "e3", "user_id": "ada", "item_id": "181", "type": "like"},
                        {"event_id": "e4", "user_id": "bob", "item_id": "50", "type": "dislike"},
                    ]
                }
            ]
        }
    )

    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]


class Rejection(BaseModel):
    """An event that was not applied."""

    index: int = Field(description="Which of the events, from 0.")
    code: str = Field(
        description="conflict, unknown_impression, unknown_item, unknown_user, not_in_slate, expired, late or future."
    )


class FeedbackUser(BaseModel):
    """A user whom feedback reached."""

    user_id: str | None = Field(description="Absent in events that named only a recommendation id.")
    status: Literal["cold", "adapted", "pending"] = Field(
        description="pending: kept, but the policy could not be adapted; slates are those of the starting point."
    )
    transitions: int = Field(description="Reactions that the personal policy is adapted from.")


class FeedbackResponse(BaseModel):
    """What became of the events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "applied": 2,
                    "duplicates": 0,
                    "rejected": [{"index": 2, "code": "unknown_item"}],
                    "users": [{"user_id": "ada", "status": "adapted", "transitions": 3}],
                }
            ]
        }
    )

    applied: int = Field(description="Events that count from now on.")
    duplicates: int = Field(description="Events that had been applied before.")
    rejected: list[Rejection]
    users: list[FeedbackUser] = Field(description="Whom the events were about, as they stand now.")
