"""An item as it is stored and as it is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from service.schemas.base import Attributes, AttributeValue, Closed, Id, Name, Time

__all__ = ["BulkItem", "BulkResponse", "ItemBody", "ItemPage", "ItemPatch", "ItemResponse", "SimilarResponse"]


_ITEM: Final[JsonDict] = {
    "item_id": "50",
    "attributes": {"genres": ["Action", "Adventure", "Romance", "Sci-Fi", "War"], "year": 1977},
    "available": True,
    "popularity": 0.79,
    "not_learned_from": [],
}
_PUBLISHED = Field(default=None, description="RFC 3339; not shown before. Absent: at once.")
_EXPIRES = Field(default=None, description="RFC 3339; not shown from then on. Absent: never.")


class ItemBody(Closed):
    """An item; a new one is recommendable at once, from its attributes.

    Attributes that the checkpoint declares say what the item is like; all others serve filters, boosts and caps.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"attributes": {"genres": ["Drama"], "year": 1996, "price": 9.5}}]}
    )

    attributes: Attributes = Field(default={}, description="Numbers, words, or lists of words, by name.")
    available: bool = Field(default=True, description="False takes it out of every slate at once.")
    published_at: Time | None = _PUBLISHED
    expires_at: Time | None = _EXPIRES


class ItemPatch(Closed):
    """What changes of an item: absent fields stay, null takes a time or an attribute away."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"available": False}, {"attributes": {"price": 8.5, "badge": None}}]}
    )

    attributes: Annotated[dict[Name, AttributeValue | None], Field(max_length=64)] = Field(
        default={}, description="Those that change; null takes one away."
    )
    available: bool | None = Field(default=None, description="False takes it out of every slate at once.")
    published_at: Time | None = _PUBLISHED
    expires_at: Time | None = _EXPIRES


class BulkItem(ItemBody):
    """One line of a bulk load."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "m1", "attributes": {"genres": ["Drama"]}}]})

    item_id: Id


class ItemResponse(BaseModel):
    """An item."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ITEM]})

    item_id: str
    attributes: dict[str, Any]
    available: bool = Field(description="Whether slates may hold it, between its times.")
    published_at: datetime | None = Field(default=None, description="Not shown before.")
    expires_at: datetime | None = Field(default=None, description="Not shown from then on.")
    popularity: float = Field(description="What the population thinks of it, in units of a reward.")
    not_learned_from: list[str] = Field(
        default=[], description="Attributes that the checkpoint does not declare: they serve filters, boosts and caps."
    )


class ItemPage(BaseModel):
    """Some items in the order in which they became known."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_ITEM], "cursor": "1"}]})

    items: list[ItemResponse]
    cursor: str | None = Field(default=None, description="Give it to get the next page; absent on the last one.")


class SimilarItem(BaseModel):
    """An item like another."""

    item_id: str
    similarity: float = Field(description="Cosine of the items' features: whether the same people like them.")
    attributes: dict[str, Any]


class SimilarResponse(BaseModel):
    """The items most like another."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"item_id": "172", "similarity": 0.93, "attributes": {"year": 1980}}]}]
        }
    )

    items: list[SimilarItem]


class BulkRejection(BaseModel):
    """A line that was not applied."""

    line: int = Field(description="From 1; empty lines count, too.")
    code: str
    detail: str = Field(description="What is wrong with it.")


class BulkResponse(BaseModel):
    """What became of a bulk load."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "applied": 2,
                    "rejected": 1,
                    "rejections": [{"line": 3, "code": "invalid_field", "detail": "item_id: Field required"}],
                }
            ]
        }
    )

    applied: int = Field(description="Lines that were stored.")
    rejected: int = Field(description="Lines that were not.")
    rejections: list[BulkRejection] = Field(description="The first thousand of them.")
