"""Names and numbers of the cold-start protocol (science.md section 1), shared by those who play, judge and draw it."""

from __future__ import annotations

__all__ = ["ADAPTED", "HORIZONS", "NOISE_GRID", "POLICIES", "STEPS"]

STEPS = 40
"""Interactions that a test user plays."""

HORIZONS = (1, 5, 10, 20, 40)
"""Interaction counts at which a cold-start curve is read."""

NOISE_GRID = (0.1, 0.15, 0.2, 0.3)
"""Residual variances among which the hierarchical-Bayes baselines choose on validation users."""

ADAPTED = "adapted meta-policy"
POLICIES = (
    "random",
    "popularity",
    "PPO from scratch",
    "meta-policy, not adapted",
    "hierarchical Bayes, Thompson",
    "hierarchical Bayes, greedy",
    ADAPTED,
    "adapted meta-policy, greedy",
    "oracle",
)
"""Names of the policies that every evaluation plays, in the order of its table."""
