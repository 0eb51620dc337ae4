"""A user's attributes, and what is held of a user."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from service.schemas.base import Attributes, Closed

__all__ = ["UserBody", "UserResponse"]


class UserBody(Closed):
    """A user's attributes; they set the starting point at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"age": 31, "gender": "F"}}]})

    attributes: Attributes


class UserResponse(BaseModel):
    """What is held of a user."""

    user_id: str
    status: Literal["cold", "adapted", "pending"]
    attributes: dict[str, Any]
    policy_version: str
    transitions: int
    kl_nats: float
    updated_at: datetime | None
    weights_digest: str
