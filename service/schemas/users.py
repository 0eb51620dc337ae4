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

    attributes: Attributes = Field(description="Those that the checkpoint declares; any others are refused.")


class UserPatch(Closed):
    """Attributes that change; null takes one away, the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"age": 32, "gender": None}}]})

    attributes: Annotated[dict[Name, AttributeValue | None], Field(max_length=64)] = Field(
        description="Those that change; null takes one away."
    )


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

    events: Annotated[list[HistoryEvent], Field(min_length=1, max_length=1000)] = Field(
        description="Of any age and in any order; their timestamps say which came first."
    )


class ResetBody(Closed):
    """What a reset takes beside everything learned."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": True}]})

    attributes: bool = Field(default=False, description="Whether the attributes go, too.")


class MergeBody(Closed):
    """The user who is merged into another, for example an anonymous session into a login."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source_user_id": "session-8f3a"}]})

    source_user_id: Id = Field(description="Who is merged, and is gone afterwards.")


class UserResponse(BaseModel):
    """What is held of a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "ada",
                    "status": "adapted",
                    "attributes": {"age": 31, "gender": "F"},
                    "policy_version": "3b402f16966f0a1c",
                    "transitions": 3,
                    "kl_nats": 0.82,
                    "updated_at": "2026-11-23T20:00:00+00:00",
                    "weights_digest": "5feceb66ffc86f38",
                }
            ]
        }
    )

    user_id: str
    status: Literal["cold", "adapted", "pending"] = Field(
        description="cold: nothing to adapt from; pending: the policy could not be adapted."
    )
    attributes: dict[str, Any]
    policy_version: str = Field(description="Digest of the checkpoint that is served.")
    transitions: int = Field(description="Reactions that the personal policy is adapted from.")
    kl_nats: float = Field(description="How far the personal policy is from its starting point: KL divergence, nats.")
    updated_at: datetime | None = Field(description="When the newest reaction came.")
    weights_digest: str = Field(description="The same for the same personal policy.")


class ExplainedItem(BaseModel):
    """An item that leads the user's list now."""

    item_id: str
    rank: int = Field(description="1 leads the list.")
    score: float = Field(description="Expected reward for this user.")
    meta_rank: int = Field(description="Where it stands without adaptation.")
    meta_score: float = Field(description="Its score without adaptation.")


class ExplainedTransition(BaseModel):
    """What one transition did: the policy adapted anew without it."""

    item_id: str
    reward: float = Field(description="What the reaction was worth, 0 to 1.")
    at: datetime = Field(description="When it came.")
    effects: list[float] = Field(description="For each item: its score minus its score without this transition.")


class ExplainResponse(BaseModel):
    """What made the user's list what it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "ada",
                    "status": "adapted",
                    "items": [{"item_id": "174", "rank": 1, "score": 0.61, "meta_rank": 7, "meta_score": 0.49}],
                    "transitions": [
                        {"item_id": "172", "reward": 1.0, "at": "2026-11-23T20:00:00+00:00", "effects": [0.08]}
                    ],
                }
            ]
        }
    )

    user_id: str
    status: Literal["cold", "adapted", "pending"]
    items: list[ExplainedItem]
    transitions: list[ExplainedTransition] = Field(description="Those that moved the items most first.")
