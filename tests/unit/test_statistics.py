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


def test_summarize_user_in_two_splits_counts_once() -> None:
    row = summarize(EPISODES, (1, 3))[0]
    # Users' totals at 3: a = (3 + 1) / 2, b = 1, c = 2; sample standard deviation of (2, 1, 2) is sqrt(1/3).
    assert row.policy == "ours"
    assert row.hits[3] == pytest.approx(5 / 3)
    assert row.standard_errors[3] == pytest.approx(1 / 3)
    assert row.hits[1] == pytest.approx(2 / 3)


def test_compare_paired_differences_average_over_splits_before_users() -> None:
    result = compare(EPISODES, "ours", "theirs", (3,))
    # Differences at 3: a = (2 + 1) / 2, b = -1, c = 0; mean 1/6, sample variance 19/12.
    assert result.difference[3] == pytest.approx(1 / 6)
    assert result.standard_errors[3] == pytest.approx(np.sqrt(19 / 12 / 3))
    assert result.harmed[3] == pytest.approx(1 / 4)


def test_curve_last_step_equals_the_summary() -> None:
    mean, error = curve(EPISODES, "ours")
    assert mean.shape == (3,)
    assert mean[2] == pytest.approx(5 / 3)
    assert error[2] == pytest.approx(1 / 3)


def test_curve_against_another_policy_is_paired() -> None:
    mean, error = curve(EPISODES, "ours", against="theirs")
    assert mean[2] == pytest.approx(1 / 6)
    assert error[2] == pytest.approx(np.sqrt(19 / 12 / 3))
