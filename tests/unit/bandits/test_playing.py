"""Bernoulli bandits: draws of a uniform distribution, trials that nothing but the task decides, learning that pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarl_rec.bandits.playing import N_COEFFICIENTS, bonus_table, index_rewards, thompson_rewards, ucb_rewards
from metarl_rec.evolution import evolve
from metarl_rec.keyed_draws import BERNOULLI, uniform
from metarl_rec.protocols import bandit
from metarl_rec.workspace import Workspace

START = np.zeros(N_COEFFICIENTS)


def test_uniform_is_uniform_and_every_key_matters() -> None:
    values = np.array(
        [uniform(0, BERNOULLI, task, arm, pull) for task in range(40) for arm in range(10) for pull in range(25)]
    )
    assert values.mean() == pytest.approx(0.5, abs=4 * 0.2887 / np.sqrt(len(values)))
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    assert np.square(counts - 1000).sum() / 1000 < 27.9, "chi-squared with 9 degrees of freedom, .999 quantile"
    keys = [(0, 0, 1, 2, 3), (1, 0, 1, 2, 3), (0, 1, 1, 2, 3), (0, 0, 2, 1, 3), (0, 0, 1, 3, 2)]
    assert len({uniform(*key) for key in keys}) == len(keys)


def test_bonus_table_vanishes_when_nothing_is_left_and_falls_with_the_count() -> None:
    table = bonus_table(START, 20)
    assert (table[:, 0] == 0).all()
    assert (np.diff(table[:, 10]) < 0).all()
    # softplus(0) 10 / (10 + 3) at a count of 2.
    assert table[2, 10] == pytest.approx(np.log(2) * 10 / 13)


def test_index_rewards_one_arm_gives_the_arm_whatever_the_policy() -> None:
    ours = index_rewards(START, 1, 30, 0, 200, 0)
    assert ours.tolist() == ucb_rewards(0.3, 1, 30, 0, 200, 0).tolist() == thompson_rewards(1, 30, 0, 200, 0).tolist()
    assert ours.mean() == pytest.approx(15, abs=4 * 9 / np.sqrt(200))


def test_index_rewards_a_task_is_the_same_in_any_batch() -> None:
    whole = index_rewards(START, 5, 50, 0, 60, 3)
    assert whole[20:45].tolist() == index_rewards(START, 5, 50, 20, 25, 3).tolist()
    assert thompson_rewards(5, 50, 0, 60, 3)[20:45].tolist() == thompson_rewards(5, 50, 20, 25, 3).tolist()


def test_index_rewards_ten_pulls_stay_below_the_exact_ceiling() -> None:
    rewards = index_rewards(START, 5, 10, 0, 40_000, 0)
    error = rewards.std() / np.sqrt(len(rewards))
    assert 6.3 < rewards.mean() <= 6.660 + 4 * error


def test_evolve_finds_the_top_of_a_parabola_and_repeats_itself() -> None:
    target = np.array([1.0, -2.0, 0.5])
    found = [
        evolve(lambda c, _: -float(np.square(c - target).sum()), np.zeros(3), generations=60, population=8, seed=4)
        for _ in range(2)
    ]
    np.testing.assert_allclose(found[0].coefficients, target, atol=1e-2)
    assert found[0].coefficients.tolist() == found[1].coefficients.tolist()
    assert found[0].curve[-1] > found[0].curve[0]


def test_run_small_meta_training_beats_the_greedy_posterior_mean(tmp_path: Path) -> None:
    settings = bandit.Settings(
        tasks=4000, thompson_tasks=500, pulls=(100,), arms=(5,), generations=4, population=6, train_pulls=50_000
    )
    result = bandit.run(settings, Workspace(tmp_path), lambda *_: None)
    mean, error = result.raw["n=100, k=5"]["paired_differences"][bandit.GREEDY]
    assert mean > 2 * error
    assert sum(result.raw["n=100, k=5"]["tasks_by_reward"][bandit.OURS]) == 4000
    assert [bar.name for bar in result.bars] == ["n=100, k=5", "n=100, k=5, stretch", "n=100, k=5, no bug"]
    printed, less = (table.rows[0] for table in result.tables)
    assert printed[6:11] == ("74.7", "78.0", "78.3", "78.7", "79.1"), "table 1 of Duan et al. and of Mishra et al."
    assert less[4] == result.raw["n=100, k=5"]["ours_has_less"][bandit.GREEDY]
    # Exploring costs many tasks a little and gives others a lot.
    assert 20 < float(less[4].removesuffix(" %")) < 80
    again = bandit.run(settings, Workspace(tmp_path), lambda *_: None)
    assert again.raw == result.raw
