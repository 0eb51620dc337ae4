"""Whose tasks the trainer plays: logged users, users drawn from a prior fitted on them, or both in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.config import RunConfig
from metarl_rec.errors import DataError
from metarl_rec.problem import Problem
from metarl_rec.tasks import TaskSpace
from metarl_rec.worlds import make_env
from simulator.env import BatchEnv
from simulator.errors import SimulatorError
from simulator.fitting import UserPrior, fit_user_prior
from simulator.population import LoggedUsers, Population

__all__ = ["Group", "TrainingPopulations", "fit_prior_on"]


def fit_prior_on(space: TaskSpace, rewards: NDArray[np.uint8]) -> UserPrior:
    """Returns the distribution of users with reward rows [N, n], who had no part in `space`; an unrated item is a 0.

    Raises:
        DataError: their rewards are all the same, as where nobody of a few users likes anything, or the fit diverged.
    """
    table = torch.from_numpy(rewards)
    try:
        return fit_user_prior(
            torch.from_numpy(space.features),
            torch.from_numpy(space.popularity),
            table,
            torch.ones_like(table, dtype=torch.bool),
        )
    except SimulatorError as error:
        raise DataError(
            f"simulated users cannot be fitted on {len(rewards)} users: {error}; lower threshold, raise min_positives "
            "or import more users"
        ) from None


@dataclass(frozen=True, slots=True)
class Group:
    """Users to play together.

    Attributes:
        population: where they come from.
        users: [N] int64, which of it.
        shift: [N, D] float32, their attributes' shifts of w0, before the gain; zeros for users without attributes.
        space: task space that they had no part in.
    """

    population: Population
    users: NDArray[np.int64]
    shift: NDArray[np.float32]
    space: TaskSpace


@dataclass(frozen=True, slots=True)
class TrainingPopulations:
    """The users of every fold, and of the validation.

    Attributes:
        problem: one split's fitted parts.
        config: settings.
        priors: each fold's distribution of users; empty where only logged users are played.
        validation: the distribution behind the validation users, or None where their logs validate.
    """

    problem: Problem
    config: RunConfig
    priors: list[UserPrior]
    validation: UserPrior | None

    @classmethod
    def fit(cls, problem: Problem, config: RunConfig) -> TrainingPopulations:
        """Fits what the configured population needs: each fold's prior on its own users, whom its space has not seen.

        A world that stands still is validated on validation users' logs, whoever trained in it; one that moves, on
        users drawn from a prior fitted on validation users, unless logged users train.
        """
        settings = config.train
        if settings.population == "logged":
            return cls(problem, config, [], None)
        priors = [fit_prior_on(space, problem.rewards[members]) for space, members in problem.folds]
        moving = settings.world.needs_tastes or settings.world.sessions
        validation = fit_prior_on(problem.space, problem.rewards[problem.split.validation]) if moving else None
        return cls(problem, config, priors, validation)

    def of(self, iteration: int) -> Group:
        """Returns whom an iteration plays.

        Drawn users are new ones in every iteration; they have no attributes, so they start at the initialization.
        """
        settings = self.config.train
        trained = settings.folds - self._jury_folds
        fold = iteration % trained
        space, members = self.problem.folds[fold]
        kind = settings.population
        if kind == "mixed":
            kind = "latent" if iteration // trained % 2 else "logged"
        if kind == "logged":
            return self._logged(space, members)
        count = settings.simulated_users or len(members)
        users = self.priors[fold].draw(count, seed=self.config.seed * 1_000_003 + iteration)
        return Group(users, np.arange(count), np.zeros((count, space.features.shape[1]), np.float32), space)

    @property
    def _jury_folds(self) -> int:
        """How many folds judge and are not trained on; none where nobody's logs judge."""
        settings = self.config.train
        return settings.folds // 2 if self.validation is None and settings.jury_users else 0

    def choosers(self) -> list[Group]:
        """Returns who chooses the start, validation users last: of all folds, for nothing has been trained on yet."""
        return [*self._jury(0), self._validating(-1)]

    def judges(self) -> list[Group]:
        """Returns who judges which parameters ship, validation users last: nobody whom the outer loop has played."""
        return [*self._jury(self.config.train.folds - self._jury_folds), self._validating(-2)]

    def _jury(self, first: int) -> list[Group]:
        """Returns train users of the folds from `first` on, in the space that has not seen them; none where drawn users
        judge."""
        if self.validation is not None:
            return []
        return [self._logged(*fold) for fold in self.problem.jury(self.config.train.jury_users)[first:]]

    def _validating(self, draw: int) -> Group:
        """Returns validation users, or users drawn from a prior fitted on them: others for every negative `draw`."""
        problem = self.problem
        if self.validation is None:
            return self._logged(problem.space, problem.split.validation)
        count = self.config.train.validation_users
        # Seeds that no iteration's population has.
        users = self.validation.draw(count, seed=draw - 2 * self.config.seed)
        shift = np.zeros((count, problem.space.features.shape[1]), np.float32)
        return Group(users, np.arange(count), shift, problem.space)

    def _logged(self, space: TaskSpace, members: NDArray[np.int64]) -> Group:
        problem = self.problem
        shift = space.user_encoder(problem.user_vectors[members])
        return Group(LoggedUsers(problem.rewards, problem.rated), members, shift, space)

    def env(self, population: Population, users: NDArray[np.int64], *, seed: int) -> BatchEnv:
        """Returns the world of the training with `users` [N] of a population in it."""
        settings = self.config.train
        return make_env(
            settings.world,
            population,
            self.problem.topics,
            users,
            session_length=settings.session_length,
            discount=self.config.inner.discount if settings.form == "session" else 0.0,
            seed=seed,
        )
