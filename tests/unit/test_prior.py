"""The empirical-Bayes prior against the soft-thresholded SVD, and the ridge maps against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.errors import DataError
from metarl_rec.prior import (
    ItemPrior,
    fit_linear_encoder,
    fit_prior,
    flattened,
    user_estimates,
    with_item_attributes,
)


def _table(users: int = 60, items: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    taste, loading = rng.standard_normal((users, 4)), rng.standard_normal((items, 4))
    return (taste @ loading.T + rng.standard_normal((users, items)) > 0.5).astype(np.uint8)


def test_fit_prior_all_right_singular_vectors_equals_soft_thresholded_svd() -> None:
    table = _table()
    mu = table.mean(axis=0)
    _, singular, right = np.linalg.svd(table - mu, full_matrices=False)
    variance = singular**2 / len(table)
    expected = right.T[:, variance > 0.3] * np.sqrt(variance[variance > 0.3] - 0.3)
    prior = fit_prior(table, right.T, shrinkage=0.3)
    assert prior.features.shape == expected.shape
    np.testing.assert_allclose(prior.popularity, mu, atol=1e-6)
    np.testing.assert_allclose(prior.spectrum, variance[variance > 0.3], rtol=1e-9)
    np.testing.assert_allclose(prior.features @ prior.features.T, expected @ expected.T, atol=1e-6)
    signs = np.sign((prior.features * expected).sum(axis=0))
    np.testing.assert_allclose(prior.features, expected * signs, atol=1e-6)


def test_fit_prior_two_opposite_tastes_gives_hand_computed_values() -> None:
    # Centred rows are +-(.5, -.5): one direction (1, -1)/sqrt(2) with variance .5, thresholded to .32.
    table = np.array([[1, 0], [0, 1]], dtype=np.uint8)
    prior = fit_prior(table, np.eye(2), shrinkage=0.18)
    np.testing.assert_allclose(prior.popularity, [0.5, 0.5])
    np.testing.assert_allclose(prior.spectrum, [0.5])
    np.testing.assert_allclose(np.abs(prior.features), [[0.4], [0.4]], rtol=1e-6)
    assert prior.features[0, 0] * prior.features[1, 0] < 0


def test_fit_prior_embedding_with_null_and_dependent_columns_changes_nothing() -> None:
    table = _table()
    embedding = np.random.default_rng(1).standard_normal((40, 6))
    mixed = np.hstack([np.zeros((40, 2)), embedding[:, :1], embedding, 1e-4 * embedding @ np.full((6, 1), 0.7)])
    plain, padded = fit_prior(table, embedding, shrinkage=0.05), fit_prior(table, mixed, shrinkage=0.05)
    np.testing.assert_allclose(plain.features, padded.features, atol=1e-6)


def test_fit_prior_scale_of_one_of_two_stacked_embeddings_changes_nothing() -> None:
    table = _table()
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((40, 3)), rng.standard_normal((40, 3))
    plain = fit_prior(table, np.hstack([first, second]), shrinkage=0.05)
    scaled = fit_prior(table, np.hstack([first, 1e-12 * second]), shrinkage=0.05)
    np.testing.assert_allclose(plain.features, scaled.features, atol=1e-6)


def test_fit_prior_max_rank_keeps_the_leading_columns() -> None:
    table = _table()
    full = fit_prior(table, np.eye(40), shrinkage=0.05)
    cut = fit_prior(table, np.eye(40), shrinkage=0.05, max_rank=2)
    assert cut.features.shape == (40, 2)
    assert np.all(np.diff(full.spectrum) <= 0)
    np.testing.assert_allclose(cut.features, full.features[:, :2], atol=1e-6)


def test_fit_prior_embedding_sign_flipped_gives_the_same_signs() -> None:
    table = _table()
    embedding = np.random.default_rng(3).standard_normal((40, 5))
    first = fit_prior(table, embedding, shrinkage=0.05).features
    np.testing.assert_allclose(first, fit_prior(table, -embedding, shrinkage=0.05).features, atol=1e-6)


@pytest.mark.parametrize(
    ("rewards", "embedding", "shrinkage", "text"),
    [
        (np.zeros((3, 4), np.uint8), np.eye(5), 0.3, "do not fit"),
        (np.zeros((0, 4), np.uint8), np.eye(4), 0.3, "do not fit"),
        (np.zeros((3, 4), np.uint8), np.full((4, 4), np.nan), 0.3, "not finite"),
        (np.ones((3, 4), np.uint8), np.eye(4), 0.0, "no direction"),
        (np.eye(4, dtype=np.uint8), np.zeros((4, 2)), 0.0, "no direction"),
    ],
)
def test_fit_prior_unusable_input_says_why(
    rewards: np.ndarray, embedding: np.ndarray, shrinkage: float, text: str
) -> None:
    with pytest.raises(DataError, match=text):
        fit_prior(rewards, embedding, shrinkage=shrinkage)


def test_user_estimates_one_feature_gives_hand_computed_values() -> None:
    # F'F = 1.25, F'(y - mu) = 1 * .5 + .5 * (-.25) = .375, noise .25: w = .375 / 1.5.
    prior = ItemPrior(np.array([0.5, 0.25], np.float32), np.array([[1.0], [0.5]], np.float32), np.array([1.0]))
    np.testing.assert_allclose(user_estimates(np.array([[1, 0]], np.uint8), prior, 0.25), [[0.25]], rtol=1e-12)


def test_user_estimates_equals_sequential_posterior() -> None:
    table = _table()
    prior = fit_prior(table, np.eye(40), shrinkage=0.1)
    features = prior.features.astype(np.float64)
    mean, covariance = np.zeros(features.shape[1]), np.eye(features.shape[1])
    for row, y, mu in zip(features, table[7], prior.popularity, strict=True):
        gain = covariance @ row / (0.2 + row @ covariance @ row)
        mean = mean + gain * (y - mu - row @ mean)
        covariance = covariance - np.outer(gain, covariance @ row)
    np.testing.assert_allclose(user_estimates(table, prior, 0.2)[7], mean, rtol=1e-6, atol=1e-9)


def test_fit_linear_encoder_one_input_gives_hand_computed_values() -> None:
    # Centred x = -1, 0, 1 and t = -2, 0, 2: weight = 4 / (2 + 2), mean 2, offset 5.
    encoder = fit_linear_encoder(np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [5.0], [7.0]]), 2.0)
    np.testing.assert_allclose(encoder.mean, [2.0])
    np.testing.assert_allclose(encoder.weight, [[1.0]])
    np.testing.assert_allclose(encoder.offset, [5.0])
    np.testing.assert_allclose(encoder(np.array([[4.0], [2.0]])), [[7.0], [5.0]])


def test_fit_linear_encoder_constant_column_gets_no_weight() -> None:
    rng = np.random.default_rng(4)
    inputs = np.hstack([rng.standard_normal((20, 2)), np.ones((20, 1))])
    encoder = fit_linear_encoder(inputs, rng.standard_normal((20, 3)), 1.0)
    np.testing.assert_array_equal(encoder.weight[2], np.zeros(3))


def test_fit_linear_encoder_rows_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="same rows"):
        fit_linear_encoder(np.zeros((3, 2)), np.zeros((2, 2)), 1.0)


def test_with_item_attributes_covariance_is_the_sum_of_both_kernels() -> None:
    table = (np.random.default_rng(0).random((200, 12)) < 0.4).astype(np.uint8)
    prior = fit_prior(table, np.eye(12), shrinkage=0.2)
    genres = np.random.default_rng(1).integers(0, 2, (12, 3)).astype(np.float32)
    both = with_item_attributes(prior, genres, 0.5)
    rows = np.column_stack([genres, np.ones(12)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = prior.features @ prior.features.T + 0.25 * rows @ rows.T
    np.testing.assert_allclose(both.features @ both.features.T, expected, atol=1e-5)
    assert (np.diff(both.spectrum) <= 1e-12).all()
    np.testing.assert_array_equal(both.popularity, prior.popularity)


def test_with_item_attributes_items_without_any_share_a_constant() -> None:
    table = (np.random.default_rng(0).random((200, 6)) < 0.4).astype(np.uint8)
    prior = fit_prior(table, np.eye(6), shrinkage=0.1)
    both = with_item_attributes(prior, np.zeros((6, 0)), 0.3)
    np.testing.assert_allclose(
        both.features @ both.features.T - prior.features @ prior.features.T, np.full((6, 6), 0.09), atol=1e-5
    )


def test_flattened_directions_share_the_prior_variance_equally() -> None:
    table = (np.random.default_rng(0).random((200, 12)) < 0.4).astype(np.uint8)
    embedding = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)[2].T * np.arange(1, 13)
    prior = fit_prior(table, embedding, shrinkage=0.2)
    flat = flattened(prior, embedding, np.zeros((12, 0)), 0.0)
    width = prior.features.shape[1]
    assert flat.features.shape == (12, width)
    np.testing.assert_allclose(flat.spectrum, np.full(width, (prior.features**2).sum() / width), rtol=1e-5)
    kinds = np.eye(3)[np.arange(12) % 3]
    beside = flattened(prior, embedding, kinds, 0.2)
    np.testing.assert_array_equal(beside.features[:, :width], flat.features)
    np.testing.assert_allclose(beside.features[:, width:], 0.2 * np.column_stack([kinds, np.ones(12)]) / np.sqrt(2))
