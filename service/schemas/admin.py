"""API keys and tenants as they are asked for and told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from service.schemas.base import Closed, Name, Time

__all__ = ["KeyBody", "KeyCreated", "KeyPage", "KeyResponse", "TenantBody", "TenantPage", "TenantResponse"]

TenantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


_KEY: Final[JsonDict] = {
    "key_id": "0199a1b2c3d44f5e6a7b",
    "name": "web shop",
    "role": "writer",
    "tenant": "default",
    "created_at": "2026-11-23T20:00:00+00:00",
}
_TENANT: Final[JsonDict] = {
    "name": "shop-2",
    "status": "active",
    "checkpoint_items": False,
    "created_at": "2026-11-23T20:00:00+00:00",
}


def _coming(value: datetime) -> datetime:
    if value <= datetime.now(value.tzinfo):
        raise ValueError("must lie in the future")
    return value


class KeyBody(Closed):
    """A key that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "web shop", "role": "writer"}]})

    name: Name = Field(description="What people call it.")
    role: Literal["reader", "writer", "admin"] = Field(
        description="reader: recommendations and reading; writer: feedback, users and items, too; admin: keys as well."
    )
    tenant: TenantName | None = Field(default=None, description="Whose users and items; the caller's own when absent.")
    rate_per_s: Annotated[float, Field(ge=0.001, le=1e6)] | None = Field(
        default=None,
        description="Calls a second on all replicas together; set by the service's own tenant. Absent: the default.",
    )
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Calls at once, with rate_per_s; absent: METARL_RATE_BURST_S seconds of the rate."
    )
    expires_at: Annotated[Time, AfterValidator(_coming)] | None = Field(
        default=None, description="RFC 3339; refused from then on. Absent: never."
    )

    @model_validator(mode="after")
    def _complete(self) -> KeyBody:
        if self.burst is not None and self.rate_per_s is None:
            raise ValueError("burst needs rate_per_s")
        return self


class KeyResponse(BaseModel):
    """A key, without its secret."""

    key_id: str = Field(description="Names the key, in public: in logs, and to revoke it.")
    name: str = Field(description="What people call it.")
    role: Literal["reader", "writer", "admin"]
    tenant: str = Field(description="Whose users and items it sees.")
    created_at: datetime
    expires_at: datetime | None = Field(default=None, description="Absent: never.")
    rate_per_s: float | None = Field(default=None, description="Calls a second. Absent: METARL_RATE_PER_S.")
    burst: int | None = Field(default=None, description="Calls at once.")


class KeyCreated(KeyResponse):
    """A new key; this is the only time that it is told."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_KEY, "key": "mrk_0199a1b2c3d44f5e6a7b_" + "x" * 43}]})

    key: str = Field(description="Keep it: only its hash is stored.")


class KeyPage(BaseModel):
    """A tenant's keys, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keys": [_KEY]}]})

    keys: list[KeyResponse]
    cursor: str | None = Field(default=None, description="For the next page; absent on the last.")


class TenantBody(Closed):
    """A tenant that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "shop-2", "checkpoint_items": False}]})

    name: TenantName = Field(description="Lower-case letters, digits and hyphens.")
    checkpoint_items: bool = Field(
        default=True, description="False begins with no items; the tenant's own are scored from their attributes."
    )


class TenantResponse(BaseModel):
    """A tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TENANT]})

    name: str
    status: Literal["active", "deleting"] = Field(description="deleting: its keys are refused, its data is going.")
    checkpoint_items: bool | None = Field(default=None, description="Whether it began with the checkpoint's items.")
    created_at: datetime | None = Field(default=None, description="Absent for the service's own and for deleted ones.")


class TenantPage(BaseModel):
    """All tenants: the service's own, the others by name, and those that are being deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tenants": [_TENANT]}]})

    tenants: list[TenantResponse]
