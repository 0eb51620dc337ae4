"""An item as it is stored and as it is told."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Attributes, Closed

__all__ = ["ItemBody", "ItemResponse"]


class ItemBody(Closed):
    """An item's attributes; a new item is recommendable at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"genres": ["Drama"], "year": 2026}}]})

    attributes: Attributes = Field(default={})
    available: bool = True


class ItemResponse(BaseModel):
    """An item."""

    item_id: str
    attributes: dict[str, Any]
    available: bool
    popularity: float
