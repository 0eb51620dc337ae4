"""One contract for every online policy: the adapted meta-policy and all baselines."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.baselines import HierarchicalBayesPolicy
from metarl_rec.lineup import Lineup
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import Feedback, FixedPolicy, OnlinePolicy, View
from metarl_rec.problem import Problem
from metarl_rec.protocol import POLICIES, PUBLISHED_FORMS
from metarl_rec.rollout import play as play_world
from metarl_rec.threads import share_cores
from metarl_rec.worlds import WorldConfig, make_env
from simulator import LoggedUsers
from tests.unit.synthetic import small_config, small_problem

STEPS = 6
TIRING = "HB linear, fatigue"
NAMES = (*POLICIES, *PUBLISHED_FORMS, TIRING)
"""All that can be named, and the one of moving worlds."""


@pytest.fixture(scope="module")
def problem() -> Problem:
    share_cores()
    return small_problem(small_config())


_lineups: dict[int, Lineup] = {}


def make(problem: Problem, name: str, users: np.ndarray) -> OnlinePolicy:
    if name == TIRING:
        space, topics = problem.space, problem.topics
        means = np.zeros((len(users), space.features.shape[1]), np.float32)
        return HierarchicalBayesPolicy(
            space.features, space.popularity, means, 0.2, topics=topics, fatigue=(0.3, 0.3, 0.3)
        )
    # One line-up for all tests: some baselines train a network when they are first asked for.
    config = small_config()
    meta = MetaParams.start(problem.space.features.shape[1], config.inner, config.prior.attribute_gain)
    lineup = _lineups.setdefault(id(problem), Lineup(problem, meta, config))
    oracle = FixedPolicy(problem.rewards[users].astype(np.float32))
    return lineup.policy(name, problem.user_vectors[users], oracle)


def play(
    problem: Problem, policy: OnlinePolicy, users: np.ndarray, seed: int, flip: int | None = None, slate_size: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Returns items and log-propensities [N, STEPS, k]; `flip` is a row whose rewards are turned round."""
    policy.begin(np.random.default_rng(seed))
    candidates = np.ones((len(users), problem.rewards.shape[1]), bool)
    items, logs = np.zeros((2, len(users), STEPS, slate_size))
    rows = np.arange(len(users))[:, None]
    for step in range(STEPS):
        decision = policy.act(View.of(candidates, slate_size))
        assert decision.items.shape == decision.log_propensities.shape == (len(users), slate_size)
        assert candidates[rows, decision.items].all(), "an item that was not on offer"
        candidates[rows, decision.items] = False
        assert (~candidates).sum() == (step + 1) * slate_size * len(users), "an item twice in one slate"
        rewards = problem.rewards[users[:, None], decision.items].astype(np.float32)
        if flip is not None:
            rewards[flip] = 1 - rewards[flip]
        policy.observe(Feedback.at_once(step, rewards))
        items[:, step], logs[:, step] = decision.items, decision.log_propensities
    return items, logs


@pytest.mark.parametrize("slate_size", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_policy_shows_only_candidates_with_valid_propensities(problem: Problem, name: str, slate_size: int) -> None:
    policy = make(problem, name, problem.split.test)
    _, logs = play(problem, policy, problem.split.test, seed=1, slate_size=slate_size)
    assert np.isfinite(logs).all()
    assert (logs <= 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_policy_begin_forgets_and_the_same_generator_gives_the_same_play(problem: Problem, name: str) -> None:
    policy = make(problem, name, problem.split.test)
    first, _ = play(problem, policy, problem.split.test, seed=2)
    second, _ = play(problem, policy, problem.split.test, seed=2)
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
def test_policy_late_and_missing_answers_and_absent_users_are_played_on(problem: Problem, name: str) -> None:
    users = problem.split.test[:6]
    world = WorldConfig.model_validate(
        {"feedback": {"max_delay": 2, "missing": 0.2}, "leaving": {"hazard": 0.3, "failure": 0.5}}
    )
    env = make_env(
        world, LoggedUsers(problem.rewards, problem.rated), problem.topics, users,
        session_length=4, discount=0.0, slate_size=2, seed=0,
    )  # fmt: skip
    rollout = play_world(env, make(problem, name, users), 12, np.random.default_rng(0))
    assert not rollout.present.all()
    assert rollout.present[:, 8].all(), "who left is back at the next session"
    assert (rollout.items[~rollout.present] == -1).all()
    for row in rollout.items:
        shown = row[row >= 0]
        assert len(np.unique(shown)) == len(shown)


@pytest.mark.parametrize("name", ["HB linear, greedy", "adapted, greedy"])
def test_policy_answers_that_come_late_change_nothing_before_and_count_after(problem: Problem, name: str) -> None:
    users = problem.split.test[:4]
    policy = make(problem, name, users)
    plain, _ = play(problem, policy, users, seed=4)
    policy.begin(np.random.default_rng(4))
    candidates = np.ones((len(users), problem.rewards.shape[1]), bool)
    rows, waiting = np.arange(len(users))[:, None], []
    for _ in range(3):
        items = policy.act(View.of(candidates)).items
        candidates[rows, items] = False
        waiting.append(problem.rewards[users[:, None], items].astype(np.float32))
        none = Feedback(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
        policy.observe(none)
    # Unanswered, the policy goes on by the values it started with.
    assert items[:, 0].tolist() != plain[:, 2, 0].astype(int).tolist()
    together = Feedback(np.tile(np.arange(len(users)), 3), np.repeat(np.arange(3), len(users)), np.concatenate(waiting))
    policy.observe(together)
    before = policy.act(View.of(candidates)).items
    policy.observe(Feedback.at_once(3, problem.rewards[users[:, None], before].astype(np.float32)))
    assert candidates[rows, before].all()
