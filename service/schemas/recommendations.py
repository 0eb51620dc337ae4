"""A slate asked for, and a slate served."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.schemas.base import Attributes, Closed, Id, Name
from service.settings import EventType

__all__ = [
    "ActivationBody",
    "BatchResponse",
    "Boost",
    "Candidate",
    "Cap",
    "Exploration",
    "Pin",
    "RecommendationBatch",
    "RecommendationRequest",
    "RecommendationResponse",
]

Filter = Annotated[str, Field(min_length=1, max_length=2000)]


class Candidate(Closed):
    """An item that the caller offers."""

    item_id: Id


class Exploration(Closed):
    """How the slate is drawn."""

    enabled: bool = Field(default=True, description="False takes the best items: propensity 1, not usable off-policy.")
    temperature: Annotated[float, Field(ge=0.001, le=10)] | None = Field(
        default=None, description="Softmax temperature, in units of a reward; the checkpoint's when absent."
    )


class Boost(Closed):
    """Moves the value of some items for this request."""

    filter: Filter = Field(description="Which items.")
    value: Annotated[float, Field(ge=-1, le=1)] = Field(
        description="Added to their value, in units of a reward: 0.1 is as though one in ten more users liked them."
    )


class Pin(Closed):
    """An item that stands at a rank whatever its value, with propensity 1."""

    item_id: Id
    rank: Annotated[int, Field(ge=1, le=100)]


class Cap(Closed):
    """At most so many items of each value of an attribute; every entry of a list counts."""

    attribute: Name
    max: Annotated[int, Field(ge=1, le=100)]


class RecommendationRequest(Closed):
    """A request for one slate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "ada", "k": 5},
                {
                    "user_id": "ada",
                    "k": 10,
                    "filter": '"Drama" in class and release_year >= 1990',
                    "boosts": [{"filter": "release_year >= 1995", "value": 0.05}],
                    "pins": [{"item_id": "50", "rank": 3}],
                    "caps": [{"attribute": "class", "max": 3}],
                    "diversity": 0.2,
                },
            ]
        }
    )

    user_id: Id
    k: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="Items wanted.")
    user_attributes: Attributes | None = Field(
        default=None, description="Attributes for this request only; PUT /v1/users/{user_id} stores them."
    )
    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Choose among these items only; unknown ones come back as `ignored`."
    )
    exclude_item_ids: Annotated[list[Id], Field(max_length=500)] = Field(default=[], description="Never show these.")
    exclude_seen: bool | Annotated[list[EventType], Field(min_length=1, max_length=9)] = Field(
        default=True,
        description="Leave out items that the user has given feedback on; a list: only feedback of these types.",
    )
    filter: Filter | None = Field(
        default=None, description="Choose among items whose attributes satisfy this expression; see the guide above."
    )
    boosts: Annotated[list[Boost], Field(max_length=16)] = Field(default=[], description="Add to items' values.")
    pins: Annotated[list[Pin], Field(max_length=20)] = Field(
        default=[], description="Items at fixed ranks, whether or not filters and exclusions would let them pass."
    )
    caps: Annotated[list[Cap], Field(max_length=4)] = Field(default=[], description="Upper bounds per category.")
    diversity: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="0 minds values alone, 1 unlikeness to the items above alone."
    )
    exploration: Exploration = Exploration()
    context: Annotated[dict[Name, Any], Field(max_length=64)] | None = Field(
        default=None, description="Context features, where the checkpoint declares any."
    )
    explain: bool = Field(default=False, description="Add attributes and reasons to every item.")
    activate: bool = Field(
        default=True, description="False prefetches: the slate counts as shown once it is activated or answered."
    )
    recommendation_id: Id | None = Field(
        default=None, description="Makes the call idempotent: the same id and request give the same slate again."
    )

    @model_validator(mode="after")
    def _consistent(self) -> RecommendationRequest:
        ranks = [pin.rank for pin in self.pins]
        if any(rank > self.k for rank in ranks):
            raise ValueError("pins: a rank must not be greater than k")
        if len(set(ranks)) < len(ranks):
            raise ValueError("pins: give every rank once")
        if len({pin.item_id for pin in self.pins}) < len(ranks):
            raise ValueError("pins: give every item once")
        if len({cap.attribute for cap in self.caps}) < len(self.caps):
            raise ValueError("caps: give every attribute once")
        return self


class RecommendationBatch(Closed):
    """Requests for slates, each answered by itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [{"user_id": "ada", "k": 5}, {"user_id": "bob", "k": 5}]}]}
    )

    requests: Annotated[list[RecommendationRequest], Field(min_length=1, max_length=100)]


class ActivationBody(Closed):
    """Whose slate it is; needed where the caller chose the recommendation id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada"}]})

    user_id: Id | None = None


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

    kind: Literal["population", "adaptation", "boost", "fatigue", "pin", "transition"]
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
    ignored: list[str] | None = Field(default=None, description="Candidates and pins that are unknown or not on offer.")
    degraded: str | None = Field(default=None, description="Why less was served than was asked for.")
    expires_at: datetime


class BatchResult(BaseModel):
    """One request's answer: a slate where the status is 200, else a problem document."""

    status: int
    body: dict[str, Any]


class BatchResponse(BaseModel):
    """Answers in the order of the requests."""

    results: list[BatchResult]
