"""Simulated users fitted on a data set: the prior over users in the span of an item embedding, by either convention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.config import RunConfig
from metarl_rec.dataset import Dataset
from metarl_rec.embeddings import item_embeddings
from metarl_rec.errors import DataError
from metarl_rec.prior import fit_prior
from metarl_rec.seeding import generator
from simulator.errors import SimulatorError
from simulator.fitting import UserPrior, fit_user_prior, smoothed_popularity, standardized

__all__ = ["Convention", "fit_user_model"]

Convention = Literal["unrated-zero", "rated-only"]

MAX_RANK = 32
"""Dimensions of simulated tastes; more cost time and predict no better (tests/learning/README.md)."""
PSEUDO_COUNTS: dict[Convention, float] = {"unrated-zero": 0.5, "rated-only": 4.0}
_JUDGES = 4


def fit_user_model(
    dataset: Dataset, users: NDArray[np.int64], config: RunConfig, convention: Convention = "unrated-zero"
) -> UserPrior:
    """Returns a distribution of users fitted on some users of a data set.

    The numbers that say how far tastes carry are fitted on a quarter of the users with features made from the others:
    on their own features people would seem easier to predict than they are. Features and popularity are then made
    again from everybody.

    Args:
        dataset: ratings.
        users: [N] int64, at least 8.
        config: embedding, prior and threshold settings.
        convention: whether an unrated item counts as a reward of 0 ("unrated-zero") or not at all ("rated-only").

    Raises:
        DataError: too few users, or their rewards are all the same.
    """
    if len(users) < 2 * _JUDGES:
        raise DataError(f"{len(users)} users are too few to fit simulated ones on; give at least {2 * _JUDGES}")
    order = generator(config.seed, "user model").permutation(users)
    judges, makers = order[: len(order) // _JUDGES], order[len(order) // _JUDGES :]
    rewards = torch.from_numpy(dataset.reward_table(config.threshold))
    observed = torch.from_numpy(dataset.rated_table())
    if convention == "unrated-zero":
        observed = torch.ones_like(observed)
    items = _items(dataset, makers, config, rewards, observed, convention)
    try:
        fitted = fit_user_prior(*items, rewards[judges], observed[judges])
    except SimulatorError as error:
        remedy = " or count unrated items as 0 (unrated-zero)" if convention == "rated-only" else ""
        raise DataError(
            f"simulated users cannot be fitted on {len(judges)} users: {error}; change threshold{remedy}"
        ) from None
    features, popularity = _items(dataset, order, config, rewards, observed, convention)
    return replace(fitted, features=standardized(features, popularity), popularity=popularity)


def _items(
    dataset: Dataset,
    users: NDArray[np.int64],
    config: RunConfig,
    rewards: torch.Tensor,
    observed: torch.Tensor,
    convention: Convention,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns features [n, D] and popularity [n] float32 of the items, from `users` alone."""
    settings: dict[str, Any] = {**config.embedding.model_dump(), "seed": config.seed, "threshold": config.threshold}
    embedding = item_embeddings(dataset, users, **settings)
    prior = fit_prior(
        rewards[users].numpy(),
        embedding,
        shrinkage=config.prior.shrinkage,
        max_rank=min(config.prior.max_rank, MAX_RANK),
    )
    popularity = smoothed_popularity(rewards[users], observed[users], PSEUDO_COUNTS[convention])
    return torch.from_numpy(prior.features), popularity
