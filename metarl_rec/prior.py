"""The empirical-Bayes prior over users, and linear maps from attributes into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import DataError
from metarl_rec.seeding import generator

__all__ = [
    "ItemPrior",
    "LinearEncoder",
    "fit_linear_encoder",
    "fit_prior",
    "flattened",
    "randomized",
    "user_estimates",
    "with_item_attributes",
]


@dataclass(frozen=True, slots=True)
class ItemPrior:
    """A Gaussian prior over users: y = popularity + features @ w + noise with w ~ N(0, I).

    Attributes:
        popularity: [n] float32, mean reward of each item over the users it was fitted on.
        features: [n, R] float32, whitened by the prior; columns in descending order of variance.
        spectrum: [R] float64, the users' variance along each column's direction, before the soft threshold where one
            was taken off.
    """

    popularity: NDArray[np.float32]
    features: NDArray[np.float32]
    spectrum: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearEncoder:
    """An affine map (x - mean) @ weight + offset.

    Attributes:
        mean: [A] float32.
        weight: [A, D] float32.
        offset: [D] float32.
    """

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]
    offset: NDArray[np.float32]

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Returns the outputs [..., D] float32 of inputs [..., A]."""
        return ((inputs - self.mean) @ self.weight + self.offset).astype(np.float32)

    def of_sparse(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Returns the outputs [N, D] float32 of inputs [N, A] that are mostly zero.

        A row's output is the same bit for bit whatever rows stand beside it, which no matrix product promises: so an
        item has the same features on every replica, whether it came alone or in a batch.
        """
        base = self.offset.astype(np.float64) - self.mean.astype(np.float64) @ self.weight.astype(np.float64)
        out = np.tile(base, (len(inputs), 1))
        rows, entries = np.nonzero(inputs)
        turn = np.arange(len(rows)) - np.searchsorted(rows, rows)
        for each in range(int(turn.max(initial=-1)) + 1):
            now = turn == each
            out[rows[now]] += inputs[rows[now], entries[now], None] * self.weight[entries[now]]
        return out.astype(np.float32)


def fit_prior(
    rewards: NDArray[np.uint8], embedding: NDArray[Any], *, shrinkage: float = 0.3, max_rank: int = 64
) -> ItemPrior:
    """Returns the prior whose features lie in the column space of an item embedding.

    With Q an orthonormal basis of that space, mu the column means and C = Q'(A - mu)'(A - mu)Q / N = U diag(l) U', the
    features are Q U sqrt(max(l - shrinkage, 0)). Subtracting the threshold removes what N users' sampling noise adds to
    every eigenvalue. With all right singular vectors of A - mu as the embedding this is the soft-thresholded SVD.

    Args:
        rewards: [N, n] uint8, 0 or 1, one row a train user.
        embedding: [n, E] float; several embeddings side by side (`np.hstack`) are one embedding. Zero and linearly
            dependent columns are harmless.
        shrinkage: threshold on the eigenvalues, in squared reward, >= 0.
        max_rank: greatest number R of columns, >= 1.

    Raises:
        DataError: shapes do not fit, there is no user, the embedding is not finite, or no direction survives.

    Reference: Tipping & Bishop, "Probabilistic Principal Component Analysis", J. R. Statist. Soc. B 61 (1999), eq. 7
        (loadings U (L - sigma^2 I)^1/2); Cai, Candès & Shen, "A Singular Value Thresholding Algorithm for Matrix
        Completion", 2008, arXiv:0810.3286, eq. 2.2 (soft threshold).
    """
    if rewards.ndim != 2 or embedding.ndim != 2 or rewards.shape[1] != embedding.shape[0] or rewards.shape[0] == 0:
        raise DataError(
            f"rewards {rewards.shape} and embedding {embedding.shape} do not fit; give [users, items] with at least "
            "one user, and [items, dim]"
        )
    if not np.isfinite(embedding).all():
        raise DataError("the item embedding holds a value that is not finite; train it again with fewer epochs")
    table = rewards.astype(np.float64)
    popularity = table.mean(axis=0)
    basis = _orthonormal_basis(embedding.astype(np.float64))
    projected = table @ basis - popularity @ basis
    eigenvalues, vectors = np.linalg.eigh(projected.T @ projected / len(table))
    order = np.argsort(eigenvalues)[::-1][:max_rank]
    order = order[eigenvalues[order] > shrinkage + 1e-12]
    if len(order) == 0:
        raise DataError(
            f"no direction of the embedding carries more variance between users than the threshold {shrinkage}; "
            "lower the shrinkage, or train on more users"
        )
    spectrum = eigenvalues[order]
    directions = _with_fixed_signs(basis @ vectors[:, order])
    features = directions * np.sqrt(spectrum - shrinkage)
    return ItemPrior(popularity.astype(np.float32), features.astype(np.float32), spectrum)


def flattened(prior: ItemPrior, embedding: NDArray[Any], item_vectors: NDArray[Any], scale: float) -> ItemPrior:
    """Returns as many directions of the embedding [n, E], its first ones, all with the same variance.

    The total variance stays the prior's; how it lies is forgotten. What is left is an embedding without a user model.
    With a `scale` > 0 of item attributes their columns stand beside the directions, so that meta-training can weigh
    each; see `with_item_attributes`.
    """
    width = min(prior.features.shape[1], embedding.shape[1])
    rows = embedding[:, :width].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=0)
    total = float(np.square(prior.features, dtype=np.float64).sum())
    features = rows / np.where(lengths > 0, lengths, 1.0) * np.sqrt(total / width)
    if scale > 0:
        features = np.hstack([features, scale * _attribute_rows(item_vectors)])
    return ItemPrior(prior.popularity, features.astype(np.float32), np.square(features).sum(axis=0))


def randomized(prior: ItemPrior, width: int) -> ItemPrior:
    """Returns features [n, width] drawn from a normal distribution, the same ones for every prior of as many items.

    The total variance stays the prior's; what the items have in common is forgotten.
    """
    draw = generator(0, "random features").standard_normal((len(prior.popularity), width))
    total = float(np.square(prior.features, dtype=np.float64).sum())
    features = draw * np.sqrt(total / np.square(draw).sum())
    return ItemPrior(prior.popularity, features.astype(np.float32), np.square(features).sum(axis=0))


def with_item_attributes(prior: ItemPrior, item_vectors: NDArray[Any], scale: float) -> ItemPrior:
    """Returns the prior of values F w + scale X b, w and b ~ N(0, I) independent, in principal coordinates.

    X are the items' attribute rows with a constant, each of length 1: users differ in what kinds of items they like,
    beyond what the users the features were made from had in common. Items that nobody has rated yet share in it. The
    columns are rotated onto the principal axes of [F, scale X], which leaves the covariance of values as it is.

    Args:
        prior: the prior without attributes.
        item_vectors: [n, A] float, encoded attributes.
        scale: standard deviation of a user's taste for one kind of items, in units of reward, > 0.

    Reference: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, section 4.2.4 (a sum of kernels).
    """
    joined = np.hstack([prior.features.astype(np.float64), scale * _attribute_rows(item_vectors)])
    left, singular, _ = np.linalg.svd(joined, full_matrices=False)
    kept = singular > 1e-6 * singular.max(initial=0.0)
    features = _with_fixed_signs(left[:, kept]) * singular[kept]
    return ItemPrior(prior.popularity, features.astype(np.float32), np.square(singular[kept]))


def user_estimates(rewards: NDArray[np.uint8], prior: ItemPrior, noise: float) -> NDArray[np.float64]:
    """Returns the posterior means [N, R] float64 of users' w, given their rewards on every item.

    w_hat = (F'F + noise I)^-1 F'(y - mu), the ridge estimate under w ~ N(0, I).

    Args:
        rewards: [N, n] uint8, 0 or 1.
        prior: popularity and features of the same n items.
        noise: residual variance of a reward around mu + f.w, > 0.

    Reference: Bishop, "Pattern Recognition and Machine Learning", 2006, eq. 3.53-3.54 with alpha = 1, beta = 1 / noise.
    """
    features = prior.features.astype(np.float64)
    gram = features.T @ features + noise * np.eye(features.shape[1])
    centred = rewards.astype(np.float64) @ features - prior.popularity.astype(np.float64) @ features
    estimates: NDArray[np.float64] = np.linalg.solve(gram, centred.T).T
    return estimates


def fit_linear_encoder(inputs: NDArray[Any], targets: NDArray[Any], ridge: float) -> LinearEncoder:
    """Returns the ridge regression of targets on inputs; the offset, the targets' mean, is not penalized.

    B = (X'X + ridge I)^-1 X'(T - mean(T)) with centred X: the posterior mean of a map with independent zero-mean
    Gaussian entries. Used for users' w0 from their attributes, and for items' features from theirs.

    Args:
        inputs: [N, A] float; constant columns get weight zero.
        targets: [N, D] float.
        ridge: penalty, in units of a squared input summed over rows, > 0.

    Raises:
        DataError: there is no row, or inputs and targets differ in their rows.

    Reference: Hoerl & Kennard, "Ridge Regression", Technometrics 12 (1970), eq. 2.1.
    """
    if len(inputs) == 0 or len(inputs) != len(targets):
        raise DataError(f"inputs {inputs.shape} and targets {targets.shape} must have the same rows, at least one")
    x = inputs.astype(np.float64)
    t = targets.astype(np.float64)
    mean, offset = x.mean(axis=0), t.mean(axis=0)
    centred = x - mean
    weight = np.linalg.solve(centred.T @ centred + ridge * np.eye(x.shape[1]), centred.T @ (t - offset))
    return LinearEncoder(mean.astype(np.float32), weight.astype(np.float32), offset.astype(np.float32))


def _attribute_rows(item_vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Returns X [n, A + 1], the items' attributes [n, A] with a constant, each row of length 1."""
    rows = np.column_stack([item_vectors.astype(np.float64), np.ones(len(item_vectors))])
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _orthonormal_basis(embedding: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns Q [n, r], r the numerical rank, with the column space of embedding [n, E]."""
    norms = np.linalg.norm(embedding, axis=0)
    # Unit columns: else the rank test would drop a whole embedding that stands beside one of larger scale.
    orthogonal, triangular = np.linalg.qr(embedding[:, norms > 0] / norms[norms > 0])
    # Plain QR leaves an arbitrary column where its input depends on the columns before it; the SVD of R shows the rank.
    left, singular, _ = np.linalg.svd(triangular)
    kept = singular > 1e-9 * singular.max(initial=0.0)
    basis: NDArray[np.float64] = orthogonal @ left[:, : len(singular)][:, kept]
    return basis


def _with_fixed_signs(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the columns, each turned so that its entry of greatest magnitude is positive."""
    peaks = np.argmax(np.abs(columns), axis=0)
    signs = np.where(columns[peaks, np.arange(columns.shape[1])] < 0, -1.0, 1.0)
    turned: NDArray[np.float64] = columns * signs
    return turned
