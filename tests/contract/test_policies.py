"""One contract for every online policy: the adapted meta-policy and all baselines."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.evaluate import make_policies
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import OnlinePolicy
from metarl_rec.problem import Problem
from metarl_rec.protocol import POLICIES
from tests.unit.synthetic import small_config, small_problem

STEPS = 6


@pytest.fixture(scope="module")
def problem() -> Problem:
    return small_problem(small_config())


def make(problem: Problem, name: str, users: np.ndarray) -> OnlinePolicy:
    config = small_config()
    meta = MetaParams.start(problem.space.features.shape[1], config.inner, config.prior.attribute_gain)
    return make_policies(problem, meta, config, users, noise=0.2)[name]


def play(
    problem: Problem, policy: OnlinePolicy, users: np.ndarray, seed: int, flip: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns items and log-propensities [N, STEPS]; `flip` is a row whose rewards are turned round."""
    policy.begin(np.random.default_rng(seed))
    candidates = np.ones((len(users), problem.rewards.shape[1]), bool)
    items, logs = np.zeros((len(users), STEPS), int), np.zeros((len(users), STEPS))
    rows = np.arange(len(users))
    for step in range(STEPS):
        decision = policy.act(candidates)
        assert decision.items.shape == (len(users),)
        assert candidates[rows, decision.items].all(), "an item that was not on offer"
        candidates[rows, decision.items] = False
        rewards = problem.rewards[users, decision.items].astype(np.float32)
        if flip is not None:
            rewards[flip] = 1 - rewards[flip]
        policy.observe(decision.items, rewards)
        items[:, step], logs[:, step] = decision.items, decision.log_propensities
    return items, logs


@pytest.mark.parametrize("name", POLICIES)
def test_policy_shows_only_candidates_with_valid_propensities(problem: Problem, name: str) -> None:
    _, logs = play(problem, make(problem, name, problem.split.test), problem.split.test, seed=1)
    assert np.isfinite(logs).all()
    assert (logs <= 1e-6).all()


@pytest.mark.parametrize("name", POLICIES)
def test_policy_begin_forgets_and_the_same_generator_gives_the_same_play(problem: Problem, name: str) -> None:
    policy = make(problem, name, problem.split.test)
    first, _ = play(problem, policy, problem.split.test, seed=2)
    second, _ = play(problem, policy, problem.split.test, seed=2)
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", POLICIES)
def test_policy_one_users_rewards_never_change_another_users_slates(problem: Problem, name: str) -> None:
    policy = make(problem, name, problem.split.test)
    plain, _ = play(problem, policy, problem.split.test, seed=3)
    flipped, _ = play(problem, policy, problem.split.test, seed=3, flip=0)
    assert plain[1:].tolist() == flipped[1:].tolist()


@pytest.mark.parametrize("name", ["HB linear, greedy", "adapted, greedy", "popularity", "oracle"])
def test_policy_batch_equals_users_played_one_by_one(problem: Problem, name: str) -> None:
    users = problem.split.test[:5]
    together, _ = play(problem, make(problem, name, users), users, seed=4)
    for row, user in enumerate(users):
        alone, _ = play(problem, make(problem, name, np.array([user])), np.array([user]), seed=4)
        assert together[row].tolist() == alone[0].tolist()
