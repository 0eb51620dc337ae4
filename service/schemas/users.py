"""A user's attributes and history, and what is held of a user."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Attributes, AttributeValue, Closed, Id, Name
from service.schemas.feedback import HistoryEvent

__all__ = [
    "ExplainResponse",
    "MergeBody",
    "ResetBody",
    "UserBody",
    "UserPatch",
    "UserResponse",
    "WarmUpBody",
]


class UserBody(Closed):
    """A user's attributes; they set the starting point at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"age": 31, "gender": "F"}}]})

    attributes: Attributes


class UserPatch(Closed):
    """Attributes that change; null takes one away, the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"age": 32, "gender": None}}]})

    attributes: Annotated[dict[Name, AttributeValue | None], Field(max_length=64)]


class WarmUpBody(Closed):
    """A user's history."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"event_id": "h1", "type": "rating", "item_id": "50", "value": 5},
                        {"event_id": "h2", "type": "purchase", "item_id": "172", "timestamp": "2025-05-01T10:00:00Z"},
                    ]
                }
            ]
        }
    )

    events: Annotated[list[HistoryEvent], Field(min_length=1, max_length=1000)]


class ResetBody(Closed):
    """What a reset takes beside everything learned."""

    attributes: bool = Field(default=False, description="Whether the attributes go, too.")


class MergeBody(Closed):
    """The user who is merged into another, for example an anonymous session into a login."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source_user_id": "session-8f3a"}]})

    source_user_id: Id


class UserResponse(BaseModel):
    """What is held of a user."""

    user_id: str
    status: Literal["cold", "adapted", "pending"]
    attributes: dict[str, Any]
    policy_version: str
    transitions: int
    kl_nats: float
    updated_at: datetime | None
    weights_digest: str


class ExplainedItem(BaseModel):
    """An item that leads the user's list now."""

    item_id: str
    rank: int
    score: float
    meta_rank: int = Field(description="Where it stands without adaptation.")
    meta_score: float


class ExplainedTransition(BaseModel):
    """What one transition did: the policy adapted anew without it."""

    item_id: str
    reward: float
    at: datetime
    effects: list[float] = Field(description="For each item: its score minus its score without this transition.")


class ExplainResponse(BaseModel):
    """What made the user's list what it is."""

    user_id: str
    status: Literal["cold", "adapted", "pending"]
    items: list[ExplainedItem]
    transitions: list[ExplainedTransition] = Field(description="Those that moved the items most first.")
