"""Gradient checks of the outer loop, with numbers (science.md section 4)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from metarl_rec.inner_loop import SupportBatch, adapt, curvature_bound, inner_loss
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams
from metarl_rec.outer_loop import (
    SessionBatch,
    TaskBatch,
    maml_gradient,
    outer_loss,
    query_logits,
    reptile_update,
    starts,
)
from metarl_rec.support import shown_support

N_ITEMS, DIM, STEPS = 30, 4, 8


def make_tasks(seed: int, users: int = 3, scale: float = 0.4) -> TaskBatch:
    """Users of a small linear world who were shown STEPS items with sensible propensities, in float64."""
    rng = np.random.default_rng(seed)
    features = rng.normal(scale=scale, size=(N_ITEMS, DIM))
    popularity = rng.uniform(0.1, 0.6, N_ITEMS)
    expected = np.clip(popularity + rng.normal(size=(users, DIM)) @ features.T, 0, 1)
    supports, query = [], np.ones((users, N_ITEMS), bool)
    for user in range(users):
        # Histories of different lengths: padding must not leak into a gradient.
        items = rng.permutation(N_ITEMS)[: STEPS - 2 * user].astype(np.int32)
        rewards = (rng.random(len(items)) < expected[user, items]).astype(np.float32)
        log_propensities = np.log(rng.uniform(0.02, 0.06, len(items))).astype(np.float32)
        sessions = (np.arange(len(items)) // 4).astype(np.int32)
        supports.append(shown_support(items, rewards, log_propensities, np.ones(N_ITEMS, bool), sessions=sessions))
        query[user, items] = False
    batch = SupportBatch.pack(supports, torch.from_numpy(features), torch.from_numpy(popularity))
    shift = torch.from_numpy(rng.normal(scale=0.1, size=(users, DIM)))
    return TaskBatch(batch, shift, torch.from_numpy(expected), torch.from_numpy(query))


def in_sessions(tasks: TaskBatch) -> TaskBatch:
    """The same tasks, judged after slates of some topics, on an action and what followed it."""
    rng = np.random.default_rng(0)
    users = len(tasks.shift)
    actions = torch.tensor([int(row.nonzero()[3]) for row in tasks.query])
    exposure = torch.from_numpy(rng.uniform(0, 0.4, (users, 3, 5)))
    topics = torch.from_numpy(np.eye(5)[rng.integers(5, size=N_ITEMS)])
    future = torch.from_numpy(rng.normal(size=users))
    return replace(tasks, session=SessionBatch(exposure, topics, actions, future))


def make_meta(base: InnerParams) -> MetaParams:
    return MetaParams.start(DIM, base, 1.2, torch.float64, items=N_ITEMS)


def fixed_bound(batch: TaskBatch, meta: MetaParams, base: InnerParams) -> torch.Tensor:
    support = batch.support
    return curvature_bound(support.features[support.items], support.precision(meta.inner(base)))


@pytest.mark.parametrize("preconditioner", ["posterior", "scalar"])
@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_maml_gradient_equals_finite_differences_in_float64(seed: int, session: bool, preconditioner: Any) -> None:
    fatigue = (0.05, 0.1, 0.02) if session else (0.0, 0.0, 0.0)
    base = InnerParams(
        step_sizes=(0.6,) * 5,
        preconditioner=preconditioner,
        policy_coef=0.02,
        entropy_coef=0.01,
        temperature=0.5,
        discount=0.6,
        fatigue=fatigue,
        forgetting=0.1,
        caution=2.0,
    )
    batch, meta = make_tasks(seed), make_meta(base)
    batch = in_sessions(batch) if session else batch
    bound = fixed_bound(batch, meta, base)
    # The value error's weights count as given, too.
    support = replace(batch.support, features=meta.features(batch.support.features))
    held = replace(batch, support=support)
    adapted = adapt(starts(meta, batch.shift), support, meta.inner(base), bound=bound)
    judged = torch.softmax(query_logits(adapted, held, 0.05, meta.fatigue(base)), dim=1).detach()
    given: dict[str, Any] = {"order": "second", "bound": bound, "learn_features": True}
    _, exact = maml_gradient(meta, batch, base, **given)

    def loss_at(name: str, index: int, delta: float) -> float:
        tensors = {key: tensor.clone() for key, tensor in meta.tensors().items()}
        tensors[name].view(-1)[index] += delta
        return maml_gradient(MetaParams(**tensors), batch, base, judged=judged, **given)[0]

    h = 1e-6
    found, expected = [], []
    assert session or not exact["raw_fatigue"].any()
    for name, tensor in meta.tensors().items():
        # Of the features every seventh number: they are many, and each is as good as another.
        for index in range(0, tensor.numel() if session or name != "raw_fatigue" else 0, 7 if tensor.ndim == 2 else 1):
            expected.append((loss_at(name, index, h) - loss_at(name, index, -h)) / (2 * h))
            found.append(float(exact[name].view(-1)[index]))
    error = np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected)
    assert error <= 1e-5
    assert all(abs(value) > 0 for value in expected)


def test_task_batch_goes_to_a_device_with_everything_in_it() -> None:
    moved = in_sessions(make_tasks(0)).to(torch.device("meta"))
    assert moved.session is not None
    for part in (moved, moved.support, moved.session):
        for each in fields(part):
            value = getattr(part, each.name)
            assert not isinstance(value, torch.Tensor) or value.device.type == "meta", each.name


def test_joint_gradient_judges_the_initialization_and_leaves_the_inner_loop_alone() -> None:
    base = InnerParams(policy_coef=0.02, entropy_coef=0.01, temperature=0.5)
    batch, meta = make_tasks(3), make_meta(base)
    loss, gradient = maml_gradient(meta, batch, base, order=None)
    assert loss == pytest.approx(float(outer_loss(starts(meta, batch.shift), batch, 0.05, 4.0).mean()))
    assert gradient["initialization"].any()
    for name in ("step_logits", "value_weight", "log_policy_coef", "log_scale", "feature_shift"):
        assert not gradient[name].any()


def test_outer_loss_does_not_reward_a_policy_for_choosing_what_is_sure_to_fail() -> None:
    tasks = make_tasks(8, users=1)
    # Two items on offer: one liked by half, one by nobody; both valued right.
    rewards = torch.zeros_like(tasks.rewards)
    query = torch.zeros_like(tasks.query)
    query[0, :2], rewards[0, 0] = True, 1.0
    popularity = torch.zeros_like(tasks.support.popularity)
    popularity[0] = 0.5
    features = torch.zeros_like(tasks.support.features)
    features[0, 0] = 1.0
    support = replace(tasks.support, features=features, popularity=popularity)
    weights = torch.zeros((1, DIM), dtype=torch.float64, requires_grad=True)
    gradients = []
    for liked in (1.0, 0.0):
        rewards[0, 0] = liked
        loss = outer_loss(weights, replace(tasks, support=support, rewards=rewards, query=query), 0.5, 4.0)
        gradients.append(float(torch.autograd.grad(loss.sum(), weights)[0][0, 0]))
    # Over both answers the value errors cancel, and what is left is the reward: more of the liked item.
    assert sum(gradients) < 0


def test_fomaml_gradient_differs_when_the_inner_step_is_large_and_agrees_when_it_is_tiny() -> None:
    batch = make_tasks(4)
    gaps = []
    for step in (1.5, 1e-4):
        base = InnerParams(step_sizes=(step,) * 5, policy_coef=0.02, temperature=0.5)
        meta = make_meta(base)
        _, second = maml_gradient(meta, batch, base, order="second")
        _, first = maml_gradient(meta, batch, base, order="first")
        gap = (second["initialization"] - first["initialization"]).norm() / second["initialization"].norm()
        gaps.append(float(gap))
    assert gaps[0] > 0.1
    assert gaps[1] < 1e-3


def test_reptile_update_one_inner_step_moves_along_the_sgd_direction() -> None:
    base = InnerParams(step_sizes=(0.5,), policy_coef=0.02, temperature=0.5, preconditioner="scalar")
    batch, meta = make_tasks(5), make_meta(base)
    # Reptile with one step is SGD on the tasks' mean loss only where all tasks share a step size.
    one = TaskBatch(
        SupportBatch(**{
            name: getattr(batch.support, name)[: None if name in ("features", "popularity") else 1]
            for name in SupportBatch.__slots__
        }),
        batch.shift[:1], batch.rewards[:1], batch.query[:1],
    )  # fmt: skip
    weights = starts(meta, one.shift).requires_grad_()
    loss = inner_loss(weights, weights.detach(), weights.detach(), one.support, meta.inner(base)).sum()
    (gradient,) = torch.autograd.grad(loss, weights)
    moved = reptile_update(meta, one, base, rate=0.3).initialization - meta.initialization
    expected = -0.3 * 0.5 / fixed_bound(one, meta, base)[0] * gradient[0]
    torch.testing.assert_close(moved, expected, rtol=1e-10, atol=1e-14)


def test_adapt_one_step_without_policy_terms_reaches_the_hierarchical_bayes_posterior_mean() -> None:
    base = InnerParams(step_sizes=(1.0,), policy_coef=0.0, value_weight=(float(np.log(1 / 0.15)), 0.0, 0.0, 0.0))
    batch, meta = make_tasks(6), make_meta(base)
    begin = starts(meta, batch.shift)
    found = adapt(begin, batch.support, meta.inner(base)).detach()
    for user in range(len(begin)):
        items = batch.support.items[user, : STEPS - 2 * user]
        rows = batch.support.features[items]
        residual = batch.support.rewards[user, : len(items)] - batch.support.popularity[items] - rows @ begin[user]
        precision = torch.eye(DIM, dtype=torch.float64) + rows.T @ rows / 0.15
        expected = begin[user] + torch.linalg.solve(precision, rows.T @ residual / 0.15)
        torch.testing.assert_close(found[user], expected, rtol=1e-6, atol=1e-8)


def test_adapt_task_without_transitions_stays_at_its_start() -> None:
    base = InnerParams(policy_coef=0.02, entropy_coef=0.05)
    empty = shown_support(
        np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32), np.ones(N_ITEMS, bool)
    )
    tasks, meta = make_tasks(7), make_meta(base)
    batch = SupportBatch.pack([empty], tasks.support.features, tasks.support.popularity)
    begin = torch.full((1, DIM), 0.3, dtype=torch.float64)
    torch.testing.assert_close(adapt(begin, batch, meta.inner(base)), begin)
