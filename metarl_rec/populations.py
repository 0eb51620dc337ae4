"""Whose tasks the trainer plays: logged users, users drawn from the fitted prior, or both in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.config import RunConfig
from metarl_rec.problem import Problem
from metarl_rec.seeding import generator
from metarl_rec.tasks import TaskSpace
from simulator.population import LoggedUsers, Population, fit_latent_factor_users

__all__ = ["training_population"]


def training_population(
    problem: Problem, space: TaskSpace, members: NDArray[np.int64], config: RunConfig, iteration: int
) -> tuple[Population, NDArray[np.int64], NDArray[np.float32]]:
    """Returns a population, the users of it to play in this iteration [N] int64, and their shifts of w0 [N, D].

    Latent-factor users are as many as the fold has members, drawn anew in every iteration from a response model fitted
    on the users behind `space`; they have no attributes, so they start at the initialization itself.

    Args:
        problem: one split's fitted parts.
        space: the fold's task space.
        members: [M] int64, the fold's own users.
        config: settings.
        iteration: decides the turn of a mixed population, and the latent-factor users.
    """
    kind = config.train.population
    if kind == "mixed":
        kind = "latent" if iteration // config.train.folds % 2 else "logged"
    if kind == "logged":
        shift = space.user_encoder(problem.user_vectors[members])
        return LoggedUsers(problem.rewards, problem.rated), members, shift
    rewards = problem.rewards[space.users]
    tastes = space.posterior_draws(rewards, config.prior.noise, generator(config.seed, "tastes", iteration))
    population = fit_latent_factor_users(
        rewards, space.features, space.popularity, tastes, len(members), config.seed + iteration
    )
    return population, np.arange(len(members)), np.zeros((len(members), space.features.shape[1]), np.float32)
