"""The simulator's one error."""

from __future__ import annotations

__all__ = ["SimulatorError"]


class SimulatorError(ValueError):
    """A population, response model or environment is configured wrongly; the text names the field and the remedy."""
