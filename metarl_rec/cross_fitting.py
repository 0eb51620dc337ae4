"""Cross-fitting: which meta-train users are left out together, and item embeddings that have never seen them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.dataset import Dataset
from metarl_rec.embeddings import item_embeddings

__all__ = ["FoldedEmbeddings", "fold_users", "folded_embeddings", "side_by_side"]


@dataclass(frozen=True, slots=True)
class FoldedEmbeddings:
    """Item embeddings of one split's meta-train users.

    A user whose likes shaped an embedding already sits in its span: played in it, a fold's users would promise more
    than people whom nobody has seen get.

    Attributes:
        whole: [n, E] float32, from all of them; new people are served with it.
        folds: one [n, E] float32 for each part of `fold_users`, from everybody else.
    """

    whole: NDArray[np.float32]
    folds: tuple[NDArray[np.float32], ...]


def fold_users(users: NDArray[np.int64], folds: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Returns for each of `folds` >= 2 parts of the users, whose order must carry no information, it and the others."""
    return [(part, np.setdiff1d(users, part, assume_unique=True)) for part in np.array_split(users, folds)]


def folded_embeddings(
    dataset: Dataset,
    users: NDArray[np.int64],
    folds: int,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> FoldedEmbeddings:
    """Returns the item embeddings from all `users` [N], and from all but each fold's.

    Args:
        dataset: ratings.
        users: meta-train users.
        folds: number of parts, >= 2.
        progress: called with the work done and the work in all, in epochs (in embeddings where there are none).
        settings: of `embeddings.item_embeddings`.
    """
    groups = [users, *(others for _, others in fold_users(users, folds))]
    made = []
    for index, group in enumerate(groups):

        def report(done: int, total: int, before: int = index) -> None:
            if progress is not None:
                progress(before * total + done, len(groups) * total)

        made.append(item_embeddings(dataset, group, progress=report, **settings))
        report(1, 1)
    return FoldedEmbeddings(made[0], tuple(made[1:]))


def side_by_side(sources: Sequence[FoldedEmbeddings]) -> FoldedEmbeddings:
    """Returns several sources as one, their columns beside each other."""
    whole, *folds = (np.hstack(parts) for parts in zip(*((s.whole, *s.folds) for s in sources), strict=True))
    return FoldedEmbeddings(whole, tuple(folds))
