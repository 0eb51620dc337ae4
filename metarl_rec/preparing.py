"""From a workspace's data set to the users of one split, and the item embedding that their training starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec import dataset_store
from metarl_rec.config import RunConfig
from metarl_rec.cross_fitting import FoldedEmbeddings, folded_embeddings
from metarl_rec.dataset import Dataset, UserSplit, split_users
from metarl_rec.errors import DataError
from metarl_rec.problem import Problem, build_problem
from metarl_rec.workspace import Workspace

__all__ = ["embedding_settings", "prepared", "split_embeddings", "split_problem"]


def prepared(workspace: Workspace, config: RunConfig) -> tuple[Dataset, UserSplit]:
    """Returns the workspace's data set, filtered, and the seed's split of its users.

    Raises:
        DataError: nothing was imported, or too few users are left for three disjoint groups.
    """
    dataset = dataset_store.load(workspace.dataset).filter(
        min_positives=config.min_positives, min_ratings=config.min_ratings, threshold=config.threshold
    )
    split = split_users(len(dataset.user_ids), config.seed)
    if min(len(split.train), len(split.validation), len(split.test)) < 2:
        raise DataError(f"{_left(dataset, config)}: too few to split; {_lower(config)}import more data")
    if len(split.train) < config.train.folds:
        raise DataError(
            f"{_left(dataset, config)}, {len(split.train)} of them to train: too few for train.folds="
            f"{config.train.folds}; lower train.folds, {_lower(config)}import more data"
        )
    if len(dataset.item_ids) <= config.train.horizon:
        raise DataError(
            f"{len(dataset.item_ids)} items are too few for {config.train.horizon} steps; "
            "lower train.horizon or import more"
        )
    return dataset, split


def _left(dataset: Dataset, config: RunConfig) -> str:
    asked = [f"{config.min_positives} ratings >= {config.threshold:g}"] if config.min_positives else []
    asked += [f"{config.min_ratings} ratings"] if config.min_ratings else []
    users = f"{len(dataset.user_ids)} users"
    return f"{users} have at least {' and '.join(asked)}" if asked else users


def _lower(config: RunConfig) -> str:
    """Returns which of the filters can be lowered, as a remedy's beginning."""
    names = [name for name in ("min_positives", "min_ratings") if getattr(config, name)]
    return f"lower {' or '.join(names)}, or " if names else ""


def split_embeddings(
    dataset: Dataset,
    train_users: NDArray[np.int64],
    config: RunConfig,
    progress: Callable[[int, int], None] | None = None,
) -> FoldedEmbeddings:
    """Returns the configured item embeddings, trained on the meta-train users alone."""
    return folded_embeddings(dataset, train_users, config.train.folds, progress, **embedding_settings(config))


def embedding_settings(config: RunConfig) -> dict[str, Any]:
    """Returns what decides an embedding beside the data."""
    return {**config.embedding.model_dump(), "seed": config.seed, "threshold": config.threshold}


def split_problem(workspace: Workspace, config: RunConfig) -> Problem:
    """Returns the seed's split of the workspace's users with everything fitted on its meta-train users."""
    dataset, split = prepared(workspace, config)
    return build_problem(dataset, split, split_embeddings(dataset, split.train, config), config)
