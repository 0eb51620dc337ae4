"""Running every kernel once before the service is ready, compiled or loaded from the cache."""

from __future__ import annotations

import numpy as np

from metarl_rec.adaptation import adapt_user
from metarl_rec.kernels import score_items
from metarl_rec.ruled_slates import draw_ruled_slate, make_rules
from metarl_rec.slates import greedy_slate, sample_slate
from metarl_rec.support import shown_support
from service.engine import Engine

__all__ = ["warm"]


def warm(engine: Engine) -> None:
    """Adapts, scores and draws once, on the live arrays and their types."""
    catalogue, checkpoint = engine.catalogue, engine.checkpoint
    values = np.empty(len(catalogue.popularity), np.float32)
    mask = catalogue.available.copy()
    score_items(catalogue.features, catalogue.popularity, checkpoint.initialization, values)
    items, log_propensities = sample_slate(
        values, mask, checkpoint.inner.temperature, np.random.default_rng(0).random(2)
    )
    greedy_slate(values, mask, 2)
    for temperature in (checkpoint.inner.temperature, None):
        few = min(8, len(values))
        rules = make_rules(few, 2, diversity=0.5, features=catalogue.features[:few])
        draw_ruled_slate(values[:few], temperature, np.zeros(2), rules)
    support = shown_support(items, np.ones(len(items), np.float32), log_propensities.astype(np.float32), mask)
    adapt_user(catalogue.features, catalogue.popularity, checkpoint.initialization, support, checkpoint.inner)
