"""Simulations: policies in a world: what they earned, whom they harmed, who left, how much of the catalogue showed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from metarl_rec.config import RunConfig
from metarl_rec.errors import ConfigError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.lineup import Lineup
from metarl_rec.meta_params import MetaParams
from metarl_rec.oracle import Oracle
from metarl_rec.policies import OnlinePolicy
from metarl_rec.problem import Problem
from metarl_rec.protocol import ADAPTED, POLICIES
from metarl_rec.rollout import Rollout, play
from metarl_rec.seeding import generator
from metarl_rec.user_models import fit_user_model
from metarl_rec.worlds import WorldConfig, make_env
from simulator import BatchEnv, FactorUsers, LoggedUsers, Population

__all__ = ["DEFAULT_POLICIES", "REFERENCE", "SimulationConfig", "SimulationRun", "Simulator", "play_policies"]

REFERENCE = "meta-policy"
"""The policy that harm is measured against: what a user would get without adaptation."""

DEFAULT_POLICIES = ("random", "popularity", REFERENCE, "HB linear, greedy", ADAPTED, "oracle")


class SimulationConfig(FrozenSettings):
    """What to simulate.

    Attributes:
        population: latent (drawn from a prior fitted on the data set's users), logged (held-out users' logs, an unrated
            item gives 0), rated-only (the same, offering rated items alone), or factors (given ones).
        users: how many users, at most those there are where they are logged or given.
        steps: slates each user is shown, if they stay.
        slate_size: items in a slate.
        session_length: steps in a session, where users can leave.
        seed: decides the users, the world and the policies' draws.
        policies: names out of `protocol.POLICIES`.
        world: what moves.
    """

    population: Literal["latent", "logged", "rated-only", "factors"] = "latent"
    users: int = Field(default=500, ge=2, le=1_000_000)
    steps: int = Field(default=40, ge=1, le=10_000)
    slate_size: int = Field(default=1, ge=1, le=100)
    session_length: int = Field(default=20, ge=1, le=10_000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    policies: tuple[str, ...] = Field(default=DEFAULT_POLICIES, min_length=1)
    world: WorldConfig = WorldConfig()


@dataclass(frozen=True, eq=False)
class SimulationRun:
    """What N users got from each policy over T steps.

    Attributes:
        config: what was simulated.
        n_items: catalogue size n.
        rewards: by policy, [N, T] float32, summed over the slate.
        expected: by policy, [N, T] float32, summed P(like) of what was shown.
        present: by policy, [N, T] bool.
        left: by policy, [N, T] bool, the session ended in the world at that step.
        shown: by policy, [n] int64, how often each item was shown.
    """

    config: SimulationConfig
    n_items: int
    rewards: dict[str, NDArray[np.float32]]
    expected: dict[str, NDArray[np.float32]]
    present: dict[str, NDArray[np.bool_]]
    left: dict[str, NDArray[np.bool_]]
    shown: dict[str, NDArray[np.int64]]

    def add(self, name: str, rollout: Rollout) -> None:
        """Takes in one policy's roll-out."""
        self.rewards[name] = rollout.rewards.sum(axis=2)
        self.expected[name] = rollout.expected.sum(axis=2)
        self.present[name] = rollout.present
        self.left[name] = rollout.terminated if self.config.world.sessions else np.zeros_like(rollout.present)
        self.shown[name] = np.bincount(rollout.items[rollout.items >= 0], minlength=self.n_items)


class Simulator:
    """A problem's users and policies, ready to be played in a world.

    Args:
        problem: one split's fitted parts.
        meta: meta-parameters of the adapted policies.
        base: settings of the checkpoint.
        config: what to simulate.
        factors: given users, for population `factors`.

    Raises:
        ConfigError: the parts do not fit; the text names the setting.
    """

    def __init__(
        self,
        problem: Problem,
        meta: MetaParams,
        base: RunConfig,
        config: SimulationConfig,
        factors: FactorUsers | None = None,
    ) -> None:
        unknown = [name for name in config.policies if name not in POLICIES]
        if unknown:
            raise ConfigError(f"policy {unknown[0]!r} is unknown; choose from: {', '.join(POLICIES)}")
        if config.world.needs_tastes and config.population in ("logged", "rated-only"):
            raise ConfigError(
                f"world: drift and satiation need users with tastes; population {config.population} has only answers, "
                "so use --population latent"
            )
        self.problem, self.meta, self.base, self.config = problem, meta, base, config
        self._lineup = Lineup(problem, meta, base)
        self.population, self.users, self._vectors = self._people(factors)
        room = int(self.population.candidates(torch.from_numpy(self.users)).sum(dim=1).min())
        if room < config.slate_size:
            raise ConfigError(f"slate_size {config.slate_size}: a user has only {room} items to be shown")

    def _people(self, factors: FactorUsers | None) -> tuple[Population, NDArray[np.int64], NDArray[np.float32]]:
        problem, config = self.problem, self.config
        if config.population in ("logged", "rated-only"):
            members = problem.split.test[: config.users]
            convention: Literal["unrated-zero", "rated-only"] = (
                "unrated-zero" if config.population == "logged" else "rated-only"
            )
            return LoggedUsers(problem.rewards, problem.rated, convention), members, problem.user_vectors[members]
        if config.population == "factors":
            if factors is None:
                raise ConfigError("population factors needs --factors FILE")
            if factors.n_items != len(problem.dataset.item_ids):
                raise ConfigError(
                    f"factors: {factors.n_items} items, the checkpoint has {len(problem.dataset.item_ids)}; "
                    "give one row an item, in the checkpoint's order"
                )
            count = min(config.users, factors.n_users)
            return factors, np.arange(count), self._lineup.unknown(count)
        everybody = np.arange(len(problem.dataset.user_ids))
        prior = fit_user_model(problem.dataset, everybody, self.base)
        users = prior.draw(config.users, config.seed)
        return users, np.arange(config.users), self._lineup.unknown(config.users)

    def env(self) -> BatchEnv:
        """Returns the world, the same for every policy: the same users would answer the same slate alike."""
        config = self.config
        return make_env(
            config.world,
            self.population,
            self.problem.topics,
            self.users,
            session_length=config.session_length,
            discount=0.0,
            slate_size=config.slate_size,
            seed=config.seed,
        )

    def policy(self, name: str, env: BatchEnv) -> OnlinePolicy:
        """Returns a policy by name; the oracle looks into `env`."""
        return self._lineup.policy(name, self._vectors, Oracle(env))

    def begin(self) -> SimulationRun:
        """Returns a run with nothing in it yet."""
        return SimulationRun(self.config, len(self.problem.dataset.item_ids), {}, {}, {}, {}, {})


def play_policies(
    simulator: Simulator, names: Sequence[str], on_step: Callable[[str, int], None] | None = None
) -> SimulationRun:
    """Returns the run of the named policies, each on the same users.

    Args:
        simulator: users, policies and world.
        names: what to play.
        on_step: called before every step with the policy's name and the step.
    """
    env, run = simulator.env(), simulator.begin()
    for name in names:
        rollout = play(
            env,
            simulator.policy(name, env),
            simulator.config.steps,
            generator(simulator.config.seed, "simulate", name),
            None if on_step is None else partial(_tell, on_step, name),
        )
        run.add(name, rollout)
    return run


def _tell(on_step: Callable[[str, int], None], name: str, step: int, env: BatchEnv) -> None:
    on_step(name, step)
