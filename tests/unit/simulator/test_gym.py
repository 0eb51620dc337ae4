"""The Gymnasium adapter: clean by Gymnasium's own checks, reproducible, and one core for one user or many."""

from __future__ import annotations

import doctest
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO

import simulator.gym
from simulator import Dynamics, FactorUsers, LoggedUsers, SimulatorError

IDS = ("metarl/Recommend-v0", "metarl/Bandit-v0", "metarl/TabularMDP-v0")


def trajectory(env: gymnasium.Env[Any, Any], seed: int, steps: int = 30) -> list[tuple[list[float], float, bool, bool]]:
    random = np.random.default_rng(seed)
    env.reset(seed=seed)
    out = []
    for _ in range(steps):
        action = int(random.integers(env.action_space.n))  # type: ignore[attr-defined]
        observation, reward, terminated, truncated, _ = env.step(action)
        out.append((observation.tolist(), float(reward), terminated, truncated))
        if terminated or truncated:
            env.reset()
    return out


def test_package_example_runs() -> None:
    result = doctest.testmod(simulator.gym)
    assert result.attempted > 3
    assert result.failed == 0


@pytest.mark.parametrize("name", IDS)
def test_registered_id_passes_gymnasiums_checker(name: str) -> None:
    check_env(gymnasium.make(name).unwrapped)


def test_slates_pass_gymnasiums_checker_too() -> None:
    check_env(gymnasium.make("metarl/Recommend-v0", slate_size=3, n_items=20).unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_same_seed_same_trajectory_and_other_seed_another(name: str) -> None:
    one, two = gymnasium.make(name), gymnasium.make(name)
    assert trajectory(one, 3) == trajectory(two, 3)
    assert trajectory(one, 3) != trajectory(two, 4)


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_make_vec_plays_on_over_the_ends_of_sessions(mode: str) -> None:
    envs = gymnasium.make_vec("metarl/Recommend-v0", num_envs=6, vectorization_mode=mode, horizon=4)
    observations, _ = envs.reset(seed=1)
    assert observations.shape == (6, 17)
    envs.action_space.seed(0)
    ended = np.zeros(6, int)
    before = np.zeros(6, bool)
    for _ in range(20):
        observations, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations)
        # A session that ended is followed by a reset, whose step has no reward and no end.
        assert not rewards[before].any()
        assert not (terminated | truncated)[before].any()
        np.testing.assert_array_equal(observations[before], 0)
        before = terminated | truncated
        ended += before
    assert ended.min() >= 3
    envs.close()


def test_vector_rows_give_each_user_what_a_single_environment_gives() -> None:
    users = [7, 11, 13]
    envs = gymnasium.make_vec("metarl/Recommend-v0", num_envs=3, vectorization_mode="vector_entry_point", slate_size=2)
    envs.reset(options={"user": users})
    singles = [gymnasium.make("metarl/Recommend-v0", slate_size=2) for _ in users]
    for single, user in zip(singles, users, strict=True):
        single.reset(options={"user": user})
    over = np.zeros(3, bool)
    for step in range(10):
        actions = np.array([[2 * step, 2 * step + 1 + row] for row in range(3)])
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        for row, single in enumerate(singles):
            if over[row]:
                continue
            alone = single.step(actions[row])
            np.testing.assert_allclose(observations[row], alone[0], atol=1e-6)
            assert (rewards[row], terminated[row], truncated[row]) == alone[1:4]
        over |= terminated | truncated


def test_repeated_item_is_a_lost_position_and_masked_out() -> None:
    count = 6
    eager = FactorUsers(torch.zeros(count, 1), torch.full((count,), 30.0), torch.zeros(4, 1))
    env = gymnasium.make("metarl/Recommend-v0", population=eager, dynamics=Dynamics(), slate_size=2, horizon=3)
    _, info = env.reset(seed=0)
    assert info["action_mask"].all()
    _, reward, *_, info = env.step(np.array([4, 4]))
    assert reward == 1.0
    assert info["action_mask"].tolist() == [1, 1, 1, 1, 0, 1]
    # sb3-contrib wants the masks of both positions in one row.
    assert env.unwrapped.action_masks().tolist() == [True, True, True, True, False, True] * 2  # type: ignore[attr-defined]
    observation, reward, *_ = env.step(np.array([4, 0]))
    assert reward == 1.0
    # Without topics every item is a group of its own: share of time, last reward, exposure, shown, rewarded.
    shown, rewarded = observation[2 + count : 2 + 2 * count], observation[2 + 2 * count :]
    np.testing.assert_allclose(shown, np.array([1, 0, 0, 0, 1, 0]) / 6, atol=1e-6)
    np.testing.assert_allclose(rewarded, shown, atol=1e-6)


def test_masked_sample_never_shows_an_item_twice() -> None:
    still = Dynamics()
    users = FactorUsers(torch.zeros(8, 1), torch.zeros(8), torch.zeros(4, 1))
    env = gymnasium.make(IDS[0], population=users, dynamics=still, horizon=8)
    _, info = env.reset(seed=0)
    env.action_space.seed(0)
    shown, over = [], False
    while not over:
        shown.append(int(env.action_space.sample(info["action_mask"])))
        _, _, terminated, truncated, info = env.step(shown[-1])
        over = terminated or truncated
    assert sorted(shown) == list(range(8))


def test_users_that_follow_in_a_row_play_as_they_do_alone() -> None:
    envs = gymnasium.make_vec(IDS[0], num_envs=4, vectorization_mode="vector_entry_point", horizon=6)
    single = gymnasium.make(IDS[0], horizon=6)
    _, info = envs.reset(seed=5)
    random = np.random.default_rng(0)
    logs: dict[int, list[tuple[int, float, bool, bool]]] = {int(user): [] for user in info["user"]}
    users, over = info["user"], np.zeros(4, bool)
    for _ in range(40):
        actions = random.integers(50, size=4)
        _, rewards, terminated, truncated, info = envs.step(actions)
        for row in np.flatnonzero(~over):
            played = (int(actions[row]), float(rewards[row]), bool(terminated[row]), bool(truncated[row]))
            logs.setdefault(int(users[row]), []).append(played)
        users, over = info["user"], terminated | truncated
    assert len(logs) > 20
    for user, log in logs.items():
        single.reset(options={"user": user})
        assert [(action, *single.step(action)[1:4]) for action, *_ in log] == log


def test_vector_of_users_that_does_not_fill_the_places_is_refused() -> None:
    envs = gymnasium.make_vec(IDS[0], num_envs=3, vectorization_mode="vector_entry_point")
    with pytest.raises(SimulatorError, match="user holds 1 users; give 3"):
        envs.reset(options={"user": [7]})


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        (IDS[0], {"horizon": 0}, "horizon"),
        (IDS[0], {"slate_size": 51}, "slate_size"),
        (IDS[0], {"n_items": 3}, "n_items"),
        (IDS[1], {"n_arms": 0}, "n_arms"),
        (IDS[1], {"horizon": 0}, "horizon"),
        (IDS[2], {"episodes": 0}, "episodes"),
        (IDS[2], {"horizon": 0}, "horizon"),
    ],
)
def test_bad_configuration_names_the_field(name: str, changes: dict[str, int], field: str) -> None:
    with pytest.raises(SimulatorError, match=field):
        gymnasium.make(name, **changes)


def test_user_with_fewer_candidates_than_a_slate_is_over_at_once() -> None:
    rated = np.array([[True] * 6, [True] + [False] * 5])
    log = LoggedUsers(rated.astype(np.uint8), rated, "rated-only")
    env = gymnasium.make(IDS[0], population=log, slate_size=2)
    env.reset(options={"user": 1})
    assert env.step(np.array([0, 1]))[1:4] == (0.0, True, False)
    env.reset(options={"user": 0})
    assert env.step(np.array([0, 1]))[1:4] == (2.0, False, False)


@pytest.mark.parametrize("action", [-1, 50])
def test_action_that_is_no_item_is_named(action: int) -> None:
    env = gymnasium.make(IDS[0])
    env.reset(seed=0)
    with pytest.raises(SimulatorError, match=f"action {action} is no item"):
        env.step(action)


def test_unknown_user_is_named() -> None:
    env = gymnasium.make(IDS[0])
    with pytest.raises(SimulatorError, match="user is 100000"):
        env.reset(options={"user": 100_000})


def test_stable_baselines3_ppo_trains_unmodified_and_changes_its_policy() -> None:
    env = gymnasium.make("metarl/Recommend-v0", horizon=10)
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=64, seed=0, device="cpu")
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(256)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    assert model.num_timesteps == 256
