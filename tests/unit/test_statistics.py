"""Means, standard errors and harm from raw results, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.statistics import Episodes, compare, curve, summarize

# User a plays in two splits, b and c in one each; three steps.
EPISODES = Episodes(
    user_ids=["a", "a", "b", "c"],
    splits=[0, 1, 0, 0],
    rewards={
        "ours": np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32),
        "theirs": np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 0, 1]], np.float32),
    },
)


def test_summarize_means_are_over_episodes_and_errors_clustered_by_user() -> None:
    row = summarize(EPISODES, (1, 3))[0]
    # Totals at 3: a has 3 and 1, b 1, c 2; mean 7/4, residual sums 1/2, -3/4, 1/4, their squares 14/16, three users.
    assert row.policy == "ours"
    assert row.hits[3] == pytest.approx(7 / 4)
    assert row.standard_errors[3] == pytest.approx(np.sqrt(14 / 16 * 3 / 2) / 4)
    assert row.hits[1] == pytest.approx(3 / 4)


def test_summarize_users_with_one_episode_each_have_the_plain_standard_error() -> None:
    rewards = np.array([[1, 1], [0, 1], [0, 0], [1, 0], [1, 1]], np.float32)
    (row,) = summarize(Episodes(["a", "b", "c", "d", "e"], [0] * 5, {"ours": rewards}), (2,))
    totals = rewards.sum(axis=1)
    assert row.hits[2] == pytest.approx(totals.mean())
    assert row.standard_errors[2] == pytest.approx(totals.std(ddof=1) / np.sqrt(5))


def test_compare_paired_differences_average_over_splits_before_users() -> None:
    result = compare(EPISODES, "ours", "theirs", (3,))
    # Differences at 3: a = (2 + 1) / 2, b = -1, c = 0; mean 1/6, sample variance 19/12.
    assert result.difference[3] == pytest.approx(1 / 6)
    assert result.standard_errors[3] == pytest.approx(np.sqrt(19 / 12 / 3))
    # One of four episodes, b's: residual sums of a, b, c are -1/2, 3/4, -1/4.
    assert result.harmed[3] == pytest.approx(1 / 4)
    assert result.harmed_errors[3] == pytest.approx(np.sqrt((4 + 9 + 1) / 16 * 3 / 2) / 4)


def test_curve_last_step_equals_the_summary() -> None:
    mean, error = curve(EPISODES, "ours")
    assert mean.shape == (3,)
    row = summarize(EPISODES, (3,))[0]
    assert mean[2] == pytest.approx(row.hits[3])
    assert error[2] == pytest.approx(row.standard_errors[3])


def test_curve_against_another_policy_is_paired() -> None:
    mean, error = curve(EPISODES, "ours", against="theirs")
    assert mean[2] == pytest.approx(1 / 6)
    assert error[2] == pytest.approx(np.sqrt(19 / 12 / 3))
