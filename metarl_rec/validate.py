"""What adaptation is worth to people who judge: reward before and after, with common random numbers.

Two groups judge. Validation users had no part in anything; they are few. Cross-fitted train users play in the space of
the fold that left them out; the outer loop has seen them, but a dozen learned scalars hardly remember hundreds. Where
it learns features, they do not judge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.populations import Group, TrainingPopulations
from metarl_rec.rollout import play
from metarl_rec.seeding import generator

__all__ = ["Validation", "validate"]

_APART = 1_000_003
"""Between the seeds of two validations' worlds; no training has as many iterations, so none meets these draws."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Rewards over the horizon.

    Attributes:
        before: mean of validation users with the meta-policy, without adaptation.
        after: the same with the policy adapted after every interaction.
        rewards: of everybody who judges, cross-fitted train users first, adapted.
        harmed: share of each one's roll-outs that had strictly less reward than without adaptation.
    """

    before: float
    after: float
    rewards: tuple[float, ...]
    harmed: tuple[float, ...]

    @property
    def harm(self) -> float:
        """Share of people with strictly less reward than without adaptation."""
        return float(np.mean(self.harmed))

    def summary(self) -> dict[str, float]:
        """Returns the figures that a checkpoint carries."""
        return {
            "before": self.before,
            "after": self.after,
            "judges": len(self.rewards),
            "judges_after": float(np.mean(self.rewards)),
            "judges_harmed": self.harm,
        }


def validate(populations: TrainingPopulations, meta: MetaParams) -> Validation:
    """Returns what everybody who judges gets in the training's world, the same draws for every `meta`."""
    repeats = populations.config.train.validation_repeats
    judged = [_group(populations, group, meta, 1) for group in populations.cross_fitted()]
    before, after, harmed = _group(populations, populations.for_validation(), meta, repeats)
    return Validation(
        before=float(before.mean()),
        after=float(after.mean()),
        rewards=tuple(float(r) for part in (*(a for _, a, _ in judged), after) for r in part),
        harmed=tuple(float(h) for part in (*(h for _, _, h in judged), harmed) for h in part),
    )


def _group(
    populations: TrainingPopulations, group: Group, meta: MetaParams, repeats: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns every user's rewards [N] before and after adaptation, and how often they were harmed [N]."""
    problem, config = populations.problem, populations.config
    space = meta.scaled(group.space)
    starts = meta.initialization.numpy() + np.float32(meta.attribute_gain) * group.shift
    inner = meta.inner_params(config.inner)
    policies: list[OnlinePolicy] = [
        FixedPolicy(space.popularity + starts @ space.features.T, inner.temperature),
        AdaptedPolicy(space.features, space.popularity, starts, inner, topics=problem.topics),
    ]
    played = np.zeros((2, repeats, len(group.users)))
    for repeat in range(repeats):
        for index, policy in enumerate(policies):
            env = populations.env(group.population, group.users, seed=config.seed + (repeat + 1) * _APART)
            rollout = play(env, policy, config.train.horizon, generator(config.seed, "validate", repeat))
            played[index, repeat] = rollout.rewards.sum(axis=(1, 2))
    before, after = played
    return before.mean(axis=0), after.mean(axis=0), (after < before).mean(axis=0)
