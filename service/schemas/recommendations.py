"""A slate asked for, and a slate served."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

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

_SLATE: Final[JsonDict] = {
    "recommendation_id": "r1-6d5a2e1f0c9b8a7d6e5f4c3b2a190807-5f2d8c4b1a3e7960",
    "policy": {"version": "3b402f16966f0a1c", "alias": "champion"},
    "user": {"status": "adapted", "transitions": 3, "adapted_at": "2026-11-23T20:00:00+00:00"},
    "items": [
        {"item_id": "174", "rank": 1, "score": 0.512, "propensity": 0.93},
        {"item_id": "313", "rank": 2, "score": 0.471, "propensity": 0.41},
    ],
    "slate_propensity": 0.3813,
    "ope_eligible": True,
    "expires_at": "2026-11-23T21:00:05+00:00",
}
"""As an answer looks."""

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
    rank: Annotated[int, Field(ge=1, le=100)] = Field(description="1 is the first position; at most k.")


class Cap(Closed):
    """At most so many items of each value of an attribute; every entry of a list counts."""

    attribute: Name = Field(description="Of items; whatever lacks it is not capped.")
    max: Annotated[int, Field(ge=1, le=100)] = Field(description="Items of the slate that may share a value.")


class RecommendationRequest(Closed):
    """A request for one slate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "ada", "k": 5},
                {
                    "user_id": "ada",
                    "k": 10,
                    "filter": '"Drama" in genres and year >= 1990',
                    "boosts": [{"filter": "year >= 1995", "value": 0.05}],
                    "pins": [{"item_id": "50", "rank": 3}],
                    "caps": [{"attribute": "genres", "max": 3}],
                    "diversity": 0.2,
                },
            ]
        }
    )

    user_id: Id = Field(description="Who sees the slate; an id that nobody has used yet is a new user.")
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

    user_id: Id | None = Field(default=None, description="Whose slate it is.")


class Policy(BaseModel):
    """Which policy answered."""

    version: str = Field(description="Digest of the checkpoint that is served.")
    alias: Literal["champion"] = "champion"


class UserStatus(BaseModel):
    """What the policy knew of the user."""

    status: Literal["cold", "adapted"] = Field(description="cold: nothing is known but attributes.")
    transitions: int = Field(description="Reactions that the personal policy is adapted from.")
    adapted_at: datetime | None = Field(description="When the newest of them came.")


class Reason(BaseModel):
    """A part of an item's score."""

    kind: Literal["population", "adaptation", "boost", "fatigue", "pin", "transition"] = Field(
        description="transition: what one reaction, on `item_id`, did; they sum up to adaptation."
    )
    contribution: float = Field(description="In units of a reward.")
    item_id: str | None = None


class RecommendedItem(BaseModel):
    """One position of a slate."""

    item_id: str
    rank: int = Field(description="1 is the first position.")
    score: float = Field(description="Expected reward of the item for this user.")
    propensity: float = Field(description="Probability of this item at this position, given the positions before it.")
    attributes: dict[str, Any] | None = Field(default=None, description="With `explain`.")
    reasons: list[Reason] | None = Field(default=None, description="With `explain`: what the score is made of.")


class RecommendationResponse(BaseModel):
    """A slate."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SLATE]})

    recommendation_id: str = Field(description="Name it in feedback: so what was shown and what was done join.")
    policy: Policy
    user: UserStatus
    items: list[RecommendedItem] = Field(description="Best first; fewer than k where no more satisfy the rules.")
    slate_propensity: float = Field(description="Probability of the whole slate: the product of its positions'.")
    ope_eligible: bool = Field(description="Whether it may be used to judge other policies by.")
    ignored: list[str] | None = Field(default=None, description="Candidates and pins that are unknown or not on offer.")
    degraded: str | None = Field(default=None, description="Why less was served than was asked for.")
    expires_at: datetime = Field(description="End of the reward window: feedback counts until then.")


class BatchResult(BaseModel):
    """One request's answer: a slate where the status is 200, else a problem document."""

    status: int
    body: dict[str, Any]


class BatchResponse(BaseModel):
    """Answers in the order of the requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"results": [{"status": 200, "body": _SLATE}]}]})

    results: list[BatchResult]
