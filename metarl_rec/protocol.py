"""Names and numbers of the cold-start protocol (science.md section 1), shared by those who play, judge and draw it."""

from __future__ import annotations

__all__ = ["ADAPTED", "CORE_POLICIES", "HORIZONS", "NOISE_GRID", "POLICIES", "PUBLISHED_FORMS", "STEPS"]

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
    "LinUCB",
    "logistic UCB",
    "BPR fold-in",
    "MeLU",
    "PPO from scratch",
    "PPO, joint pre-training",
    "meta-policy",
    "meta-policy, greedy",
    "HB linear, SVD 10",
    "HB linear, no item attributes",
    "HB linear, Thompson",
    "HB linear, UCB",
    "HB linear, forgetting",
    "HB linear, greedy",
    ADAPTED,
    "adapted, greedy",
    "adapted, value term only",
    "adapted, cautious",
    "oracle",
)
"""Names of the policies that every evaluation plays, in the order of its table.

`meta-policy` is the initialization without adaptation, sampled as served. HB linear is the hierarchical-Bayes linear
bandit with the same prior and side information; its plain form has the ten strongest directions and nothing else.
`adapted meta-policy` samples at the checkpoint's temperature, as the service does; `value term only` leaves out PPO's
policy-gradient term, `cautious` goes only part of the way while there is little evidence.
"""

PUBLISHED_FORMS = ("HB linear, SVD 20", "HB linear, no user attributes")
"""Forms of HB whose figures are known from elsewhere; played where they are named, and otherwise not."""

CORE_POLICIES = (
    "random",
    "popularity",
    "PPO from scratch",
    "meta-policy",
    "HB linear, Thompson",
    "HB linear, greedy",
    ADAPTED,
    "adapted, greedy",
    "oracle",
)
"""What a stored checkpoint is judged beside: the baselines that are ready at once."""
