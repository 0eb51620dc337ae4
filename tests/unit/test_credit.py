"""Credit for the rest of a session: nothing without a discount, nothing after leaving, more where more follows."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.credit import future_advantages
from metarl_rec.rollout import Rollout


def rollout(expected: np.ndarray, left: np.ndarray | None = None, session: int = 10) -> Rollout:
    """A roll-out of one session whose users leave after the steps marked in `left`."""
    users, steps = expected.shape
    left = np.zeros((users, steps), bool) if left is None else left
    present = np.ones((users, steps), bool)
    for step in range(1, steps):
        present[:, step] = present[:, step - 1] & ~left[:, step - 1]
    truncated = np.zeros((users, steps), bool)
    truncated[:, session - 1 :: session] = present[:, session - 1 :: session] & ~left[:, session - 1 :: session]
    values = (expected * present)[:, :, None].astype(np.float32)
    blank = np.zeros((users, steps, 1))
    return Rollout(blank.astype(np.int32), values.round(), values, present, left & present, truncated)


def test_future_advantages_without_discount_are_zero() -> None:
    assert not future_advantages(rollout(np.full((4, 10), 0.5)), 0.0, 10).any()


def test_future_advantages_leaving_costs_what_staying_would_have_brought() -> None:
    left = np.zeros((200, 10), bool)
    left[:100, 2] = True
    found = future_advantages(rollout(np.full((200, 10), 0.5), left), 0.9, 10)
    assert found[:100, 2].max() < -0.5  # up to seven more steps of .5, discounted
    assert found[100:, 2].min() > 0.5
    assert not found[:100, 3:].any(), "nobody is credited while away"
    # A baseline takes out what is usual: over everybody present the credit averages to about nothing.
    assert abs(found.sum() / (found != 0).sum()) < 0.05


@pytest.mark.parametrize(("steps", "session"), [(20, 20), (60, 20), (25, 10)])
def test_future_advantages_constant_rewards_are_credited_to_no_step(steps: int, session: int) -> None:
    # Nobody leaves, so no step is better than usual: not the last before a cut, nor the last of all.
    found = future_advantages(rollout(np.full((500, steps), 0.5), session=session), 0.9, session)
    assert np.abs(found).max() < 0.02


@pytest.mark.parametrize(("steps", "session", "step"), [(20, 20, 18), (40, 20, 18), (25, 10, 23)])
def test_future_advantages_a_cut_session_is_worth_what_going_on_would_bring(
    steps: int, session: int, step: int
) -> None:
    left = np.zeros((500, steps), bool)
    left[0, step] = True
    found = future_advantages(rollout(np.full((500, steps), 0.5), left, session), 0.9, session)
    # Whoever leaves forgoes .9 (.5 + .9 .5 + ...) = 4.5, though the session is cut one step later.
    assert found[1, step] - found[0, step] == pytest.approx(4.5, abs=0.1)
