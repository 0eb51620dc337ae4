"""What the service answers, as frozen dataclasses. Times carry their zone; attributes are as the service holds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = [
    "BulkRejection",
    "BulkResult",
    "ExplainedItem",
    "ExplainedTransition",
    "Explanation",
    "FeedbackResult",
    "FeedbackUser",
    "Item",
    "ItemPage",
    "Policy",
    "Readiness",
    "Reason",
    "RecommendedItem",
    "Rejection",
    "SimilarItem",
    "Slate",
    "User",
    "UserStatus",
    "Version",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """Which policy answered."""

    version: str
    alias: str


@dataclass(frozen=True, slots=True)
class UserStatus:
    """What the policy knew of the user: `cold` or `adapted`, from how many transitions, since when."""

    status: str
    transitions: int
    adapted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A part of an item's score, in units of a reward."""

    kind: str
    contribution: float
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One position of a slate; `propensity` is conditional on the positions before it."""

    item_id: str
    rank: int
    score: float
    propensity: float
    attributes: dict[str, Any] | None = None
    reasons: tuple[Reason, ...] | None = None


@dataclass(frozen=True, slots=True)
class Slate:
    """The items for one user, top first.

    Attributes:
        recommendation_id: goes with the feedback on its items.
        policy: which policy answered.
        user: what it knew of the user.
        items: one a position.
        slate_propensity: probability of the whole slate.
        ope_eligible: whether off-policy evaluation may use it.
        expires_at: until when feedback may refer to it.
        ignored: candidates and pins that are unknown or not on offer.
        degraded: why less was served than was asked for.
    """

    recommendation_id: str
    policy: Policy
    user: UserStatus
    items: tuple[RecommendedItem, ...]
    slate_propensity: float
    ope_eligible: bool
    expires_at: datetime
    ignored: tuple[str, ...] | None = None
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was not applied: its position among those sent, and why."""

    index: int
    code: str


@dataclass(frozen=True, slots=True)
class FeedbackUser:
    """A user whom feedback reached; None for one whom only a recommendation id names."""

    user_id: str | None
    status: str
    transitions: int


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What became of the events: durable, and part of the next recommendation."""

    applied: int
    duplicates: int
    rejected: tuple[Rejection, ...]
    users: tuple[FeedbackUser, ...]


@dataclass(frozen=True, slots=True)
class User:
    """What is held of a user; `kl_nats` is how far the personal policy is from the meta-policy."""

    user_id: str
    status: str
    attributes: dict[str, Any]
    policy_version: str
    transitions: int
    kl_nats: float
    updated_at: datetime | None
    weights_digest: str


@dataclass(frozen=True, slots=True)
class Item:
    """An item; `popularity` is what the population thinks of it, in units of a reward."""

    item_id: str
    attributes: dict[str, Any]
    available: bool
    popularity: float
    published_at: datetime | None = None
    expires_at: datetime | None = None
    not_learned_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items, and the cursor of the next page, None on the last one."""

    items: tuple[Item, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """An item like another; `similarity` is the cosine of their features."""

    item_id: str
    similarity: float
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BulkRejection:
    """A line that was not applied; lines count from 1 over the whole load."""

    line: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of a bulk load; the service tells the first thousand rejections of each chunk."""

    applied: int = 0
    rejected: int = 0
    rejections: tuple[BulkRejection, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service may get traffic, and whether it has to do without its store."""

    ready: bool
    degraded: bool


@dataclass(frozen=True, slots=True)
class Version:
    """The release, and the version of the policy being served."""

    release: str
    policy: str


@dataclass(frozen=True, slots=True)
class ExplainedItem:
    """An item that leads the user's list, beside its rank and score without adaptation."""

    item_id: str
    rank: int
    score: float
    meta_rank: int
    meta_score: float


@dataclass(frozen=True, slots=True)
class ExplainedTransition:
    """What one transition did: for each of the items, its score minus its score without this transition."""

    item_id: str
    reward: float
    at: datetime
    effects: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What made the user's list what it is; the transitions that moved it most come first."""

    user_id: str
    status: str
    items: tuple[ExplainedItem, ...]
    transitions: tuple[ExplainedTransition, ...]
