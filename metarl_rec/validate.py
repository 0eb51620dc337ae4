"""What adaptation is worth to people who judge: reward before and after, with common random numbers.

Two groups judge. Validation users had no part in anything; they are few. Train users of the folds that are kept from
the outer loop play in the space of the fold that left them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.populations import Group, TrainingPopulations
from metarl_rec.rollout import play
from metarl_rec.seeding import generator

__all__ = ["Validation", "validate", "validate_rivals"]

_FIRST, _LAST = 10**9, 2 * 10**9
"""Seeds of worlds in which people judge; no training has as many iterations, so none of them meets these draws."""


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
    return _validated(populations, populations.judges(), [meta], "validate")[0]


def validate_rivals(populations: TrainingPopulations, metas: Sequence[MetaParams]) -> list[Validation]:
    """Returns what everybody who chooses the start gets with each of `metas`; they differ in the inner loop's settings.

    Drawn people who judge later are others. Logged ones who do are among these, with other draws of the policy: who is
    the best start by luck is a little ahead there as well, which counts against what is meta-trained.
    """
    return _validated(populations, populations.choosers(), metas, "choose")


def _validated(
    populations: TrainingPopulations, groups: Sequence[Group], metas: Sequence[MetaParams], purpose: str
) -> list[Validation]:
    """Returns the validation of each of `metas` by `groups`, of whom the last are the validation users."""
    repeats = populations.config.train.validation_repeats
    counts = [1] * (len(groups) - 1) + [repeats]
    played = [
        _played(populations, group, metas, count, (purpose, number))
        for number, (group, count) in enumerate(zip(groups, counts, strict=True))
    ]
    validations = []
    for rival in range(1, len(metas) + 1):
        after = [rewards[rival].mean(axis=0) for rewards in played]
        harmed = [(rewards[rival] < rewards[0]).mean(axis=0) for rewards in played]
        validations.append(
            Validation(
                before=float(played[-1][0].mean(axis=0).mean()),
                after=float(after[-1].mean()),
                rewards=tuple(np.concatenate(after).tolist()),
                harmed=tuple(np.concatenate(harmed).tolist()),
            )
        )
    return validations


def _played(
    populations: TrainingPopulations, group: Group, metas: Sequence[MetaParams], repeats: int, names: tuple[str, int]
) -> NDArray[np.float64]:
    """Returns rewards [1 + M, repeats, N] of a group: without adaptation, which is one policy for all of `metas`, then
    adapted by each of the M. `names` keep its draws from other groups'."""
    problem, config = populations.problem, populations.config
    space = metas[0].scaled(group.space)
    starts = metas[0].initialization.numpy() + np.float32(metas[0].attribute_gain) * group.shift
    settings = [meta.inner_params(config.inner) for meta in metas]
    policies: list[OnlinePolicy] = [
        FixedPolicy(space.popularity + starts @ space.features.T, settings[0].temperature),
        *(AdaptedPolicy(space.features, space.popularity, starts, inner, topics=problem.topics) for inner in settings),
    ]
    played = np.zeros((len(policies), repeats, len(group.users)))
    for repeat in range(repeats):
        world = int(generator(config.seed, *names, repeat, "world").integers(_FIRST, _LAST))
        for index, policy in enumerate(policies):
            env = populations.env(group.population, group.users, seed=world)
            rollout = play(env, policy, config.train.horizon, generator(config.seed, *names, repeat))
            played[index, repeat] = rollout.rewards.sum(axis=(1, 2))
    return played
