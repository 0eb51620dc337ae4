"""Times as they are told: RFC 3339, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["rfc3339"]


def rfc3339(seconds: float) -> str:
    """Returns seconds since 1970 as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
