"""The bandits that every report is held against: exact posteriors, bounds and filters, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.baselines import HierarchicalBayesPolicy, LogisticUCBPolicy
from metarl_rec.policies import Feedback, View

rng = np.random.default_rng(0)
FEATURES = rng.normal(scale=0.4, size=(12, 3)).astype(np.float32)
POPULARITY = rng.uniform(0.1, 0.6, 12).astype(np.float32)
START = rng.normal(scale=0.3, size=(1, 3)).astype(np.float32)
REWARDS = (1.0, 0.0, 1.0, 1.0)


def played(policy: HierarchicalBayesPolicy | LogisticUCBPolicy) -> list[int]:
    """Returns the items shown over five steps, with fixed answers to the first four."""
    policy.begin(np.random.default_rng(0))
    candidates, shown = np.ones((1, 12), bool), []
    for step in range(5):
        item = int(policy.act(View.of(candidates)).items[0, 0])
        candidates[0, item] = False
        shown.append(item)
        if step < len(REWARDS):
            policy.observe(Feedback.at_once(step, np.array([[REWARDS[step]]], np.float32)))
    return shown


def by_ridge(items: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns posterior mean and covariance of w after REWARDS, by whole matrices."""
    f, y = FEATURES[items].astype(float), np.array(REWARDS[: len(items)])
    covariance = np.linalg.inv(np.eye(3) + f.T @ f / 0.2)
    mean = START[0] + covariance @ f.T @ (y - POPULARITY[items] - f @ START[0]) / 0.2
    return mean, covariance


def test_hierarchical_bayes_greedy_shows_the_best_of_the_ridge_solution() -> None:
    shown = played(HierarchicalBayesPolicy(FEATURES, POPULARITY, START, 0.2))
    mean, _ = by_ridge(shown[:4])
    values = POPULARITY + FEATURES @ mean
    values[shown[:4]] = -np.inf
    assert shown[4] == values.argmax()


@pytest.mark.parametrize("bonus", [0.3, 3.0])
def test_hierarchical_bayes_ucb_shows_the_greatest_upper_bound_of_the_ridge_solution(bonus: float) -> None:
    shown = played(HierarchicalBayesPolicy(FEATURES, POPULARITY, START, 0.2, bonus=bonus))
    mean, covariance = by_ridge(shown[:4])
    bounds = POPULARITY + FEATURES @ mean + bonus * np.sqrt(np.einsum("ni,ij,nj->n", FEATURES, covariance, FEATURES))
    bounds[shown[:4]] = -np.inf
    assert shown[4] == bounds.argmax()


def test_hierarchical_bayes_forgetting_is_the_kalman_filter_of_an_autoregressive_taste() -> None:
    """One item after one reward and three empty steps: the gain shrinks by rho a step, the variance returns to 1."""
    features = np.array([[1.0]], np.float32)
    policy = HierarchicalBayesPolicy(
        features, np.zeros(1, np.float32), np.zeros((1, 1), np.float32), 1.0, forgetting=0.5
    )
    policy.begin(np.random.default_rng(0))
    policy.act(View.of(np.ones((1, 1), bool)))
    policy.observe(Feedback.at_once(0, np.ones((1, 1), np.float32)))
    # Posterior N(1/2, 1/2), then w <- w/2 + sqrt(3/4) e.
    assert policy._mean[0, 0] == pytest.approx(0.25)
    assert policy._covariance[0, 0, 0] == pytest.approx(0.25 * 0.5 + 0.75)
    none = Feedback(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
    policy.observe(none)
    assert policy._mean[0, 0] == pytest.approx(0.125)


def test_hierarchical_bayes_bonus_with_forgetting_is_refused() -> None:
    with pytest.raises(ValueError, match="not combined"):
        HierarchicalBayesPolicy(FEATURES, POPULARITY, START, 0.2, bonus=1.0, forgetting=0.1)


def test_logistic_ucb_one_reward_moves_by_one_newton_step() -> None:
    features = np.array([[2.0], [0.0]], np.float32)
    policy = LogisticUCBPolicy(features, np.array([0.5, 0.4], np.float32), 1, 1.0, 0.0)
    policy.begin(np.random.default_rng(0))
    assert policy.act(View.of(np.ones((1, 2), bool))).items[0, 0] == 0
    policy.observe(Feedback.at_once(0, np.ones((1, 1), np.float32)))
    # p = 1/2, slope 1/4, f'f = 4: the step is 2 (1 - 1/2) / (1 + 4/4).
    assert policy._mean[0, 0] == pytest.approx(0.5)
    assert policy._covariance[0, 0, 0] == pytest.approx(1 / (1 + 0.25 * 4))
    assert policy._variance[0].tolist() == pytest.approx([2.0, 0.0])


def test_logistic_ucb_large_bonus_prefers_what_is_not_known() -> None:
    features = np.array([[0.1, 0.0], [0.0, 3.0]], np.float32)
    popularity = np.array([0.5, 0.3], np.float32)
    for bonus, first in ((0.0, 0), (5.0, 1)):
        policy = LogisticUCBPolicy(features, popularity, 1, 1.0, bonus)
        policy.begin(np.random.default_rng(0))
        assert policy.act(View.of(np.ones((1, 2), bool))).items[0, 0] == first


def test_hierarchical_bayes_with_fatigue_leaves_the_topic_that_was_just_shown() -> None:
    """Two topics, the first a little more popular: with fatigue the two take turns."""
    topics = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    popularity = np.array([0.54, 0.53, 0.52, 0.51], np.float32)
    features, start = np.zeros((4, 1), np.float32), np.zeros((1, 1), np.float32)

    def shown(fatigue: tuple[float, float, float]) -> list[int]:
        policy = HierarchicalBayesPolicy(features, popularity, start, 0.2, fatigue=fatigue, topics=topics)
        policy.begin(np.random.default_rng(0))
        candidates, out = np.ones((1, 4), bool), []
        for step in range(4):
            out.append(int(policy.act(View.of(candidates)).items[0, 0]))
            candidates[0, out[-1]] = False
            policy.observe(Feedback.at_once(step, np.zeros((1, 1), np.float32)))
        return out

    assert shown((0.0, 0.0, 0.0)) == [0, 1, 2, 3]
    assert shown((0.3, 0.0, 0.0)) == [0, 2, 1, 3]


def test_hierarchical_bayes_with_fatigue_needs_topics() -> None:
    with pytest.raises(ValueError, match="it needs the items' topics"):
        HierarchicalBayesPolicy(FEATURES, POPULARITY, START, 0.2, fatigue=(0.1, 0.1, 0.1))
