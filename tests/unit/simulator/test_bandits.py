"""Bernoulli bandits on the batched core: arms answer anew at every pull, at their own rate."""

from __future__ import annotations

import torch

from simulator import BatchEnv, BernoulliBandits

COUNT = 20_000


def total(choose: torch.Tensor, pulls: int = 10, arms: int = 5) -> torch.Tensor:
    """Returns the reward of pulling the chosen arm of every bandit [COUNT] again and again."""
    env = BatchEnv(BernoulliBandits(arms, COUNT, seed=0), torch.arange(COUNT), horizon=pulls, repeats=True, seed=1)
    env.reset()
    out = torch.zeros(COUNT, dtype=torch.float64)
    for _ in range(pulls):
        _, response = env.step(choose.unsqueeze(1))
        out += response.rewards[:, 0]
    return out


def test_pulling_any_arm_earns_a_half_and_the_best_of_five_earns_five_sixths() -> None:
    first = total(torch.zeros(COUNT, dtype=torch.int64))
    rates = BernoulliBandits(5, COUNT, seed=0).reward_probabilities(torch.arange(COUNT))
    best = total(rates.argmax(dim=1))
    for found, expected in ((first, 5.0), (best, 10 * 5 / 6)):
        assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / COUNT**0.5


def test_pulls_of_one_arm_are_independent() -> None:
    # Given an arm's rate p, ten pulls vary by 10 p (1 - p), on average 10 / 6; one answer for ever would vary tenfold.
    arm = total(torch.zeros(COUNT, dtype=torch.int64))
    p = BernoulliBandits(5, COUNT, seed=0).reward_probabilities(torch.arange(COUNT))[:, 0].double()
    squares = (arm - 10 * p).square()
    assert abs(float(squares.mean()) - 10 / 6) < 4 * float(squares.std()) / COUNT**0.5
