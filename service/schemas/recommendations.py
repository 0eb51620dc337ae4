"""A slate asked for, and a slate served."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Attributes, Closed, Id

__all__ = ["Candidate", "Exploration", "RecommendationRequest", "RecommendationResponse"]


class Candidate(Closed):
    """An item that the caller offers."""

    item_id: Id


class Exploration(Closed):
    """How the slate is drawn."""

    enabled: bool = Field(default=True, description="False takes the best items: propensity 1, not usable off-policy.")
    temperature: Annotated[float, Field(ge=0.001, le=10)] | None = Field(
        default=None, description="Softmax temperature, in units of a reward; the checkpoint's when absent."
    )


class RecommendationRequest(Closed):
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
