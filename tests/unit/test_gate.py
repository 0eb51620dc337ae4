"""The gate on meta-parameters, on people whose rewards are written out."""

from __future__ import annotations

import numpy as np

from metarl_rec.gate import best_of, improves
from metarl_rec.validate import Validation


def validation(rewards: list[float], harmed: list[float] | None = None) -> Validation:
    return Validation(0.0, 0.0, tuple(rewards), tuple(harmed or [0.0] * len(rewards)))


START = validation([10.0, 12.0, 8.0, 10.0])


def test_gain_beyond_its_standard_error_improves() -> None:
    # Differences 1, 1, 0, 1: mean .75, standard error .25.
    assert improves(validation([11.0, 13.0, 8.0, 11.0]), START, START, harm_cost=0.0)


def test_gain_within_its_standard_error_does_not() -> None:
    # Differences 3, -2, 0, 0: mean .25, standard error 1.03.
    assert not improves(validation([13.0, 10.0, 8.0, 10.0]), START, START, harm_cost=0.0)


def test_gain_below_the_best_so_far_does_not() -> None:
    best = validation([12.0, 14.0, 9.0, 12.0])
    assert not improves(validation([11.0, 13.0, 8.0, 11.0]), best, START, harm_cost=0.0)


def test_gain_that_harms_more_people_does_not_where_harm_costs() -> None:
    candidate = validation([11.0, 13.0, 8.0, 11.0], harmed=[0.0, 0.0, 1.0, 0.0])
    assert improves(candidate, START, START, harm_cost=0.0)
    # One of four harmed: worth .75 - 5 / 4 < 0.
    assert not improves(candidate, START, START, harm_cost=5.0)


def test_same_people_with_fewer_of_them_harmed_improve_where_harm_costs() -> None:
    start = validation([10.0, 12.0, 8.0, 10.0], harmed=[1.0, 1.0, 1.0, 0.0])
    candidate = validation([10.0, 12.0, 8.0, 10.0])
    assert improves(candidate, start, start, harm_cost=5.0)
    assert not improves(candidate, start, start, harm_cost=0.0)


def test_best_of_takes_the_greatest_mean_of_those_ahead_of_the_first_beyond_luck() -> None:
    first = np.array([10.0, 12.0, 8.0, 10.0])
    lucky = first + np.array([9.0, -5.0, 0.0, 0.0])
    ahead, further = first + np.array([1.0, 1.0, 0.0, 1.0]), first + np.array([1.0, 1.0, 0.5, 1.0])
    assert best_of([first, lucky]) == 0
    assert best_of([first, lucky, ahead]) == 2
    assert best_of([first, ahead, further, lucky]) == 2
    assert best_of([first]) == 0
