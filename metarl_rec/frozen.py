"""What all settings have in common."""

from pydantic import BaseModel, ConfigDict

__all__ = ["FrozenSettings"]


class FrozenSettings(BaseModel):
    """Settings that do not change, refuse names that they do not know, and have finite numbers only: an infinite weight
    or width passes a lower bound, and fails far from where it was set."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
