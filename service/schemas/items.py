"""An item as it is stored and as it is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Attributes, AttributeValue, Closed, Id, Name, Time

__all__ = ["BulkItem", "BulkResponse", "ItemBody", "ItemPage", "ItemPatch", "ItemResponse", "SimilarResponse"]


_PUBLISHED = Field(default=None, description="RFC 3339; not shown before. Absent: at once.")
_EXPIRES = Field(default=None, description="RFC 3339; not shown from then on. Absent: never.")


class ItemBody(Closed):
    """An item; a new one is recommendable at once, from its attributes.

    Attributes that the checkpoint declares say what the item is like; all others serve filters, boosts and caps.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"attributes": {"class": ["Drama"], "release_year": "1996", "price": 9.5}}]}
    )

    attributes: Attributes = Field(default={})
    available: bool = True
    published_at: Time | None = _PUBLISHED
    expires_at: Time | None = _EXPIRES


class ItemPatch(Closed):
    """What changes of an item: absent fields stay, null takes a time or an attribute away."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"available": False}, {"attributes": {"price": 8.5, "badge": None}}]}
    )

    attributes: Annotated[dict[Name, AttributeValue | None], Field(max_length=64)] = Field(default={})
    available: bool | None = None
    published_at: Time | None = _PUBLISHED
    expires_at: Time | None = _EXPIRES


class BulkItem(ItemBody):
    """One line of a bulk load."""

    item_id: Id


class ItemResponse(BaseModel):
    """An item."""

    item_id: str
    attributes: dict[str, Any]
    available: bool
    published_at: datetime | None = None
    expires_at: datetime | None = None
    popularity: float = Field(description="What the population thinks of it, in units of a reward.")
    not_learned_from: list[str] = Field(
        default=[], description="Attributes that the checkpoint does not declare: they serve filters, boosts and caps."
    )


class ItemPage(BaseModel):
    """Some items in the order in which they became known."""

    items: list[ItemResponse]
    cursor: str | None = Field(default=None, description="Give it to get the next page; absent on the last one.")


class SimilarItem(BaseModel):
    """An item like another."""

    item_id: str
    similarity: float = Field(description="Cosine of the items' features: whether the same people like them.")
    attributes: dict[str, Any]


class SimilarResponse(BaseModel):
    """The items most like another."""

    items: list[SimilarItem]


class BulkRejection(BaseModel):
    """A line that was not applied."""

    line: int
    code: str
    detail: str


class BulkResponse(BaseModel):
    """What became of a bulk load."""

    applied: int
    rejected: int
    rejections: list[BulkRejection] = Field(description="The first thousand of them.")
