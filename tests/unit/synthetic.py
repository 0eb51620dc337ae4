"""A small made-up world for tests of the trainer: users with tastes for genres, seconds to train on."""

from __future__ import annotations

import numpy as np

from metarl_rec.config import STARTS, RunConfig, TrainConfig
from metarl_rec.cross_fitting import folded_embeddings
from metarl_rec.dataset import Dataset, split_users
from metarl_rec.problem import Problem, build_problem
from metarl_rec.tasks import PriorConfig

GENRES = ("action", "drama", "comedy", "war")


def small_config(**train: object) -> RunConfig:
    """Returns settings that train in about a second on `small_dataset`."""
    settings = {"iterations": 8, "evaluate_every": 4, "horizon": 12, "folds": 3, "validation_repeats": 2}
    settings |= dict.fromkeys(STARTS, ()) | train
    return RunConfig(
        min_positives=8, train=TrainConfig.model_validate(settings), prior=PriorConfig(max_rank=6, shrinkage=0.1)
    )


def small_dataset(users: int = 300, items: int = 80) -> Dataset:
    """Returns ratings of users who each like one or two genres, men more often action and women drama."""
    rng = np.random.default_rng(0)
    genre = np.arange(items) % len(GENRES)
    quality = rng.uniform(0.0, 0.5, items)
    records = {"users": [], "items": [], "ratings": []}
    genders = []
    for user in range(users):
        male = bool(rng.random() < 0.5)
        genders.append("M" if male else "F")
        taste = rng.normal(scale=0.5, size=len(GENRES)) + np.array([0.15, -0.15, 0, 0]) * (1 if male else -1)
        likes = rng.random(items) < np.clip(quality + taste[genre], 0.02, 0.98)
        seen = likes | (rng.random(items) < 0.3)
        records["users"] += [user] * int(seen.sum())
        records["items"] += np.flatnonzero(seen).tolist()
        records["ratings"] += np.where(likes[seen], 5.0, 2.0).tolist()
    return Dataset(
        name="small",
        user_ids=tuple(str(user) for user in range(users)),
        item_ids=tuple(str(item) for item in range(items)),
        user_index=np.array(records["users"], np.int32),
        item_index=np.array(records["items"], np.int32),
        rating=np.array(records["ratings"], np.float32),
        timestamp=None,
        user_attributes=tuple({"gender": gender} for gender in genders),
        item_attributes=tuple({"genres": [GENRES[g]], "title": f"item {i}"} for i, g in enumerate(genre)),
    )


def small_problem(config: RunConfig) -> Problem:
    """Returns the fitted problem of `small_dataset`."""
    dataset = small_dataset().filter(min_positives=config.min_positives, threshold=config.threshold)
    split = split_users(len(dataset.user_ids), config.seed)
    embeddings = folded_embeddings(dataset, split.train, config.train.folds, model="svd", dim=16, seed=config.seed)
    return build_problem(dataset, split, embeddings, config)
