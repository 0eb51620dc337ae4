"""Prequential play against slow, plain arithmetic of the same memories."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.prequential import Memory, Timelines, play

N_ITEMS, DIM = 30, 4


def lines_of(seed: int = 0, lengths: tuple[int, ...] = (25, 18)) -> Timelines:
    rng = np.random.default_rng(seed)
    items = np.zeros((len(lengths), max(lengths)), np.int32)
    rewards = np.zeros(items.shape, np.float32)
    for row, length in enumerate(lengths):
        items[row, :length] = rng.choice(N_ITEMS, length, replace=False)
        rewards[row, :length] = rng.random(length) < 0.5
    return Timelines(np.arange(len(lengths)), np.array(lengths), items, rewards)


def space(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N_ITEMS, DIM)).astype(np.float32)
    return features, rng.random(N_ITEMS).astype(np.float32), rng.normal(size=(2, DIM)).astype(np.float32)


def ridge_weights(
    features: np.ndarray, popularity: np.ndarray, start: np.ndarray, items: np.ndarray, rewards: np.ndarray,
    noise: float, forgetting: float,
) -> np.ndarray:  # fmt: skip
    """The minimum that `Memory` states, by a dense solve."""
    rows = features[items].astype(np.float64)
    omega = np.exp(-forgetting * np.arange(len(items))[::-1]) / noise
    errors = rewards - popularity[items] - rows @ start
    return start + np.linalg.solve(np.eye(DIM) + rows.T @ (omega[:, None] * rows), rows.T @ (omega * errors))


def kalman_weights(
    features: np.ndarray, popularity: np.ndarray, start: np.ndarray, items: np.ndarray, rewards: np.ndarray,
    noise: float, forgetting: float,
) -> np.ndarray:  # fmt: skip
    mean, covariance, kept = np.zeros(DIM), np.eye(DIM), 1 - forgetting
    for item, reward in zip(items, rewards, strict=True):
        row = features[item].astype(np.float64)
        gain = covariance @ row / (noise + row @ covariance @ row)
        mean = kept * (mean + gain * (reward - popularity[item] - row @ start - row @ mean))
        covariance = kept**2 * (covariance - np.outer(gain, row @ covariance)) + (1 - kept**2) * np.eye(DIM)
    return start + mean


def plain_hits(lines: Timelines, weights_of, history: int, window: int) -> np.ndarray:
    features, popularity, starts = space()
    hits = np.zeros((len(lines.users), lines.items.shape[1] - history), bool)
    for row, length in enumerate(lines.lengths):
        items, rewards, shown = lines.items[row, :length], lines.rewards[row, :length], set()
        for t in range(history, length):
            weights = weights_of(features, popularity, starts[row], items[:t], rewards[:t])
            values = popularity + features @ weights
            left = [i for i in np.argsort(-values) if i not in shown and i not in items[:t]]
            if not left:
                continue
            shown.add(left[0])
            soon = items[t : t + window][rewards[t : t + window] == 1]
            hits[row, t - history] = left[0] in soon
    return hits


@pytest.mark.parametrize("forgetting", [0.0, 0.1])
@pytest.mark.parametrize(("kind", "weights_of"), [("kalman", kalman_weights), ("fading", ridge_weights)])
def test_play_hits_what_plain_arithmetic_hits(kind, weights_of, forgetting: float) -> None:
    lines, (features, popularity, starts) = lines_of(), space()
    hits = play(lines, features, popularity, starts, Memory(kind, 0.3, forgetting), history=5, window=6)
    plain = plain_hits(lines, lambda *told: weights_of(*told, 0.3, forgetting), 5, 6)
    assert plain.any()
    np.testing.assert_array_equal(hits, plain)


def test_play_served_is_the_ridge_solution_of_the_latest_ratings() -> None:
    lines, (features, popularity, starts) = lines_of(), space()
    memory = Memory("served", buffer=7)
    inner = memory.inner
    precision = [inner.organic_weight * np.exp(inner.value_weight[0] + inner.value_weight[1] * r) for r in (0, 1)]

    def weights_of(features, popularity, start, items, rewards):
        items, rewards = items[-7:], rewards[-7:]
        rows = features[items].astype(np.float64)
        omega = np.where(rewards == 1, precision[1], precision[0])
        errors = rewards - popularity[items] - rows @ start
        return start + np.linalg.solve(np.eye(DIM) + rows.T @ (omega[:, None] * rows), rows.T @ (omega * errors))

    hits = play(lines, features, popularity, starts, memory, history=5, window=6)
    np.testing.assert_array_equal(hits, plain_hits(lines, weights_of, 5, 6))


def test_play_without_memory_is_the_same_whatever_was_liked_before() -> None:
    lines, (features, popularity, starts) = lines_of(), space()
    liked_before = lines.rewards.copy()
    liked_before[:, :5] = 1 - liked_before[:, :5]
    other = Timelines(lines.users, lines.lengths, lines.items, liked_before)
    asked = {"history": 5, "window": 6}
    one, two = (play(each, features, popularity, starts, Memory("none"), **asked) for each in (lines, other))
    np.testing.assert_array_equal(one, two)
    assert one[1, 13:].sum() == 0


def test_kalman_and_fading_memory_without_forgetting_are_one_posterior() -> None:
    lines, (features, popularity, starts) = lines_of(), space()
    still = play(lines, features, popularity, starts, Memory("kalman", 0.2), history=5, window=6)
    fading = play(lines, features, popularity, starts, Memory("fading", 0.2), history=5, window=6)
    np.testing.assert_array_equal(still, fading)
