"""Plackett-Luce slates: exact propensities, and draws that follow them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_rec.slates import greedy_slate, greedy_slates, sample_slate, sample_slates, slate_log_propensities


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), temperature=st.sampled_from([0.02, 0.3, 5.0]), length=st.integers(1, 5))
def test_slate_log_propensities_all_ordered_slates_sum_to_one(seed: int, temperature: float, length: int) -> None:
    values = np.random.default_rng(seed).normal(size=6)
    candidates = np.array([True, True, False, True, True, True])
    total = 0.0
    for items in permutations(np.flatnonzero(candidates), length):
        total += np.exp(slate_log_propensities(values, candidates, temperature, np.array(items, np.int32)).sum())
    assert total == pytest.approx(1.0, rel=1e-9)


def test_slate_log_propensities_two_positions_equal_hand_computed_values() -> None:
    values = np.log(np.array([1.0, 2.0, 5.0]))
    found = slate_log_propensities(values, np.ones(3, bool), 1.0, np.array([1, 2], np.int32))
    np.testing.assert_allclose(np.exp(found), [2 / 8, 5 / 6])


def test_sample_slate_many_draws_match_their_propensities_within_four_standard_errors() -> None:
    rng = np.random.default_rng(7)
    values = np.array([0.30, 0.25, 0.20, 0.05, 0.0])
    candidates = np.array([True, True, True, True, False])
    draws, temperature = 60_000, 0.1
    counts: dict[tuple[int, ...], int] = {}
    for uniforms in rng.random((draws, 2)):
        items, log_propensities = sample_slate(values, candidates, temperature, uniforms)
        key = tuple(items.tolist())
        counts[key] = counts.get(key, 0) + 1
        expected = slate_log_propensities(values, candidates, temperature, items)
        np.testing.assert_allclose(log_propensities, expected, rtol=1e-9)
    assert len(counts) == 12
    for key, count in counts.items():
        p = float(np.exp(slate_log_propensities(values, candidates, temperature, np.array(key, np.int32)).sum()))
        assert abs(count / draws - p) < 4 * np.sqrt(p * (1 - p) / draws), key


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), temperature=st.sampled_from([0.001, 0.01, 0.5]), length=st.integers(1, 12))
def test_sample_slate_any_temperature_gives_distinct_candidates_with_exact_propensities(
    seed: int, temperature: float, length: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=20).astype(np.float32)
    candidates = rng.random(20) < 0.5
    items, log_propensities = sample_slate(values, candidates, temperature, rng.random(length))
    assert len(items) == min(length, candidates.sum())
    assert len(set(items.tolist())) == len(items)
    assert candidates[items].all()
    expected = slate_log_propensities(values, candidates, temperature, items)
    np.testing.assert_allclose(log_propensities, expected, rtol=1e-7, atol=1e-9)


def test_greedy_slate_ties_prefer_the_lower_item_number() -> None:
    values = np.array([0.5, 0.9, 0.9, 0.1])
    assert greedy_slate(values, np.ones(4, bool), 3).tolist() == [1, 2, 0]
    assert greedy_slate(values, np.array([True, False, True, False]), 3).tolist() == [2, 0]


def test_batched_slates_equal_single_ones() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 9)).astype(np.float32)
    candidates = rng.random((4, 9)) < 0.8
    candidates[:, :3] = True
    uniforms = rng.random((4, 3))
    items, log_propensities = sample_slates(values, candidates, 0.2, uniforms)
    best = greedy_slates(values, candidates, 3)
    for row in range(4):
        single, single_log = sample_slate(values[row], candidates[row], 0.2, uniforms[row])
        assert items[row].tolist() == single.tolist()
        assert log_propensities[row].tolist() == single_log.tolist()
        assert best[row].tolist() == greedy_slate(values[row], candidates[row], 3).tolist()
