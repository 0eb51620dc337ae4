"""What probes and version tell."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

__all__ = ["Readiness", "Version"]


class Readiness(BaseModel):
    """Whether the service may get traffic, and whether it serves less than it could."""

    status: Literal["ready", "not ready"]
    degraded: bool


class Version(BaseModel):
    """The release and the policy being served."""

    release: str
    policy: str
