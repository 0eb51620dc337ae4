"""Compiled twins of the inner loop: the closed-form gradient of `inner_loop.inner_loss`, on one core.

`inner_loop.adapt` is the reference and `tests/property/test_kernels.py` holds the two together. All kernels release the
GIL and are cached on disk; the cache belongs to one CPU model and lives in NUMBA_CACHE_DIR or beside this file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from metarl_rec.fastmath import FAST
from metarl_rec.inner_params import DUAL_CLIP, LOG_RATIO_BOUND, POPULARITY_PIVOT
from metarl_rec.posterior_kernels import factor, precondition
from metarl_rec.scoring_kernels import distance, likely_items, score_and_measure, score_items, score_some

__all__ = ["adapt_batch", "adapt_one", "score_items"]

_DUAL_CLIP = DUAL_CLIP
_BOUND = LOG_RATIO_BOUND
_PIVOT = POPULARITY_PIVOT
_POWER_ITERATIONS = 3
# An item less likely than e^-30 of the likeliest one is left out of sums: a million of them do not change a float32.
_NEGLIGIBLE = -30.0
# How far, in logits, values may move before all items are scored again.
_LIST_SLACK = 1.0


@njit(cache=True, nogil=True, fastmath=FAST)
def _largest_curvature(rows: NDArray[Any], omega: NDArray[Any]) -> float:
    """Returns lambda_max(I + sum_j omega_j f_j f_j') by power iteration from the heaviest transition's features."""
    count, dim = rows.shape
    x = np.zeros(dim, rows.dtype)
    y = np.zeros(dim, rows.dtype)
    heaviest, best = 0, -1.0
    for j in range(count):
        norm = 0.0
        for d in range(dim):
            norm += rows[j, d] * rows[j, d]
        norm *= omega[j]
        if norm > best:
            heaviest, best = j, norm
    if best <= 0.0:
        return 1.0
    scale = 1.0 / math.sqrt(best / omega[heaviest])
    for d in range(dim):
        x[d] = rows[heaviest, d] * scale
    length = 1.0
    for _ in range(_POWER_ITERATIONS):
        for d in range(dim):
            y[d] = x[d]
        for j in range(count):
            dot = 0.0
            for d in range(dim):
                dot += rows[j, d] * x[d]
            dot *= omega[j]
            for d in range(dim):
                y[d] += dot * rows[j, d]
        length = 0.0
        for d in range(dim):
            length += y[d] * y[d]
        length = math.sqrt(length)
        for d in range(dim):
            x[d] = y[d] / length
    return length


@njit(cache=True, nogil=True, fastmath=FAST)
def _policy_gradient(
    features: NDArray[Any],
    rows: NDArray[Any],
    values: NDArray[Any],
    item_values: NDArray[Any],
    advantages: NDArray[Any],
    log_propensities: NDArray[Any],
    usable: NDArray[np.bool_],
    rest: NDArray[np.bool_],
    likely: NDArray[np.int32],
    touched: NDArray[np.int32],
    allowed: NDArray[np.bool_],
    policy_coef: float,
    entropy_coef: float,
    temperature: float,
    clip: float,
    recency: NDArray[Any],
    gradient: NDArray[Any],
    stats: NDArray[np.float64],
) -> None:
    """Adds the clipped policy gradient and the entropy gradient to `gradient`; see `losses` for the formulas.

    Of the rest only the `likely` items are looked at: all others together would not change a sum.
    """
    dim = features.shape[1]
    count, width = allowed.shape
    # The rest is weighed from its own maximum, so that its mean keeps its digits however small its share is.
    rest_top = -np.inf
    for i in likely:
        if rest[i] and values[i] > rest_top:
            rest_top = values[i]
    top = rest_top
    for u in range(width):
        top = max(top, values[touched[u]])
    rest_mass = 0.0
    mean_logit = 0.0
    mean = np.zeros(dim, features.dtype)
    tilted = np.zeros(dim, features.dtype)
    with_entropy = entropy_coef != 0.0
    for i in likely:
        if rest[i]:
            logit = (values[i] - rest_top) / temperature
            if logit > _NEGLIGIBLE:
                e = math.exp(logit)
                rest_mass += e
                share = features.dtype.type(e)
                for d in range(dim):
                    mean[d] += share * features[i, d]
                if with_entropy:
                    mean_logit += e * logit
                    share = features.dtype.type(e * logit)
                    for d in range(dim):
                        tilted[d] += share * features[i, d]
    mass = 0.0
    if rest_mass > 0.0:
        mass = rest_mass * math.exp((rest_top - top) / temperature)
        mean_logit /= rest_mass
        share = features.dtype.type(1.0 / rest_mass)
        for d in range(dim):
            mean[d] *= share
            tilted[d] *= share
    touched_mass = np.empty(width)
    touched_pull = np.zeros(width)
    for u in range(width):
        touched_mass[u] = math.exp((values[touched[u]] - top) / temperature)
    pull = 0.0
    for j in range(count):
        if not usable[j] or policy_coef == 0.0:
            continue
        total = mass
        for u in range(width):
            if allowed[j, u]:
                total += touched_mass[u]
        if total < 1e-280:
            continue
        log_ratio = (item_values[j] - top) / temperature - math.log(total) - log_propensities[j]
        stats[0] += 1.0
        if abs(log_ratio) >= _BOUND:
            stats[1] += 1.0
            continue
        ratio = math.exp(log_ratio)
        advantage = advantages[j]
        if (advantage > 0.0 and ratio > 1.0 + clip) or (advantage < 0.0 and (ratio < 1.0 - clip or ratio > _DUAL_CLIP)):
            stats[1] += 1.0
            continue
        c = policy_coef * recency[j] * advantage * ratio / temperature
        share = features.dtype.type(c)
        for d in range(dim):
            gradient[d] += share * rows[j, d]
        # Shares of probability, at most c: a mass or a reciprocal alone may leave the range of float32.
        pull += c * (mass / total)
        for u in range(width):
            if allowed[j, u]:
                touched_pull[u] += c * (touched_mass[u] / total)
    if policy_coef != 0.0:
        share = features.dtype.type(pull)
        for d in range(dim):
            gradient[d] -= share * mean[d]
        for u in range(width):
            share = features.dtype.type(touched_pull[u])
            if share != 0.0:
                for d in range(dim):
                    gradient[d] -= share * features[touched[u], d]
    if with_entropy and rest_mass > 0.0:
        # H = log Z - E[logit]; dH/dw = -(E[logit f] - E[logit] E[f]) / tau.
        share = features.dtype.type(entropy_coef / temperature)
        shift = features.dtype.type(mean_logit)
        for d in range(dim):
            gradient[d] -= share * (tilted[d] - shift * mean[d])


@njit(cache=True, nogil=True, fastmath=FAST)
def adapt_one(
    features: NDArray[Any],
    popularity: NDArray[Any],
    start: NDArray[Any],
    items: NDArray[np.int32],
    rewards: NDArray[Any],
    log_propensities: NDArray[Any],
    weight: NDArray[Any],
    usable: NDArray[np.bool_],
    continues: NDArray[np.bool_],
    rest: NDArray[np.bool_],
    touched: NDArray[np.int32],
    allowed: NDArray[np.bool_],
    step_sizes: NDArray[np.float64],
    posterior: bool,
    value_weight: NDArray[np.float64],
    policy_coef: float,
    entropy_coef: float,
    temperature: float,
    clip: float,
    discount: float,
    forgetting: float,
    caution: float,
    stats: NDArray[np.float64],
) -> NDArray[Any]:
    """Returns one user's adapted fast weights [D], from `start`, over the whole support, K epochs.

    The arguments are the fields of `Support` and `InnerParams`, unpacked; features, popularity and start share a dtype.
    `stats` [3] float64 receives the number of ratios formed, how many of them the clip or the bound silenced, and the
    root-mean-square value error at the last epoch's start.
    """
    n, dim = features.shape
    count = items.shape[0]
    stats[:] = 0.0
    weights = start.copy()
    if count == 0:
        return weights
    rows = np.empty((count, dim), features.dtype)
    base = np.empty(count, features.dtype)
    omega = np.empty(count, features.dtype)
    recency = np.empty(count, features.dtype)
    for j in range(count):
        recency[j] = weight[j] * math.exp(-forgetting * (count - 1 - j))
        rows[j] = features[items[j]]
        base[j] = popularity[items[j]]
        rarity = base[j] - _PIVOT
        omega[j] = recency[j] * math.exp(
            value_weight[0] + value_weight[1] * rewards[j] + (value_weight[2] + value_weight[3] * rewards[j]) * rarity
        )
    bound = 1.0
    scaled = np.empty((count if posterior else 0, dim), features.dtype)
    if posterior:
        for j in range(count):
            root = features.dtype.type(math.sqrt(omega[j]))
            for d in range(dim):
                scaled[j, d] = root * rows[j, d]
    else:
        bound = _largest_curvature(rows, omega)
    lower = factor(scaled)
    item_values = np.empty(count, features.dtype)
    errors = np.empty(count, features.dtype)
    advantages = np.empty(count, features.dtype)
    gradient = np.empty(dim, features.dtype)
    with_policy = entropy_coef != 0.0 or (policy_coef != 0.0 and usable.any())
    values = np.empty(n if with_policy else 0, features.dtype)
    listed = np.empty(n if with_policy else 0, np.int32)
    likely = 0
    scored_at = start
    reach = 0.0
    for k in range(step_sizes.shape[0]):
        for d in range(dim):
            gradient[d] = start[d] - weights[d]
        square = 0.0
        for j in range(count):
            value = base[j]
            for d in range(dim):
                value += rows[j, d] * weights[d]
            item_values[j] = value
            errors[j] = rewards[j] - value
            square += errors[j] * errors[j]
            share = omega[j] * errors[j]
            for d in range(dim):
                gradient[d] += share * rows[j, d]
        stats[2] = math.sqrt(square / count)
        if with_policy:
            credit = 0.0
            for back in range(count):
                j = count - 1 - back
                credit = errors[j] + (discount * credit if continues[j] else 0.0)
                advantages[j] = credit
            if k > 0 and distance(weights, scored_at) <= reach:
                score_some(features, popularity, weights, listed[:likely], values)
            else:
                if k == 0:
                    longest = score_and_measure(features, popularity, weights, values)
                    # So near to where everything was scored, no item but the listed ones can have become likely.
                    reach = _LIST_SLACK * temperature / max(longest, 1e-30)
                else:
                    score_items(features, popularity, weights, values)
                scored_at = weights.copy()
                margin = temperature * (2.0 * _LIST_SLACK - _NEGLIGIBLE)
                likely = likely_items(values, rest, touched, margin, listed)
            _policy_gradient(
                features, rows, values, item_values, advantages, log_propensities, usable, rest, listed[:likely],
                touched, allowed, policy_coef, entropy_coef, temperature, clip, recency, gradient, stats,
            )  # fmt: skip
        if posterior:
            precondition(scaled, lower, gradient)
        rate = features.dtype.type(step_sizes[k] / bound)
        for d in range(dim):
            weights[d] += rate * gradient[d]
    share = features.dtype.type(count / (count + caution))
    for d in range(dim):
        weights[d] = start[d] + share * (weights[d] - start[d])
    return weights


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def adapt_batch(
    features: NDArray[Any],
    popularity: NDArray[Any],
    starts: NDArray[Any],
    shown: NDArray[np.int32],
    rewards: NDArray[Any],
    log_propensities: NDArray[Any],
    weight: NDArray[Any],
    known: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    sessions: NDArray[np.int32],
    candidates: NDArray[np.bool_],
    step_sizes: NDArray[np.float64],
    posterior: bool,
    value_weight: NDArray[np.float64],
    policy_coef: float,
    entropy_coef: float,
    temperature: float,
    clip: float,
    discount: float,
    forgetting: float,
    caution: float,
    stats: NDArray[np.float64],
) -> NDArray[Any]:
    """Returns N users' fast weights [N, D], each adapted on what is known of what they were shown (`shown_support`).

    Args:
        features: [n, D] float.
        popularity: [n] float.
        starts: [N, D] float, each user's initialization.
        shown: [N, B] int32, items in the order in which they were shown, position by position; -1 where nothing was.
        rewards: [N, B] float; read where known.
        log_propensities: [N, B] float.
        weight: [N, B] float, how much each counts, as in `Support`.
        known: [N, B] bool, whether the reward has arrived.
        usable: [N, B] bool, whether the ratio may be formed.
        sessions: [N, B] int32, number of the session.
        candidates: [N, n] bool, items on offer before the first step.
        step_sizes: [K] float64; this and the rest as in `InnerParams`.
        posterior: whether the preconditioner is the posterior covariance.
        stats: [N, 3] float64, overwritten; see `adapt_one`.
    """
    n_users, width = shown.shape
    out = np.empty_like(starts)
    for user in prange(n_users):
        rest = candidates[user].copy()
        touched = np.empty(width, np.int32)
        at = np.empty(width, np.int64)
        seen, count = 0, 0
        for b in range(width):
            if shown[user, b] >= 0:
                rest[shown[user, b]] = False
                touched[seen] = shown[user, b]
                seen += 1
                if known[user, b]:
                    at[count] = b
                    count += 1
        items = np.empty(count, np.int32)
        reward = np.empty(count, rewards.dtype)
        log_propensity = np.empty(count, log_propensities.dtype)
        counts = np.empty(count, weight.dtype)
        ratio = np.empty(count, np.bool_)
        continues = np.zeros(count, np.bool_)
        allowed = np.zeros((count, seen), np.bool_)
        place = 0
        for b in range(width):
            if shown[user, b] < 0:
                continue
            for j in range(count):
                # What was shown at or after a transition was still on offer when it was drawn.
                allowed[j, place] = at[j] <= b
            place += 1
        for j in range(count):
            b = at[j]
            items[j] = shown[user, b]
            reward[j] = rewards[user, b]
            log_propensity[j] = log_propensities[user, b]
            counts[j] = weight[user, b]
            ratio[j] = usable[user, b]
            continues[j] = j + 1 < count and sessions[user, b] == sessions[user, at[j + 1]]
        out[user] = adapt_one(
            features, popularity, starts[user], items, reward, log_propensity, counts, ratio, continues, rest,
            touched[:seen], allowed, step_sizes, posterior, value_weight, policy_coef, entropy_coef, temperature, clip,
            discount, forgetting, caution, stats[user],
        )  # fmt: skip
    return out
