"""Slates under rules: each rule is obeyed, lists are full where they can be, propensities are those drawn from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metarl_rec.ruled_slates import draw_ruled_slate, make_rules
from metarl_rec.slates import sample_slate

LIKELY = st.sampled_from([0.02, 0.3, 5.0, None])


def stated(
    values: NDArray[Any],
    temperature: float,
    items: list[int],
    *,
    pins: dict[int, int],
    caps: list[tuple[int, list[list[str]]]],
    diversity: float = 0.0,
    features: NDArray[Any] | None = None,
) -> list[float]:
    """Returns every position's probability, computed plainly: who may stand there, and their softmax."""
    out = []
    for position, item in enumerate(items):
        above = items[:position]
        if pins.get(position) == item:
            out.append(1.0)
            continue
        held = Counter((n, v) for j in {*above, *pins.values()} for n, (_, own) in enumerate(caps) for v in own[j])
        logits = {}
        for i in range(len(values)):
            full = any(held[n, v] >= most for n, (most, own) in enumerate(caps) for v in own[i])
            if i in above or i in pins.values() or full:
                continue
            nearest = max([0.0, *(cosine(features, i, j) for j in above)]) if features is not None else 0.0
            logits[i] = (1 - diversity) * values[i] - diversity * (values.max() - values.min()) * nearest
        top = max(logits.values())
        mass = {i: np.exp((logit - top) / temperature) for i, logit in logits.items()}
        out.append(float(mass[item] / sum(mass.values())))
    return out


def cosine(features: NDArray[Any], i: int, j: int) -> float:
    return float(features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j]))


def test_draw_ruled_slate_without_rules_equals_the_plain_sampler() -> None:
    rng = np.random.default_rng(3)
    values, uniforms = rng.normal(size=30), rng.random(8)
    items, log_propensities = draw_ruled_slate(values, 0.4, uniforms, make_rules(30, 8))
    plain, plain_log = sample_slate(values, np.ones(30, bool), 0.4, uniforms)
    np.testing.assert_array_equal(items, plain)
    np.testing.assert_allclose(log_propensities, plain_log, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), temperature=LIKELY, length=st.integers(1, 12), most=st.integers(1, 4),
    kinds=st.integers(1, 6), diversity=st.sampled_from([0.0, 0.4, 1.0]), n_pins=st.integers(0, 3),
)  # fmt: skip
def test_draw_ruled_slate_any_rules_are_obeyed_and_lists_are_full_where_they_can_be(
    seed: int, temperature: float | None, length: int, most: int, kinds: int, diversity: float, n_pins: int
) -> None:
    rng = np.random.default_rng(seed)
    n = 15
    values, features = rng.normal(size=n).astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32)
    own = [[str(kind)] for kind in rng.integers(0, kinds, n)]
    positions = rng.permutation(length)[:n_pins].tolist()
    pins = {int(p): int(i) for p, i in zip(positions, rng.permutation(n)[: len(positions)], strict=True)}
    caps = [(most, own)]
    rules = make_rules(n, length, pins=pins, caps=caps, diversity=diversity, features=features)
    items, log_propensities = draw_ruled_slate(values, temperature, rng.random(length), rules)
    drawn = items.tolist()
    assert len(set(drawn)) == len(drawn)
    pinned = Counter(own[i][0] for i in pins.values())
    held = Counter(own[i][0] for i in drawn)
    assert all(count <= max(most, pinned[kind]) for kind, count in held.items())
    stock = Counter(kind for (kind,) in own)
    possible = sum(max(min(most, stock[kind]), pinned[kind]) for kind in stock)
    assert len(drawn) == min(length, possible)
    if len(drawn) == length:
        assert all(drawn[p] == i for p, i in pins.items())
        assert all(log_propensities[p] == 0 for p in pins)
    if temperature is None:
        assert not log_propensities.any()
    elif len(drawn) == length:
        expected = stated(
            values.astype(np.float64), temperature, drawn, pins=pins, caps=caps, diversity=diversity,
            features=features.astype(np.float64) if diversity else None,
        )  # fmt: skip
        np.testing.assert_allclose(np.exp(log_propensities), expected, rtol=1e-4, atol=1e-12)


def test_draw_ruled_slate_many_draws_match_their_propensities_within_four_standard_errors() -> None:
    rng = np.random.default_rng(11)
    values = np.array([0.30, 0.28, 0.25, 0.20, 0.05, 0.0])
    features = np.array([[1, 0], [1, 0.1], [0, 1], [0.5, 0.5], [1, -1], [0.2, 1]], np.float32)
    caps = [(1, [["a"], ["a"], ["b"], ["b"], ["c"], ["c", "b"]])]
    rules = make_rules(6, 3, pins={1: 4}, caps=caps, diversity=0.3, features=features)
    draws = 60_000
    counts: Counter[tuple[int, ...]] = Counter()
    probability: dict[tuple[int, ...], float] = {}
    for uniforms in rng.random((draws, 3)):
        items, log_propensities = draw_ruled_slate(values, 0.1, uniforms, rules)
        key = tuple(items.tolist())
        counts[key] += 1
        probability[key] = float(np.exp(log_propensities.sum()))
    assert sum(probability.values()) == pytest.approx(1.0, abs=1e-9)
    assert set(counts) == {(a, 4, b) for a in (0, 1) for b in (2, 3)} | {(b, 4, a) for a in (0, 1) for b in (2, 3)}
    for key, count in counts.items():
        p = probability[key]
        assert abs(count / draws - p) < 4 * np.sqrt(p * (1 - p) / draws), key


def test_draw_ruled_slate_more_diversity_gives_less_alike_slates() -> None:
    rng = np.random.default_rng(5)
    values, features = rng.random(200), rng.normal(size=(200, 6)).astype(np.float32)
    likeness = []
    for diversity in (0.0, 0.5, 1.0):
        rules = make_rules(200, 10, diversity=diversity, features=features)
        items, _ = draw_ruled_slate(values, None, np.zeros(10), rules)
        rows = features[items] / np.linalg.norm(features[items], axis=1, keepdims=True)
        likeness.append(float((rows @ rows.T)[np.triu_indices(10, 1)].max()))
    assert likeness[0] > likeness[1] > likeness[2]


def test_draw_ruled_slate_pins_beyond_the_cap_win_and_nobody_joins_them() -> None:
    rules = make_rules(4, 3, pins={0: 2, 2: 3}, caps=[(1, [["a"], ["b"], ["a"], ["a"]])])
    items, _ = draw_ruled_slate(np.array([9.0, 0.0, 1.0, 2.0]), 0.1, np.array([0.5, 0.5, 0.5]), rules)
    assert items.tolist() == [2, 1, 3]


def test_draw_ruled_slate_of_no_candidates_is_empty() -> None:
    items, log_propensities = draw_ruled_slate(np.zeros(0), 0.1, np.array([0.5]), make_rules(0, 1))
    assert len(items) == len(log_propensities) == 0
