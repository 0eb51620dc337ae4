"""Settings of training that a protocol without any refuses: in its report they would stand as if they did something."""

from __future__ import annotations

from metarl_rec.config import TrainConfig
from metarl_rec.worlds import WorldConfig

__all__ = ["UNTRAINED"]

# Folds are made for every split, the horizon is what the catalogue must allow for, and topics are told from a column.
_TRAIN = set(TrainConfig.model_fields) - {"folds", "horizon", "world"}
_WORLD = set(WorldConfig.model_fields) - {"topic_attribute"}
UNTRAINED = {f"train.{name}": "" for name in sorted(_TRAIN)} | {f"train.world.{name}": "" for name in sorted(_WORLD)}
"""For `config.decided`: names within RunConfig."""
