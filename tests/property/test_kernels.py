"""The compiled inner loop and the differentiable reference are one function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metarl_rec.divergence import policy_kl
from metarl_rec.inner_loop import SupportBatch, adapt, inner_loss
from metarl_rec.inner_params import InnerParams
from metarl_rec.kernels import adapt_batch, adapt_one, score_items
from metarl_rec.losses import log_policy
from metarl_rec.meta_params import InnerTensors
from metarl_rec.support import Support, shown_support

CLIP_MARGIN = 1e-4


def random_support(rng: np.random.Generator, n_items: int, count: int) -> Support:
    """Transitions with arbitrary (not nested) candidate sets, some unusable, sessions of random length."""
    touched = rng.choice(n_items, size=min(n_items - 2, count + 4), replace=False).astype(np.int32)
    rest = np.ones(n_items, bool)
    rest[touched] = False
    items = np.where(rng.random(count) < 0.7, rng.choice(touched, count), rng.choice(np.flatnonzero(rest), count))
    allowed = rng.random((count, len(touched))) < 0.6
    allowed |= items[:, None] == touched[None, :]
    continues = rng.random(count) < 0.5
    if count:
        continues[-1] = False
    return Support(
        items=items.astype(np.int32),
        rewards=(rng.random(count) < 0.5).astype(np.float32),
        log_propensities=np.log(rng.uniform(0.001, 1.0, count)).astype(np.float32),
        weight=rng.choice([1.0, 0.4], count).astype(np.float32),
        usable=rng.random(count) < 0.8,
        continues=continues,
        rest=rest,
        touched=touched,
        allowed=allowed,
    )


def run_kernel(
    features: NDArray[np.floating],
    popularity: NDArray[np.floating],
    start: NDArray[np.floating],
    support: Support,
    inner: InnerParams,
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    stats = np.zeros(3)
    weights = adapt_one(
        features, popularity, start, support.items, support.rewards, support.log_propensities, support.weight,
        support.usable, support.continues, support.rest, support.touched, support.allowed, np.asarray(inner.step_sizes),
        inner.preconditioner == "posterior",
        np.asarray(inner.value_weight), inner.policy_coef, inner.entropy_coef, inner.temperature, inner.clip,
        inner.discount, inner.forgetting, inner.caution, stats,
    )  # fmt: skip
    return weights, stats


def near_clip_boundary(start: torch.Tensor, batch: SupportBatch, params: InnerParams) -> bool:
    """Whether any epoch's ratio or advantage lies within the margin of a point where the loss has a kink."""
    boundaries = torch.log(torch.tensor([1 - params.clip, 1 + params.clip, 3.0], dtype=torch.float64))
    boundaries = torch.cat([boundaries, torch.tensor([-10.0, 10.0], dtype=torch.float64)])
    for epochs in range(len(params.step_sizes)):
        weights = start
        if epochs:
            part = params.model_copy(update={"step_sizes": params.step_sizes[:epochs]})
            weights = adapt(start, batch, InnerTensors.from_params(part, torch.float64)).detach()
        values = batch.popularity + weights @ batch.features.T
        log_pi = log_policy(values, batch.items, batch.rest, batch.touched, batch.allowed, params.temperature)
        gap = (log_pi - batch.log_propensities)[batch.usable].unsqueeze(-1) - boundaries
        if bool((gap.abs() < 10 * CLIP_MARGIN).any()):
            return True
        # The surrogate also has a kink where an advantage changes sign.
        errors = batch.rewards - values.gather(1, batch.items)
        if bool((errors.abs() < CLIP_MARGIN).any()):
            return True
    return False


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 12),
    epochs=st.integers(1, 6),
    policy_coef=st.sampled_from([0.0, 0.001, 0.05]),
    entropy_coef=st.sampled_from([0.0, 0.01]),
    temperature=st.sampled_from([0.02, 0.1, 1.0]),
    discount=st.sampled_from([0.0, 0.7]),
    forgetting=st.sampled_from([0.0, 0.2]),
    caution=st.sampled_from([0.0, 3.0]),
    preconditioner=st.sampled_from(["posterior", "scalar"]),
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-5), (np.float32, 1e-4)])
def test_adapt_one_random_support_equals_torch_reference(
    dtype: type, tolerance: float, seed: int, count: int, epochs: int, policy_coef: float, entropy_coef: float,
    temperature: float, discount: float, forgetting: float, caution: float, preconditioner: Any,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    n_items, dim = 30, 5
    features = rng.normal(scale=0.3, size=(n_items, dim)).astype(dtype)
    popularity = rng.uniform(0, 0.6, n_items).astype(dtype)
    start = rng.normal(scale=0.3, size=dim).astype(dtype)
    support = random_support(rng, n_items, count)
    params = InnerParams(
        step_sizes=tuple(rng.uniform(0.2, 1.5, epochs)),
        value_weight=(1.5, 0.2, -0.3, 0.4),
        policy_coef=policy_coef,
        entropy_coef=entropy_coef,
        temperature=temperature,
        discount=discount,
        forgetting=forgetting,
        caution=caution,
        preconditioner=preconditioner,
    )
    # The reference runs in float64: float32's tolerance is that of the kernel, not of two roundings.
    batch = SupportBatch.pack([support], torch.from_numpy(features).double(), torch.from_numpy(popularity).double())
    begin = torch.from_numpy(start).double().unsqueeze(0)
    if policy_coef:
        assume(not near_clip_boundary(begin, batch, params))
    expected = adapt(begin, batch, InnerTensors.from_params(params, torch.float64))[0].detach().numpy()
    found, _ = run_kernel(features, popularity, start, support, params)
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("slate_size", [1, 2])
@pytest.mark.parametrize("session_length", [1, 4])
def test_adapt_batch_with_absence_and_late_answers_equals_one_by_one(session_length: int, slate_size: int) -> None:
    rng = np.random.default_rng(3)
    n_items, dim, users, steps = 50, 6, 7, 10
    width = steps * slate_size
    features = rng.normal(scale=0.2, size=(n_items, dim)).astype(np.float32)
    popularity = rng.uniform(0, 0.6, n_items).astype(np.float32)
    starts = rng.normal(scale=0.1, size=(users, dim)).astype(np.float32)
    shown = np.stack([rng.permutation(n_items)[:width] for _ in range(users)]).astype(np.int32)
    rewards = (rng.random((users, width)) < 0.4).astype(np.float32)
    log_propensities = np.log(rng.uniform(0.01, 0.9, (users, width))).astype(np.float32)
    sessions = np.broadcast_to(np.arange(width) // slate_size // session_length, (users, width)).astype(np.int32)
    weight = np.ones((users, width), np.float32)
    known, usable = rng.random((users, width)) < 0.8, rng.random((users, width)) < 0.8
    away = np.repeat(rng.random((users, steps)) < 0.2, slate_size, axis=1)
    away[0], known[1] = False, False
    shown[away] = -1
    candidates = np.ones((users, n_items), bool)
    inner = InnerParams(policy_coef=0.01, temperature=0.05, discount=0.5)
    stats = np.zeros((users, 3))
    found = adapt_batch(
        features, popularity, starts, shown, rewards, log_propensities, weight, known & ~away, usable, sessions,
        candidates, np.asarray(inner.step_sizes),
        inner.preconditioner == "posterior", np.asarray(inner.value_weight), inner.policy_coef, inner.entropy_coef,
        inner.temperature, inner.clip, inner.discount, inner.forgetting, inner.caution, stats,
    )  # fmt: skip
    for user in range(users):
        here = np.flatnonzero(~away[user])
        support = shown_support(
            shown[user, here], rewards[user, here], log_propensities[user, here], candidates[user],
            known=known[user, here], usable=usable[user, here], sessions=sessions[user, here],
        )  # fmt: skip
        alone, alone_stats = run_kernel(features, popularity, starts[user], support, inner)
        np.testing.assert_array_equal(found[user], alone)
        np.testing.assert_array_equal(stats[user], alone_stats)
    np.testing.assert_array_equal(found[1], starts[1])  # nothing is known of this user


def test_adapt_one_single_epoch_steps_along_autograd_of_inner_loss() -> None:
    rng = np.random.default_rng(11)
    features = torch.from_numpy(rng.normal(scale=0.3, size=(40, 4)))
    popularity = torch.from_numpy(rng.uniform(0, 0.6, 40))
    support = random_support(rng, 40, 9)
    params = InnerParams(
        step_sizes=(1.0,), policy_coef=0.02, entropy_coef=0.01, temperature=0.3, preconditioner="scalar"
    )
    batch = SupportBatch.pack([support], features, popularity)
    start = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    inner = InnerTensors.from_params(params, torch.float64)
    loss = inner_loss(start, start.detach(), start.detach(), batch, inner).sum()
    (gradient,) = torch.autograd.grad(loss, start)
    found, _ = run_kernel(features.numpy(), popularity.numpy(), np.zeros(4), support, params)
    cosine = -(found * gradient[0].numpy()).sum() / np.linalg.norm(found) / gradient.norm().item()
    assert cosine == pytest.approx(1.0, abs=1e-12)


def test_policy_kl_two_items_equals_hand_computed_value() -> None:
    values = np.array([0.0, np.log(3.0), 9.0])
    start_values = np.zeros(3)
    rest = np.array([True, True, False])
    # KL((1/4, 3/4) || (1/2, 1/2)) = 1/4 ln(1/2) + 3/4 ln(3/2)
    assert policy_kl(values, start_values, rest, 1.0) == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5))


def test_score_items_two_items_equals_hand_computed_value() -> None:
    out = np.empty(2)
    score_items(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([0.1, 0.2]), np.array([3.0, 4.0]), out)
    np.testing.assert_allclose(out, [11.1, -3.8])


def test_adapt_one_touched_items_far_above_the_rest_equals_torch_reference() -> None:
    """At a low temperature the rest's share of a softmax leaves float32's range; its gradient must not."""
    rng = np.random.default_rng(5)
    features = rng.normal(scale=0.3, size=(30, 5)).astype(np.float32)
    popularity = rng.uniform(0, 0.3, 30).astype(np.float32)
    support = random_support(rng, 30, 8)
    popularity[support.touched[:3]] += 2.0
    params = InnerParams(step_sizes=(0.5,), policy_coef=1e-4, entropy_coef=1e-4, temperature=0.01)
    batch = SupportBatch.pack([support], torch.from_numpy(features).double(), torch.from_numpy(popularity).double())
    start = torch.zeros(1, 5, dtype=torch.float64)
    expected = adapt(start, batch, InnerTensors.from_params(params, torch.float64))[0].detach().numpy()
    found, _ = run_kernel(features, popularity, np.zeros(5, np.float32), support, params)
    assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)
