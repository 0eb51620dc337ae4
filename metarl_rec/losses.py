"""The inner loop's loss and its parts, as pure torch functions over a batch of tasks.

Shapes: N tasks, B transitions, U touched items, n items, D features. The policy is pi_w(i) = softmax(v_i / tau) over a
transition's own candidates, with v_i = mu_i + f_i . w; actor and critic share w.

Reference: Schulman et al., "Proximal Policy Optimization Algorithms", 2017, arXiv:1707.06347, eq. 7 and 9.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metarl_rec.inner_params import DUAL_CLIP, LOG_RATIO_BOUND, POPULARITY_PIVOT

__all__ = ["advantages", "clipped_surrogate", "entropy", "log_policy", "transition_precision"]


def transition_precision(value_weight: Tensor, rewards: Tensor, popularity: Tensor) -> Tensor:
    """Returns omega [N, B], the precision with which each transition counts in the value loss.

    omega_j = exp(o0 + o1 y_j + o2 (mu_j - .3) + o3 y_j (mu_j - .3)).

    Args:
        value_weight: [4], o.
        rewards: [N, B].
        popularity: [N, B], mu of the shown items.
    """
    rarity = popularity - POPULARITY_PIVOT
    o = value_weight
    return torch.exp(o[0] + o[1] * rewards + (o[2] + o[3] * rewards) * rarity)


def advantages(errors: Tensor, continues: Tensor, discount: Tensor | float) -> Tensor:
    """Returns advantages A [N, B]: A_j = e_j + gamma A_{j+1} while the session goes on, else e_j.

    With e_j = y_j - v_j, the residual of a critic of immediate rewards, this is generalized advantage estimation with
    lambda = 1 and the critic's predictions of the later actions as a control variate; gamma = 0 gives A_j = e_j.

    Args:
        errors: [N, B].
        continues: [N, B] bool, whether j + 1 belongs to j's session.
        discount: gamma in [0, 1).

    Reference: Schulman et al., 2016, arXiv:1506.02438, eq. 16.
    """
    credit = torch.zeros_like(errors[:, 0])
    out = []
    for j in reversed(range(errors.shape[1])):
        credit = errors[:, j] + discount * torch.where(continues[:, j], credit, torch.zeros_like(credit))
        out.append(credit)
    return torch.stack(out[::-1], dim=1)


def log_policy(
    values: Tensor, chosen: Tensor, rest: Tensor, touched: Tensor, allowed: Tensor, temperature: Tensor | float
) -> Tensor:
    """Returns log pi(chosen item | that transition's own candidates) [N, B], nats.

    Args:
        values: [N, n], v of every item.
        chosen: [N, B] int64, item numbers.
        rest: [N, n] bool, items in every transition's candidates.
        touched: [N, U] int64, the others; padding may repeat an item as long as `allowed` is False for it.
        allowed: [N, B, U] bool, whether touched item u was a candidate of transition j.
        temperature: tau > 0.
    """
    logits = values / temperature
    floor = torch.finfo(logits.dtype).min / 4
    common = torch.logsumexp(logits.masked_fill(~rest, floor), dim=1)
    own = logits.gather(1, touched).unsqueeze(1).expand(allowed.shape).masked_fill(~allowed, floor)
    # One logsumexp over both parts: logaddexp's second derivative is NaN where a part is empty.
    parts = torch.cat([common.view(-1, 1, 1).expand(-1, own.shape[1], 1), own], dim=2)
    return logits.gather(1, chosen) - torch.logsumexp(parts, dim=2)


def clipped_surrogate(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Returns min(rho A, clip(rho, 1 - eps, 1 + eps) A), elementwise, but not below 3 A where A < 0.

    0 where |log rho| reaches the bound.

    Args:
        log_ratio: any shape, log pi_w(a) - log propensity.
        advantage: the same shape.
        clip: eps in (0, 1).

    Reference: Schulman et al., 2017, eq. 7; the second clip is Ye et al., 2020, arXiv:1912.09729, eq. 8.
    """
    inside = log_ratio.abs() < LOG_RATIO_BOUND
    # Bounded before exp: an infinite ratio would turn the masked entries' gradients into NaN.
    ratio = torch.exp(torch.where(inside, log_ratio, torch.zeros_like(log_ratio)))
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    surrogate = torch.where(advantage < 0, torch.maximum(surrogate, DUAL_CLIP * advantage), surrogate)
    return torch.where(inside, surrogate, torch.zeros_like(surrogate))


def entropy(values: Tensor, rest: Tensor, temperature: Tensor | float) -> Tensor:
    """Returns the entropy [N] of softmax(values / tau) over the items in `rest`, nats.

    Args:
        values: [N, n].
        rest: [N, n] bool.
        temperature: tau > 0.
    """
    logits = values / temperature
    log_p = torch.log_softmax(logits.masked_fill(~rest, torch.finfo(logits.dtype).min / 4), dim=1)
    return -(log_p.exp() * log_p.masked_fill(~rest, 0.0)).sum(dim=1)
