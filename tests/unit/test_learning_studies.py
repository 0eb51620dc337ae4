"""Studies of tests/learning: only what they compare differs, and nobody is counted twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.baselines import HierarchicalBayesPolicy
from metarl_rec.config import STARTS
from metarl_rec.inner_params import InnerParams, value_weight_of
from metarl_rec.policies import Feedback, View
from metarl_rec.provenance import machine
from metarl_rec.train import start_of
from tests.learning import embedding_sources, left_out, session_discount
from tests.learning.forgetting_forms import FadingPosterior
from tests.learning.session_ratios import FatiguedRatios
from tests.unit.synthetic import small_config, small_problem


def test_left_out_trained_begins_where_its_start_is() -> None:
    train = left_out.settings(2, ["train.iterations=120", "train.start_noises=[0.3]"]).train
    assert (train.iterations, train.jury_users) == (120, 0)
    assert all(getattr(train, name) == () for name in STARTS)


def test_left_out_gaps_average_a_persons_splits_first() -> None:
    rows: list[dict[str, Any]] = [
        {"users": ["a", "b"], "reference": [1, 1], "trained": [2, 5]},
        {"users": ["a"], "reference": [1], "trained": [4]},
    ]
    assert left_out.gaps(rows, "trained").tolist() == [2, 4]


def test_session_discount_nothing_but_the_discount_differs_between_the_arms() -> None:
    low, high = (session_discount.settings(1, discount, "sessions") for discount in session_discount.DISCOUNTS)
    assert low.train == high.train
    # A start that each arm chose by itself would differ, too.
    assert all(getattr(low.train, name) == () for name in STARTS)


def test_session_discount_judges_in_a_world_that_no_update_trained_in(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config()
    problem = small_problem(config)
    seeds: list[int] = []

    def noted(*args: Any, seed: int, **settings: Any) -> Any:
        seeds.append(seed)
        return made(*args, seed=seed, **settings)

    made = session_discount.make_env
    monkeypatch.setattr(session_discount, "make_env", noted)
    rewards = session_discount.judge(problem, start_of(problem, config), config, "static")
    assert rewards.shape == (session_discount.JUDGED_USERS,)
    assert seeds[0] > 2 * 10**9, "beyond iterations' and validations' seeds"


def test_embedding_sources_report_says_where_it_ran() -> None:
    report = embedding_sources.report({"svd": [24.0, 25.0], "BPR": [23.0, 23.0]}, {"svd": [0.1, 0.1], "BPR": [1, 1]})
    assert report["machine"] == machine()
    assert report["seeds"] == [0, 1]
    assert report["table"]["BPR"] == pytest.approx({"mean": 23, "minus_svd": -1.5, "standard_error": np.sqrt(0.25)})


@pytest.mark.parametrize("policy_coef", [0.0, 0.05])
def test_session_ratios_without_fatigue_adapt_as_the_compiled_policy_does(policy_coef: float) -> None:
    rng = np.random.default_rng(3)
    users, items, steps = 4, 30, 6
    features = (0.4 * rng.standard_normal((items, 5))).astype(np.float32)
    popularity = rng.uniform(0.1, 0.6, items).astype(np.float32)
    # No item has a topic: nothing is ever taken off, so the compiled policy forms its ratios, too.
    inner = InnerParams(policy_coef=policy_coef, temperature=0.5, fatigue=(0.1, 0.1, 0.1))
    found = []
    for kind in (AdaptedPolicy, FatiguedRatios):
        starts, topics = np.zeros((users, 5), np.float32), np.zeros((items, 2), np.float32)
        policy = kind(features, popularity, starts, inner, topics=topics)
        policy.begin(np.random.default_rng(0))
        candidates = np.ones((users, items), np.bool_)
        for step in range(steps):
            decision = policy.act(View.of(candidates))
            candidates[np.arange(users), decision.items[:, 0]] = False
            policy.observe(Feedback.at_once(step, (decision.items % 3 == 0).astype(np.float32)))
        found.append(policy.weights)
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3, atol=2e-4)
    if policy_coef:
        assert policy.formed == users * 5 * steps * (steps + 1) // 2
        assert 0 < policy.silenced < policy.formed


def test_fading_posterior_is_the_kalman_filter_and_forgets_what_the_inner_loop_forgets() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(12, 4)).astype(np.float32)
    popularity = rng.uniform(size=12).astype(np.float32)
    users, starts = 2, np.zeros((2, 4), np.float32)
    inner = InnerParams(forgetting=0.2, policy_coef=0.0, value_weight=value_weight_of(0.3))
    pairs: list[tuple[str, Any, Any]] = [
        (
            "kalman",
            HierarchicalBayesPolicy(features, popularity, starts, 0.3, forgetting=0.2),
            lambda policy: policy.values(),
        ),
        (
            "fading",
            AdaptedPolicy(features, popularity, starts, inner, greedy=True),
            lambda policy: popularity + policy.weights @ features.T,
        ),
    ]
    for form, shipped, values in pairs:
        studied = FadingPosterior(features, popularity, users, form, 0.3, 0.2)
        for policy in (studied, shipped):
            policy.begin(np.random.default_rng(0))
        view = np.ones((users, 12), np.bool_)
        for step in range(6):
            items = [policy.act(View.of(view.copy())).items for policy in (studied, shipped)]
            assert items[0].tolist() == items[1].tolist()
            view[np.arange(users), items[0][:, 0]] = False
            feedback = Feedback.at_once(step, rng.integers(0, 2, (users, 1)).astype(np.float32))
            for policy in (studied, shipped):
                policy.observe(feedback)
            np.testing.assert_allclose(popularity + studied.weights() @ features.T, values(shipped), atol=1e-4)
