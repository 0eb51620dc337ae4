"""Bandits and tabular MDPs as Gymnasium episodes: what is observed, when a trial ends, and rows beside single ones."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import simulator.gym  # noqa: F401 - registers the ids
from simulator import SimulatorError

BANDIT, MDP = "metarl/Bandit-v0", "metarl/TabularMDP-v0"


def test_bandit_observation_counts_pulls_and_successes() -> None:
    env = gymnasium.make(BANDIT, n_arms=2, horizon=4)
    first, info = env.reset(options={"user": 3})
    assert info == {"user": 3}
    assert first.tolist() == [0] * 8
    pulls, wins = np.zeros(2), np.zeros(2)
    for step, arm in enumerate((1, 0, 1, 1)):
        observation, reward, terminated, truncated, _ = env.step(arm)
        assert reward in (0.0, 1.0)
        pulls[arm] += 1
        wins[arm] += reward
        expected = [*pulls / 4, *wins / 4, arm == 0, arm == 1, reward, (step + 1) / 4]
        assert observation.tolist() == [float(number) for number in expected]
        assert (terminated, truncated) == (step == 3, False)


def test_bandit_arm_pays_at_its_own_rate_in_one_trial() -> None:
    env = gymnasium.make(BANDIT, n_arms=3, horizon=2000)
    env.reset(options={"user": 11})
    rates = env.unwrapped._trials._env.reward_probabilities()[0]  # type: ignore[attr-defined]
    mean = np.mean([env.step(2)[1] for _ in range(2000)])
    # Four standard errors of 2000 Bernoulli draws.
    assert abs(mean - float(rates[2])) < 4 * 0.5 / 2000**0.5


def test_mdp_observation_marks_state_action_reward_and_beginnings() -> None:
    env = gymnasium.make(MDP, episodes=2, horizon=3, n_states=4, n_actions=2)
    first, _ = env.reset(options={"user": 5})
    assert first.tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 0]
    for step, action in enumerate((1, 0, 1, 1, 0, 0)):
        observation, reward, terminated, truncated, _ = env.step(action)
        assert observation[:4].sum() == 1
        assert observation[4:6].tolist() == [float(action == 0), float(action == 1)]
        assert observation[6] == pytest.approx(np.clip(reward, -10, 10))
        begins = step in (2, 5)
        assert observation[7] == begins
        # Every episode of the MDP starts in state 0.
        assert not begins or observation[0] == 1
        assert observation[8] == pytest.approx((step + 1) / 6)
        assert (terminated, truncated) == (step == 5, False)


@pytest.mark.parametrize("name", [BANDIT, MDP])
@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_make_vec_plays_on_over_the_ends_of_trials(name: str, mode: str) -> None:
    settings = {"horizon": 3} if name == BANDIT else {"horizon": 3, "episodes": 1}
    envs = gymnasium.make_vec(name, num_envs=4, vectorization_mode=mode, **settings)
    envs.reset(seed=1)
    envs.action_space.seed(0)
    ends = []
    for _ in range(8):
        observations, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations)
        assert not truncated.any()
        ends.append(terminated.tolist())
        if len(ends) % 4 == 0:
            assert rewards.tolist() == [0.0] * 4
            assert observations[:, -1].tolist() == [0.0] * 4
    # Three steps, then one that begins the next trial.
    assert ends == ([[False] * 4] * 2 + [[True] * 4] + [[False] * 4]) * 2
    envs.close()


@pytest.mark.parametrize("name", [BANDIT, MDP])
def test_vector_rows_give_each_task_what_a_single_environment_gives(name: str) -> None:
    settings = {"horizon": 6} if name == BANDIT else {"horizon": 3, "episodes": 2}
    envs = gymnasium.make_vec(name, num_envs=3, vectorization_mode="vector_entry_point", **settings)
    singles = [gymnasium.make(name, **settings) for _ in range(3)]
    _, info = envs.reset(seed=4)
    first = info["user"].tolist()
    random = np.random.default_rng(0)
    for _ in range(2):
        for single, task in zip(singles, info["user"], strict=True):
            single.reset(options={"user": task})
        for _ in range(6):
            actions = random.integers(5, size=3)
            observations, rewards, terminated, _, info = envs.step(actions)
            for row, single in enumerate(singles):
                alone = single.step(actions[row])
                np.testing.assert_array_equal(observations[row], alone[0])
                assert (rewards[row], terminated[row]) == alone[1:3]
        *_, info = envs.step(actions)
    assert not set(first) & set(info["user"].tolist())


@pytest.mark.parametrize("name", [BANDIT, MDP])
@pytest.mark.parametrize("action", [-1, 5])
def test_action_that_does_not_exist_is_named(name: str, action: int) -> None:
    env = gymnasium.make(name)
    env.reset(seed=0)
    with pytest.raises(SimulatorError, match=f"action {action} does not exist"):
        env.step(action)


@pytest.mark.parametrize("name", [BANDIT, MDP])
def test_vector_of_unknown_tasks_is_refused(name: str) -> None:
    envs = gymnasium.make_vec(name, num_envs=2, vectorization_mode="vector_entry_point")
    with pytest.raises(SimulatorError, match="user is 100000"):
        envs.reset(options={"user": [0, 100_000]})
    with pytest.raises(SimulatorError, match="user holds 3 users; give 2"):
        envs.reset(options={"user": [0, 1, 2]})
