"""API keys and tenants as they are asked for and told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Closed, Name

__all__ = ["KeyBody", "KeyCreated", "KeyPage", "KeyResponse", "TenantBody", "TenantPage", "TenantResponse"]

TenantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class KeyBody(Closed):
    """A key that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "web shop", "role": "writer"}]})

    name: Name
    role: Literal["reader", "writer", "admin"] = Field(
        description="reader: recommendations and reading; writer: feedback, users and items, too; admin: everything."
    )
    tenant: TenantName | None = Field(default=None, description="Whose users and items; the service's own when absent.")
    rate_per_s: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        default=None, description="Calls a second on each replica; the service's default when absent."
    )
    expires_at: Annotated[datetime, Field(strict=False)] | None = Field(default=None, description="RFC 3339.")


class KeyResponse(BaseModel):
    """A key, without its secret."""

    key_id: str
    name: str
    role: Literal["reader", "writer", "admin"]
    tenant: str
    created_at: datetime
    expires_at: datetime | None = None
    rate_per_s: float | None = None


class KeyCreated(KeyResponse):
    """A new key; this is the only time that it is told."""

    key: str


class KeyPage(BaseModel):
    """All keys, oldest first."""

    keys: list[KeyResponse]


class TenantBody(Closed):
    """A tenant that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "shop-2", "checkpoint_items": False}]})

    name: TenantName
    checkpoint_items: bool = Field(default=True, description="False begins with an empty catalogue.")


class TenantResponse(BaseModel):
    """A tenant."""

    name: str
    checkpoint_items: bool
    created_at: datetime


class TenantPage(BaseModel):
    """All tenants by name, the service's own left out."""

    tenants: list[TenantResponse]
