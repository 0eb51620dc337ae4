"""What adaptation is worth to validation users: reward before and after, with common random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.populations import TrainingPopulations
from metarl_rec.rollout import play
from metarl_rec.seeding import generator

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


def validate(populations: TrainingPopulations, meta: MetaParams) -> Validation:
    """Returns the rewards of validation users in the training's world, the same draws for every `meta`."""
    problem, config = populations.problem, populations.config
    settings, space = config.train, meta.scaled(problem.space)
    population, users, shift = populations.for_validation()
    starts = meta.initialization.numpy() + np.float32(meta.attribute_gain) * shift
    inner = meta.inner_params(config.inner)
    policies: list[OnlinePolicy] = [
        FixedPolicy(space.popularity + starts @ space.features.T, inner.temperature),
        AdaptedPolicy(space.features, space.popularity, starts, inner, topics=problem.topics),
    ]
    totals = [0.0, 0.0]
    for repeat in range(settings.validation_repeats):
        for index, policy in enumerate(policies):
            env = populations.env(
                population, users, seed=config.seed + (repeat * 7919 if populations.validation is not None else 0)
            )
            rollout = play(env, policy, settings.horizon, generator(config.seed, "validate", repeat))
            totals[index] += float(rollout.rewards.sum(axis=(1, 2)).mean())
    before, after = (total / settings.validation_repeats for total in totals)
    return Validation(before, after)
