"""What adaptation is worth to validation users: reward before and after, with common random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metarl_rec.config import RunConfig
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import AdaptedPolicy, FixedPolicy, OnlinePolicy
from metarl_rec.problem import Problem
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from simulator.env import BatchEnv
from simulator.population import LoggedUsers

__all__ = ["Validation", "validate"]


@dataclass(frozen=True, slots=True)
class Validation:
    """Mean reward per user over the horizon.

    Attributes:
        before: of the meta-policy without adaptation.
        after: of the policy adapted after every interaction.
    """

    before: float
    after: float


def validate(problem: Problem, meta: MetaParams, config: RunConfig) -> Validation:
    """Returns the rewards of validation users, the same draws for every `meta` it is asked about."""
    users = problem.split.validation
    steps = config.train.horizon
    starts = problem.space.starts(problem.user_vectors[users], meta.initialization.numpy(), float(meta.attribute_gain))
    inner = meta.inner_params(config.inner)
    values = problem.space.popularity + starts @ problem.space.features.T
    policies: list[OnlinePolicy] = [
        FixedPolicy(values, inner.temperature),
        AdaptedPolicy(problem.space.features, problem.space.popularity, starts, inner),
    ]
    population = LoggedUsers(problem.rewards, problem.rated)
    totals = [0.0, 0.0]
    for repeat in range(config.train.validation_repeats):
        for index, policy in enumerate(policies):
            env = BatchEnv(population, torch.from_numpy(users), horizon=steps, seed=config.seed)
            rollout = play(env, policy, steps, generator(config.seed, "validate", repeat))
            totals[index] += float(rollout.rewards.sum(axis=1).mean())
    before, after = (total / config.train.validation_repeats for total in totals)
    return Validation(before, after)
