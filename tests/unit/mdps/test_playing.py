"""Tabular MDPs: the published distribution, planning against a loop over policies, learning that pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metarl_rec.mdps.drawing import ACTIONS, STATES, draw_mdp, next_state, normal, plan
from metarl_rec.mdps.playing import oracle_rewards, planner_rewards, psrl_rewards
from metarl_rec.protocols import mdp
from metarl_rec.workspace import Workspace


def drawn(task: int) -> tuple[np.ndarray, np.ndarray]:
    transitions, means = np.empty((STATES, ACTIONS, STATES)), np.empty((STATES, ACTIONS))
    draw_mdp(0, task, transitions, means)
    return transitions, means


def test_draw_mdp_rows_are_distributions_and_mean_rewards_are_standard_normal_around_one() -> None:
    many = [drawn(task) for task in range(200)]
    transitions, means = (np.stack(parts) for parts in zip(*many, strict=True))
    np.testing.assert_allclose(transitions.sum(axis=3), 1)
    # Dirichlet(1) over ten states: each share is Beta(1, 9), of variance 9 / 1100.
    assert transitions.var() == pytest.approx(9 / 1100, rel=0.03)
    assert means.mean() == pytest.approx(1, abs=4 / np.sqrt(means.size))
    assert means.std() == pytest.approx(1, abs=0.03)


def test_next_state_frequencies_are_the_transition_probabilities() -> None:
    transitions, _ = drawn(3)
    draws = np.bincount([next_state(0, 3, 2, 1, visit, transitions) for visit in range(20_000)], minlength=STATES)
    error = np.sqrt(transitions[2, 1] * (1 - transitions[2, 1]) / 20_000)
    assert (np.abs(draws / 20_000 - transitions[2, 1]) < 4 * error).all()


def test_normal_draws_have_mean_zero_and_variance_one() -> None:
    draws = np.array([normal(0, 9, 1, 2, turn) for turn in range(20_000)])
    assert abs(draws.mean()) < 4 / np.sqrt(20_000)
    assert draws.var() == pytest.approx(1, abs=0.04)


def test_plan_two_steps_equals_the_best_of_all_policies() -> None:
    transitions, means = drawn(5)
    chosen = plan(transitions, means, 2, 0, np.empty((2, STATES)))
    best = means.max(axis=1)
    by_hand = [means[0, a] + transitions[0, a] @ best for a in range(ACTIONS)]
    assert chosen == int(np.argmax(by_hand))
    assert plan(transitions, means, 1, 4, np.empty((2, STATES))) == int(means[4].argmax())


def test_oracle_rewards_an_episode_are_those_of_backward_induction() -> None:
    values = []
    for task in range(300):
        transitions, means = drawn(task)
        value = np.zeros(STATES)
        for _ in range(10):
            value = (means + transitions @ value).max(axis=1)
        values.append(value[0])
    found = oracle_rewards(10, 0, 300, 0) / 10
    gap = found - np.array(values)
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(300)


@pytest.mark.parametrize(("first", "tasks"), [(0, 5), (7, 9)])
def test_trials_of_a_task_are_the_same_in_any_batch(first: int, tasks: int) -> None:
    for play in (lambda f, n: planner_rewards(mdp.START, 3, f, n, 1), lambda f, n: psrl_rewards(3, f, n, 1)):
        assert play(0, 20)[first : first + tasks].tolist() == play(first, tasks).tolist()


def test_run_small_beats_posterior_sampling_and_repeats_itself(tmp_path: Path) -> None:
    settings = mdp.Settings(tasks=600, episodes=(10,), generations=2, population=4, train_tasks=50)
    first, second = (mdp.run(settings, Workspace(tmp_path), lambda *_: None) for _ in range(2))
    assert first.raw == second.raw
    mean, error = first.raw["10 episodes"]["paired_differences"][mdp.PSRL]
    assert mean > 2 * error
    names = [bar.name.removeprefix("10 episodes: ") for bar in first.bars]
    assert names == [
        "above PSRL run here", "oracle", "above PSRL (printed)", "stretch: above RL² (printed)",
        "stretch: above SNAIL (printed)",
    ]  # fmt: skip
