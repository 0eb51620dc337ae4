"""MeLU's training: a network after some updates is that of a training of as many, and no item comes twice in a task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metarl_rec.baselines import melu
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


@pytest.mark.parametrize(("liked", "told", "asked"), [(60, 10, 10), (13, 7, 6), (0, 0, 0)])
def test_drawn_support_and_query_share_no_item_and_the_positives_evenly(liked: int, told: int, asked: int) -> None:
    rewards = (np.arange(500) < liked).astype(np.uint8)
    found = melu._drawn(rewards, 20, np.random.default_rng(0))
    assert found.shape == (2, 20)
    assert len(np.unique(found)) == 40
    # Of 60 there are more than fill the half; few of what is drawn beside them are positives, too.
    few = 3 if liked == 60 else 0
    assert told <= rewards[found[0]].sum() <= told + few
    assert asked <= rewards[found[1]].sum() <= asked + few


def test_train_melu_learns_from_tasks_without_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []

    def noted(*given: object) -> np.ndarray:
        drawn.append(original(*given))
        return drawn[-1]

    original = melu._drawn
    monkeypatch.setattr(melu, "_drawn", noted)
    problem = small_problem(small_config())
    # A query of 60 would need 120 of 80 items.
    train_melu(
        problem.rewards,
        problem.user_vectors,
        problem.item_vectors,
        problem.split.train,
        seed=3,
        iterations=(2,),
        size=60,
    )
    assert {items.shape for items in drawn} == {(2, 40)}
    assert all(len(np.unique(items)) == 80 for items in drawn)
