"""Requests and responses: strict, closed, finite; the same models make the OpenAPI document."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.settings import EventType

__all__ = [
    "Candidate",
    "Event",
    "EventBatch",
    "Exploration",
    "FeedbackResponse",
    "ItemBody",
    "ItemResponse",
    "Problem",
    "RecommendationRequest",
    "RecommendationResponse",
    "UserBody",
    "UserResponse",
    "check_id",
]


def check_id(value: str) -> str:
    """Returns an id that is fit to be one.

    Raises:
        ValueError: it is empty or too long, or holds control characters or surrogates.
    """
    if not 1 <= len(value) <= 256:
        raise ValueError("must have 1 to 256 characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError("must not contain control characters or surrogates")
    return value


Id = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(check_id)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(check_id)]
Text = Annotated[str, StringConstraints(max_length=1024)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
AttributeValue = Number | Text | Annotated[list[Text], Field(max_length=64)]
Attributes = Annotated[dict[Name, AttributeValue], Field(max_length=64)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Candidate(_Closed):
    """An item that the caller offers."""

    item_id: Id


class Exploration(_Closed):
    """How the slate is drawn."""

    enabled: bool = Field(default=True, description="False takes the best items: propensity 1, not usable off-policy.")
    temperature: Annotated[float, Field(ge=0.001, le=10)] | None = Field(
        default=None, description="Softmax temperature, in units of a reward; the checkpoint's when absent."
    )


class RecommendationRequest(_Closed):
    """A request for one slate."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada", "k": 5}]})

    user_id: Id
    k: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="Items wanted.")
    user_attributes: Attributes | None = Field(
        default=None, description="Attributes for this request only; PUT /v1/users/{user_id} stores them."
    )
    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Choose among these items only; unknown ones come back as `ignored`."
    )
    exclude_item_ids: Annotated[list[Id], Field(max_length=500)] = Field(default=[], description="Never show these.")
    exclude_seen: bool = Field(default=True, description="Leave out items that the user has given feedback on.")
    exploration: Exploration = Exploration()
    explain: bool = Field(default=False, description="Add attributes and reasons to every item.")
    recommendation_id: Id | None = Field(
        default=None, description="Makes the call idempotent: the same id and request give the same slate again."
    )


class Event(_Closed):
    """One thing that a user did."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"event_id": "e1", "user_id": "ada", "item_id": "50", "type": "like"}]}
    )

    event_id: Id = Field(description="Counts exactly once for its user.")
    type: EventType
    item_id: Id
    user_id: Id | None = Field(
        default=None, description="May be left out with a recommendation id made by the service."
    )
    recommendation_id: Id | None = Field(default=None, description="The slate that showed the item, if one did.")
    value: Number | None = Field(default=None, description="The rating of type rating; reward in 0..1 of type custom.")
    timestamp: Annotated[datetime, Field(strict=False)] | None = Field(
        default=None, description="RFC 3339; now when absent."
    )

    @model_validator(mode="after")
    def _complete(self) -> Event:
        if self.user_id is None and self.recommendation_id is None:
            raise ValueError("give user_id, or a recommendation_id made by the service")
        if self.type == "rating" and self.value is None:
            raise ValueError("a rating needs its value")
        if self.type == "custom" and self.value is not None and not 0 <= self.value <= 1:
            raise ValueError("the value of a custom event is its reward and must lie in 0..1")
        if self.timestamp is not None and self.timestamp.tzinfo is None:
            raise ValueError("timestamp needs a time zone, for example 2026-11-23T20:00:00Z")
        return self


class EventBatch(_Closed):
    """Up to 1,000 events; each is applied, a duplicate, or rejected with a code."""

    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]


class UserBody(_Closed):
    """A user's attributes; they set the starting point at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"age": 31, "gender": "F"}}]})

    attributes: Attributes


class ItemBody(_Closed):
    """An item's attributes; a new item is recommendable at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"genres": ["Drama"], "year": 2026}}]})

    attributes: Attributes = {}
    available: bool = True


class Policy(BaseModel):
    """Which policy answered."""

    version: str
    alias: Literal["champion"] = "champion"


class UserStatus(BaseModel):
    """What the policy knew of the user."""

    status: Literal["cold", "adapted"]
    transitions: int
    adapted_at: datetime | None


class Reason(BaseModel):
    """A part of an item's score."""

    kind: Literal["population", "adaptation", "fatigue", "transition"]
    contribution: float
    item_id: str | None = None


class RecommendedItem(BaseModel):
    """One position of a slate."""

    item_id: str
    rank: int
    score: float
    propensity: float = Field(description="Probability of this item at this position, given the positions before it.")
    attributes: dict[str, Any] | None = None
    reasons: list[Reason] | None = None


class RecommendationResponse(BaseModel):
    """A slate."""

    recommendation_id: str
    policy: Policy
    user: UserStatus
    items: list[RecommendedItem]
    slate_propensity: float
    ope_eligible: bool
    ignored: list[str] | None = None
    degraded: str | None = Field(default=None, description="Why less was served than was asked for.")
    expires_at: datetime


class Rejection(BaseModel):
    """An event that was not applied."""

    index: int
    code: str


class FeedbackUser(BaseModel):
    """A user whom feedback reached."""

    user_id: str | None
    status: Literal["cold", "adapted", "pending"]
    transitions: int


class FeedbackResponse(BaseModel):
    """What became of the events."""

    applied: int
    duplicates: int
    rejected: list[Rejection]
    users: list[FeedbackUser]


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


class ItemResponse(BaseModel):
    """An item."""

    item_id: str
    attributes: dict[str, Any]
    available: bool
    popularity: float


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
