"""One user's adaptation as the service runs it: the compiled inner loop inside a trust region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.divergence import policy_kl
from metarl_rec.errors import AdaptationError
from metarl_rec.inner_params import InnerParams
from metarl_rec.kernels import adapt_one, score_items
from metarl_rec.support import Support

__all__ = ["Adaptation", "adapt_user"]

_MAX_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What an adaptation gave.

    Attributes:
        weights: [D] float32, the fast weights.
        kl_nats: KL(adapted policy || initialization) over the support's `rest`, nats.
        ratios: number of ratios formed, over all epochs.
        clipped: number of those that the clip or the bound silenced.
        value_error: root-mean-square error of the values at the last epoch's start, in units of reward.
        limited: whether the trust region shortened the step.
    """

    weights: NDArray[np.float32]
    kl_nats: float
    ratios: int
    clipped: int
    value_error: float
    limited: bool


def adapt_user(
    features: NDArray[np.float32],
    popularity: NDArray[np.float32],
    start: NDArray[np.float32],
    support: Support,
    inner: InnerParams,
) -> Adaptation:
    """Returns the fast weights after K epochs of PPO from `start` on one user's transitions.

    A pure function: the same arguments give the same bits on one machine. Where the KL to the initialization exceeds
    `inner.kl_limit_nats`, the step is halved until it does not.

    Args:
        features: [n, D] float32.
        popularity: [n] float32.
        start: [D] float32, the user's initialization.
        support: the user's transitions; may be empty.
        inner: meta-parameters.

    Raises:
        AdaptationError: the weights are not finite.
    """
    stats = np.zeros(3)
    weights = adapt_one(
        features, popularity, start, support.items, support.rewards, support.log_propensities, support.weight,
        support.usable, support.continues, support.rest, support.touched, support.allowed, np.asarray(inner.step_sizes),
        inner.preconditioner == "posterior",
        np.asarray(inner.value_weight), inner.policy_coef, inner.entropy_coef, inner.temperature, inner.clip,
        inner.discount, inner.forgetting, inner.caution, stats,
    )  # fmt: skip
    if not np.isfinite(weights).all():
        raise AdaptationError(
            "adapting gave weights that are not finite; the transitions or the checkpoint are at fault"
        )
    start_values, values = np.empty_like(popularity), np.empty_like(popularity)
    score_items(features, popularity, start, start_values)

    def kl(candidate: NDArray[np.float32]) -> float:
        score_items(features, popularity, candidate, values)
        return float(policy_kl(values, start_values, support.rest, inner.temperature))

    divergence, limited = kl(weights), False
    if inner.kl_limit_nats is not None:
        for _ in range(_MAX_HALVINGS):
            if divergence <= inner.kl_limit_nats:
                break
            weights, limited = start + (weights - start) * np.float32(0.5), True
            divergence = kl(weights)
    return Adaptation(weights, divergence, int(stats[0]), int(stats[1]), float(stats[2]), limited)
