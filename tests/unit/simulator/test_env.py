"""The batched environment's rules and ends of episodes."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

import simulator
from simulator import BatchEnv, LatentFactorUsers, LoggedUsers, SimulatorError, returns_to_go


def latent(n_users: int = 50) -> LatentFactorUsers:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 2, generator=generator)
    return LatentFactorUsers.calibrated(features, torch.full((8,), 0.4), n_users, seed=1)


def test_package_example_runs() -> None:
    result = doctest.testmod(simulator)
    assert result.attempted > 5
    assert result.failed == 0


def test_step_logged_users_answer_exactly_as_their_log() -> None:
    rewards = (np.random.default_rng(0).random((6, 8)) < 0.5).astype(np.uint8)
    env = BatchEnv(LoggedUsers(rewards, np.ones_like(rewards, bool)), torch.arange(6), horizon=8, seed=9)
    observation = env.reset()
    for item in range(8):
        observation, response = env.step(torch.full((6, 1), item))
        assert response.rewards[:, 0].tolist() == rewards[:, item].tolist()
    assert not bool(observation.candidates.any())


def test_step_other_users_actions_and_order_never_change_a_users_answers() -> None:
    users = torch.arange(50)
    env = BatchEnv(latent(), users, horizon=8, seed=2)
    env.reset()
    _, first = env.step(torch.zeros(50, 1, dtype=torch.int64))
    env.reset()
    slates = torch.ones(50, 1, dtype=torch.int64)
    slates[7] = 3
    env.step(slates)
    _, second = env.step(torch.zeros(50, 1, dtype=torch.int64))
    assert torch.equal(first.rewards, second.rewards)
    alone = BatchEnv(latent(), torch.tensor([7]), horizon=8, seed=2)
    alone.reset()
    assert torch.equal(alone.step(torch.zeros(1, 1, dtype=torch.int64))[1].rewards[0], first.rewards[7])


def test_step_frequencies_match_the_probabilities_within_four_standard_errors() -> None:
    population = latent(20_000)
    env = BatchEnv(population, torch.arange(20_000), horizon=8, slate_size=8, seed=3)
    env.reset()
    _, response = env.step(torch.arange(8).repeat(20_000, 1))
    p = population.reward_probabilities(torch.arange(20_000)).double()
    gap = (response.rewards.double() - p).sum(dim=0) / (p * (1 - p)).sum(dim=0).sqrt()
    assert bool((gap.abs() < 4).all())


def test_bandit_every_step_terminates_and_session_is_truncated_at_its_horizon() -> None:
    bandit = BatchEnv(latent(), torch.arange(2), horizon=2, seed=0)
    bandit.reset()
    _, response = bandit.step(torch.tensor([[0], [1]]))
    assert (response.terminated.tolist(), response.truncated.tolist()) == ([True, True], [False, False])
    session = BatchEnv(latent(), torch.arange(2), form="session", horizon=2, discount=0.9, slate_size=3, seed=0)
    session.reset()
    _, response = session.step(torch.tensor([[0, 1, 2], [1, 2, 3]]))
    assert (response.terminated.tolist(), response.truncated.tolist()) == ([False, False], [False, False])
    # Two items are left, fewer than a slate: this ends in the world, not by the horizon.
    _, response = session.step(torch.tensor([[3, 4, 5], [4, 5, 6]]))
    assert (response.terminated.tolist(), response.truncated.tolist()) == ([True, True], [False, False])


def test_session_with_candidates_left_is_truncated() -> None:
    env = BatchEnv(latent(), torch.arange(1), form="session", horizon=2, discount=0.5, seed=0)
    env.reset()
    env.step(torch.tensor([[0]]))
    _, response = env.step(torch.tensor([[1]]))
    assert (response.terminated.tolist(), response.truncated.tolist()) == ([False], [True])


def test_step_repeated_or_unknown_item_is_an_error_that_says_so() -> None:
    env = BatchEnv(latent(), torch.arange(2), horizon=2, slate_size=2, seed=0)
    env.reset()
    with pytest.raises(SimulatorError, match="twice"):
        env.step(torch.tensor([[0, 0], [1, 2]]))
    with pytest.raises(SimulatorError, match="item numbers"):
        env.step(torch.tensor([[0, 8], [1, 2]]))
    with pytest.raises(SimulatorError, match="one row a user"):
        env.step(torch.tensor([[0, 1]]))
    env.step(torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises(SimulatorError, match="not a candidate"):
        env.step(torch.tensor([[0, 2], [3, 4]]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"form": "endless"}, "form"),
        ({"horizon": 0}, "horizon"),
        ({"discount": 1.0}, "discount"),
        ({"discount": 0.5}, "discount"),
        ({"users": torch.tensor([50])}, "users"),
        ({"users": torch.tensor([], dtype=torch.int64)}, "users"),
    ],
)
def test_env_bad_configuration_names_the_field(changes: dict[str, object], field: str) -> None:
    arguments: dict[str, object] = {"users": torch.arange(2), "horizon": 2, "seed": 0} | changes
    with pytest.raises(SimulatorError, match=field):
        BatchEnv(latent(), **arguments)  # type: ignore[arg-type]


def test_returns_to_go_two_episodes_equal_hand_computed_values() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0, 1.0]])
    ends = torch.tensor([[False, True, False, True]])
    assert returns_to_go(rewards, ends, 0.5).tolist() == [[2.0, 2.0, 4.5, 1.0]]
