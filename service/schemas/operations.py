"""What probes and version tell."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Readiness", "Version"]


class Readiness(BaseModel):
    """Whether the service may get traffic, and whether it serves less than it could."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready", "degraded": False}]})

    status: Literal["ready", "not ready"] = Field(description="not ready: still warming up, or draining.")
    degraded: bool = Field(description="Whether Redis is away: slates are the population's, feedback is refused.")


class Version(BaseModel):
    """The release and the policy being served."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"release": "0.1.0", "policy": "3b402f16966f0a1c"}]})

    release: str
    policy: str = Field(description="Digest of the checkpoint that is served.")
