"""MeLU's training: a network after some updates is that of a training of as many."""

from __future__ import annotations

import torch

from metarl_rec.baselines.melu import train_melu
from tests.unit.synthetic import small_config, small_problem


def test_train_melu_gives_the_networks_of_shorter_trainings() -> None:
    problem = small_problem(small_config())
    data = (problem.rewards, problem.user_vectors, problem.item_vectors, problem.split.train)
    both = train_melu(*data, seed=3, iterations=(2, 5))
    assert sorted(both) == [2, 5]
    for updates, net in both.items():
        (alone,) = train_melu(*data, seed=3, iterations=(updates,)).values()
        for mine, its in zip(net.parameters(), alone.parameters(), strict=True):
            assert torch.equal(mine, its)
    first, second = (next(net.parameters()) for net in both.values())
    assert not torch.equal(first, second)
