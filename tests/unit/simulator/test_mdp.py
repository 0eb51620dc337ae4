"""Tabular MDPs: the published distribution, its optimal values, and the batched play."""

from __future__ import annotations

import pytest
import torch

from simulator import SimulatorError, TabularEnv, TabularMDPs, optimal_values


def test_optimal_values_two_state_chain_equals_hand_computed_values() -> None:
    # Action 0 stays and pays 1 in state 1; action 1 moves to the other state and pays nothing.
    transitions = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    rewards = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
    assert optimal_values(transitions, rewards, 3).tolist() == [[2.0, 3.0]]


def test_tabular_mdps_optimum_of_ten_steps_is_the_published_ceiling() -> None:
    mdps = TabularMDPs(20_000, seed=0)
    blocks = torch.arange(20_000).split(2_000)
    best = torch.cat([optimal_values(mdps.transitions(b), mdps.mean_rewards(b), 10)[:, 0] for b in blocks])
    # 21.84 per episode: the oracle figure of the protocol's notes.
    assert abs(float(best.mean()) - 21.84) < 4 * float(best.std()) / 20_000**0.5


def test_tabular_env_optimal_play_earns_its_value_within_four_standard_errors() -> None:
    count = 20_000
    mdps, users = TabularMDPs(count, seed=1, n_states=4, n_actions=3), torch.arange(count)
    transitions, means = mdps.transitions(users), mdps.mean_rewards(users)
    env = TabularEnv(mdps, users, horizon=5, seed=2)
    states, total = env.reset(), torch.zeros(count, dtype=torch.float64)
    for step in range(5):
        ahead = optimal_values(transitions, means, 4 - step)
        q = means + torch.einsum("nsat,nt->nsa", transitions, ahead)
        states, rewards, ended = env.step(q[users, states].argmax(dim=1))
        total += rewards
    assert ended
    assert int(states.max()) == 0
    expected = optimal_values(transitions, means, 5)[:, 0]
    gap = total - expected
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / count**0.5


def test_tabular_env_what_one_does_never_changes_another() -> None:
    mdps, users = TabularMDPs(10, seed=1), torch.arange(10)
    together, alone = TabularEnv(mdps, users, seed=3), TabularEnv(mdps, torch.tensor([7]), seed=3)
    for step in range(25):
        actions = torch.full((10,), step % 5)
        actions[:7] = (step * 3 + 1) % 5
        states, rewards, _ = together.step(actions)
        own_states, own_rewards, _ = alone.step(actions[7:8])
        assert int(states[7]) == int(own_states[0])
        assert float(rewards[7]) == float(own_rewards[0])


def test_tabular_env_bad_settings_are_named() -> None:
    with pytest.raises(SimulatorError, match="n_states"):
        TabularMDPs(1, seed=0, n_states=0)
    with pytest.raises(SimulatorError, match="horizon"):
        TabularEnv(TabularMDPs(1, seed=0), torch.tensor([0]), horizon=0, seed=0)
    with pytest.raises(SimulatorError, match="actions"):
        TabularEnv(TabularMDPs(1, seed=0), torch.tensor([0]), seed=0).step(torch.tensor([5]))
