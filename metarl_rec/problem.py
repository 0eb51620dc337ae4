"""One split's learning problem: everything that is fitted on meta-train users before meta-training starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.config import RunConfig
from metarl_rec.cross_fitting import FoldedEmbeddings, fold_users
from metarl_rec.dataset import Dataset, UserSplit
from metarl_rec.tasks import TaskSpace, cross_fitted_spaces, fit_task_space
from metarl_rec.topics import item_topics

__all__ = ["Problem", "build_problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Data and fitted parts of one split.

    Attributes:
        dataset: users and items after filtering.
        split: disjoint user indices.
        rewards: [U, n] uint8.
        rated: [U, n] bool.
        user_vectors: [U, Z] float32, encoded user attributes.
        user_attributes: the encoder behind them; its vocabulary comes from meta-train users.
        item_attributes: encoder of item attributes.
        item_vectors: [n, A] float32, encoded item attributes.
        embeddings: of the items, from meta-train users only.
        space: task space fitted on all meta-train users; validation and test users play here.
        topics: [n, T] float32, items' topics, or None where no item attribute is a list.
        folds: task spaces that leave out some meta-train users, and those users; meta-training happens here. Without
            cross-fitting they leave nobody out.
    """

    dataset: Dataset
    split: UserSplit
    rewards: NDArray[np.uint8]
    rated: NDArray[np.bool_]
    user_vectors: NDArray[np.float32]
    user_attributes: AttributeEncoder
    item_attributes: AttributeEncoder
    item_vectors: NDArray[np.float32]
    embeddings: FoldedEmbeddings
    space: TaskSpace
    topics: NDArray[np.float32] | None
    folds: list[tuple[TaskSpace, NDArray[np.int64]]]

    def jury(self, most: int) -> list[tuple[TaskSpace, NDArray[np.int64]]]:
        """Returns about `most` meta-train users, as many of every fold, with the space that has not seen them."""
        share = -(-most // len(self.folds))
        return [(space, users[:share]) for space, users in self.folds if share]


def build_problem(dataset: Dataset, split: UserSplit, embeddings: FoldedEmbeddings, config: RunConfig) -> Problem:
    """Fits the prior on the split's meta-train users, once on all and once for each cross-fitting fold.

    Args:
        dataset: filtered data.
        split: user indices into it.
        embeddings: of the items, from meta-train users only, with as many folds as the settings have.
        config: settings.
    """
    rewards = dataset.reward_table(config.threshold)
    user_attributes = AttributeEncoder.fit([dataset.user_attributes[user] for user in split.train])
    vectors = user_attributes.encode_all(dataset.user_attributes)
    item_attributes = AttributeEncoder.fit(dataset.item_attributes)
    item_vectors = item_attributes.encode_all(dataset.item_attributes)
    space = fit_task_space(rewards, vectors, embeddings.whole, item_vectors, split.train, config.prior)
    if config.train.cross_fitting:
        folds = cross_fitted_spaces(
            rewards, vectors, embeddings.folds, item_vectors, split.train, config.prior, space, config.train.folds
        )
    else:
        folds = [(space, held_out) for held_out, _ in fold_users(split.train, config.train.folds)]
    return Problem(
        dataset=dataset,
        split=split,
        rewards=rewards,
        rated=dataset.rated_table(),
        user_vectors=vectors,
        user_attributes=user_attributes,
        item_attributes=item_attributes,
        item_vectors=item_vectors,
        embeddings=embeddings,
        space=space,
        topics=item_topics(dataset.item_attributes, config.train.world.topic_attribute),
        folds=folds,
    )
