"""What the adapted policy says of its own adaptation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.inner_params import InnerParams
from metarl_rec.policies import Feedback, View

ITEMS, USERS = 6, 2


UNRELATED = np.eye(ITEMS, dtype=np.float32)
RELATED = np.linspace(0, 1, ITEMS, dtype=np.float32)[:, None] * np.ones((ITEMS, ITEMS), np.float32)


def played(steps: int, *, greedy: bool = False, features: NDArray[np.float32] = UNRELATED) -> AdaptedPolicy:
    inner = InnerParams(temperature=0.5)
    policy = AdaptedPolicy(
        features, np.full(ITEMS, 0.3, np.float32), np.zeros((USERS, ITEMS), np.float32), inner, greedy=greedy
    )
    policy.begin(np.random.default_rng(0))
    candidates = np.ones((USERS, ITEMS), np.bool_)
    for step in range(steps):
        decision = policy.act(View.of(candidates))
        candidates[np.arange(USERS), decision.items[:, 0]] = False
        policy.observe(Feedback.at_once(step, np.ones((USERS, 1), np.float32)))
    return policy


def test_effect_counts_ratios_of_all_epochs() -> None:
    effect = played(3).effect()
    assert effect["ratios"] == [3.0 * 5] * USERS
    assert all(0 < clipped < 15 for clipped in effect["clipped"])


def test_effect_greedy_choices_form_no_ratio() -> None:
    assert played(3, greedy=True).effect()["ratios"] == [0.0] * USERS


def test_effect_kl_is_over_what_was_not_shown_yet() -> None:
    # Items share nothing here: what was answered says nothing about the rest, and there both policies are one.
    assert played(3).effect()["kl_nats"] == pytest.approx([0.0] * USERS, abs=2e-3)
    assert min(played(1, features=RELATED).effect()["kl_nats"]) > 0.01


def test_effect_before_anything_was_shown_is_refused() -> None:
    with pytest.raises(RuntimeError, match="after act"):
        played(0).effect()
