"""Requests and responses: strict, closed, finite; the same models make the OpenAPI document."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from service.schemas.admin import KeyBody, KeyCreated, KeyPage, KeyResponse, TenantBody, TenantPage, TenantResponse
from service.schemas.base import Attributes, Problem, check_id
from service.schemas.feedback import Event, EventBatch, FeedbackResponse, HistoryEvent
from service.schemas.items import (
    BulkItem,
    BulkResponse,
    ItemBody,
    ItemPage,
    ItemPatch,
    ItemResponse,
    SimilarResponse,
)
from service.schemas.operations import Readiness, Version
from service.schemas.recommendations import (
    ActivationBody,
    BatchResponse,
    Boost,
    Candidate,
    Cap,
    Exploration,
    Pin,
    RecommendationBatch,
    RecommendationRequest,
    RecommendationResponse,
)
from service.schemas.users import (
    ExplainResponse,
    MergeBody,
    ResetBody,
    UserBody,
    UserPatch,
    UserResponse,
    WarmUpBody,
)

__all__ = [
    "BODIES",
    "FIELDS",
    "ActivationBody",
    "Attributes",
    "BatchResponse",
    "Boost",
    "BulkItem",
    "BulkResponse",
    "Candidate",
    "Cap",
    "Event",
    "EventBatch",
    "ExplainResponse",
    "Exploration",
    "FeedbackResponse",
    "HistoryEvent",
    "ItemBody",
    "ItemPage",
    "ItemPatch",
    "ItemResponse",
    "KeyBody",
    "KeyCreated",
    "KeyPage",
    "KeyResponse",
    "MergeBody",
    "Pin",
    "Problem",
    "Readiness",
    "RecommendationBatch",
    "RecommendationRequest",
    "RecommendationResponse",
    "ResetBody",
    "SimilarResponse",
    "TenantBody",
    "TenantPage",
    "TenantResponse",
    "UserBody",
    "UserPatch",
    "UserResponse",
    "Version",
    "WarmUpBody",
    "check_id",
]

BODIES: Final[tuple[type[BaseModel], ...]] = (
    RecommendationRequest,
    RecommendationBatch,
    ActivationBody,
    Event,
    EventBatch,
    UserBody,
    UserPatch,
    WarmUpBody,
    ResetBody,
    MergeBody,
    ItemBody,
    ItemPatch,
    BulkItem,
    KeyBody,
    TenantBody,
)
"""Bodies that routes parse themselves; the OpenAPI document describes them."""

_PARTS: Final[tuple[type[BaseModel], ...]] = (Candidate, Exploration, Boost, Pin, Cap, HistoryEvent)
FIELDS: Final = frozenset(name for model in (*BODIES, *_PARTS) for name in model.model_fields)
"""Names of ours: an error's location may repeat these, never a client's own key."""
