"""Meta-parameters of the inner loop other than the initialization: how far, how trusting, how bold."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from metarl_rec.frozen import FrozenSettings

__all__ = [
    "DUAL_CLIP",
    "LOG_RATIO_BOUND",
    "MAX_FATIGUE",
    "MIN_STEP",
    "POPULARITY_PIVOT",
    "InnerParams",
    "value_weight_of",
]

DUAL_CLIP = 3.0
"""A bad action that has become this many times more likely than when it was shown gives no gradient any more: PPO's own
clip leaves that side open, and one such ratio can be thousands. Ye et al., 2020, arXiv:1912.09729, eq. 8."""

LOG_RATIO_BOUND = 10.0
"""|log ratio| from here on contributes nothing, so that exp cannot overflow."""

POPULARITY_PIVOT = 0.3
"""Popularity at which `value_weight[2]` and `value_weight[3]` have no effect (science.md section 7)."""

MIN_STEP = 1e-6
"""Least step size: next to nothing moves, and what is learned in its place, its logit, is still finite."""

MAX_FATIGUE = 1000.0
"""Greatest fatigue, in units of reward: far more than can matter, and nothing overflows on the way to it."""

Fatigue = Annotated[float, Field(ge=0, le=MAX_FATIGUE)]


class InnerParams(FrozenSettings):
    """Settings of `adapt`; learned by the outer loop, stored in a checkpoint's manifest.

    Attributes:
        step_sizes: step size of each of the K epochs, in [1e-6, 2); 1 is the preconditioner's own step.
        preconditioner: what an epoch's gradient is multiplied by. `posterior`: the inverse Hessian of value loss and
            pull, so that one step of size 1 is the posterior mean, and the policy-gradient term follows the posterior
            covariance as a natural gradient does. `scalar`: 1 / its largest eigenvalue, which in few epochs leaves
            out the directions that little is known of.
        value_weight: o in omega_j = exp(o0 + o1 y_j + o2 (mu_j - .3) + o3 y_j (mu_j - .3)), the precision
            (1 / variance) of a transition in the value loss; at the start a residual noise variance of .2 where there
            was no reward and .15 where there was one.
        policy_coef: weight of the clipped policy-gradient term, >= 0.
        entropy_coef: weight of the entropy bonus, >= 0.
        temperature: tau of the softmax policy over values, in the units of a reward; > 0.
        clip: PPO's clip range epsilon on the ratio, in (0, 1).
        discount: gamma between successive steps of one session, in [0, 1); 0 is a bandit.
        fatigue: h_m in [0, 1000], what full exposure to an item's topics takes off its value in each memory of
            `fatigue.RETENTIONS`, in units of reward; zeros where the policy does not mind what was shown before.
        forgetting: lambda >= 0; a transition with j later ones counts exp(-lambda j) in every term, so that the policy
            follows tastes that move. 0 remembers everything.
        organic_weight: in [0, 1], how much an event counts that answers no slate of ours. What people found by
            themselves, they mostly like, and that says less about what they would like if they were shown it.
        caution: c >= 0; after B transitions the fast weights are w0 + B / (B + c) (w_K - w0). A guard for those whom
            adapting on little evidence would harm; 0 goes all the way.
        kl_limit_nats: greatest KL(adapted || initialization) over the candidates that an adaptation may reach;
            None while it has not been calibrated.
    """

    model_config = ConfigDict(strict=True)

    step_sizes: tuple[Annotated[float, Field(ge=MIN_STEP, lt=2)], ...] = Field(
        default=(1.0,) * 5, min_length=1, max_length=50
    )
    preconditioner: Literal["posterior", "scalar"] = "posterior"
    value_weight: tuple[float, float, float, float] = (1.6094379124341003, 0.28768207245178085, 0.0, 0.0)
    policy_coef: Annotated[float, Field(ge=0)] = 0.0001
    entropy_coef: Annotated[float, Field(ge=0)] = 0.0
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.01
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.0
    fatigue: tuple[Fatigue, Fatigue, Fatigue] = (0.0, 0.0, 0.0)
    forgetting: Annotated[float, Field(ge=0, le=10)] = 0.0
    organic_weight: Annotated[float, Field(ge=0, le=1)] = 0.4
    caution: Annotated[float, Field(ge=0, le=1000)] = 0.0
    kl_limit_nats: Annotated[float, Field(gt=0)] | None = None


def value_weight_of(noise: float) -> tuple[float, float, float, float]:
    """Returns `value_weight` where every reward has the same residual variance, > 0."""
    return -math.log(noise), 0.0, 0.0, 0.0
