"""Studies of tests/learning: only what they compare differs, and nobody is counted twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metarl_rec.provenance import machine
from metarl_rec.train import start_of
from tests.learning import embedding_sources, left_out, session_discount
from tests.unit.synthetic import small_config, small_problem


def test_left_out_trained_begins_where_its_start_is() -> None:
    train = left_out.settings(2, ["train.iterations=120", "train.start_noises=[0.3]"]).train
    assert (train.iterations, train.start_noises, train.start_forgettings, train.jury_users) == (120, (), (), 0)


def test_left_out_gaps_average_a_persons_splits_first() -> None:
    rows: list[dict[str, Any]] = [
        {"users": ["a", "b"], "reference": [1, 1], "trained": [2, 5]},
        {"users": ["a"], "reference": [1], "trained": [4]},
    ]
    assert left_out.gaps(rows, "trained").tolist() == [2, 4]


def test_session_discount_nothing_but_the_discount_differs_between_the_arms() -> None:
    low, high = (session_discount.settings(1, discount, "sessions") for discount in session_discount.DISCOUNTS)
    assert low.train == high.train
    # A start that each arm chose by itself would differ, too.
    assert low.train.start_noises == low.train.start_forgettings == ()


def test_session_discount_judges_in_a_world_that_no_update_trained_in(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config()
    problem = small_problem(config)
    seeds: list[int] = []

    def noted(*args: Any, seed: int, **settings: Any) -> Any:
        seeds.append(seed)
        return made(*args, seed=seed, **settings)

    made = session_discount.make_env
    monkeypatch.setattr(session_discount, "make_env", noted)
    rewards = session_discount.judge(problem, start_of(problem, config), config, "static")
    assert rewards.shape == (session_discount.JUDGED_USERS,)
    assert seeds[0] > 2 * 10**9, "beyond iterations' and validations' seeds"


def test_embedding_sources_report_says_where_it_ran() -> None:
    report = embedding_sources.report({"svd": [24.0, 25.0], "BPR": [23.0, 23.0]}, {"svd": [0.1, 0.1], "BPR": [1, 1]})
    assert report["machine"] == machine()
    assert report["seeds"] == [0, 1]
    assert report["table"]["BPR"] == pytest.approx({"mean": 23, "minus_svd": -1.5, "standard_error": np.sqrt(0.25)})
