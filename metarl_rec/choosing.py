"""The prior that a split chooses for itself, by people of the split who are not tested; of a protocol or of `train`.

What is chosen by looking at several splits has been seen by everybody, because one split's validation user is another's
test user. So what a report's figures hang on is chosen anew within every split: by its validation users, and by train
users, each in a space that has not seen them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from metarl_rec.config import RunConfig
from metarl_rec.cross_fitting import FoldedEmbeddings
from metarl_rec.dataset import Dataset, UserSplit
from metarl_rec.errors import DataError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.gate import best_of, worth
from metarl_rec.populations import TrainingPopulations
from metarl_rec.preparing import prepared, split_embeddings
from metarl_rec.problem import Problem, build_problem
from metarl_rec.train import start_of
from metarl_rec.validate import validate_rivals
from metarl_rec.workspace import Workspace

__all__ = [
    "CHOSEN_WITHIN",
    "DEFAULTS_SEEN",
    "Choices",
    "ChoosingSettings",
    "choices_of",
    "choose_within",
    "chosen_problem",
    "chosen_text",
]

CHOSEN_WITHIN = (
    "What figures hang on is chosen anew in every split, by its validation users and by train users in spaces that "
    "have not seen them: the scale of item attributes, the soft threshold on the spectrum, the gain of user "
    "attributes, and the noises, harm counted; simple values stay unless others are better by more than luck. Rank, "
    "ridges, temperature and the outer loop's settings are the defaults, which were found by looking at train and "
    "validation users of several splits."
)
"""For reports whose splits choose with `chosen_problem`."""
DEFAULTS_SEEN = (
    "The prior's settings are the defaults, which were found by looking at train and validation users of several "
    "splits, who are each other's test users; every policy that has the prior has the same."
)
"""For reports whose splits do not."""
_Variance = Annotated[float, Field(gt=0, le=100)]


class Choices(FrozenSettings):
    """What a split chooses, one after the other in this order; an empty list leaves the setting as it is given.

    The first of each list stays unless another is better by more than luck (`gate.best_of`), so it is what nobody had
    to look for: no item attributes, no threshold, user attributes as they were estimated, one noise for all rewards.

    Attributes:
        item_attribute_scale: of `prior.item_attribute_scale`.
        shrinkage: of `prior.shrinkage`.
        attribute_gain: of `prior.attribute_gain`.
        noises: residual variances of a reward, (where it is 0, where it is 1), for `inner.value_weight`.
    """

    item_attribute_scale: tuple[Annotated[float, Field(ge=0, le=10)], ...] = (0.0, 0.1, 0.15, 0.2, 0.3)
    shrinkage: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.2, 0.3, 0.4, 0.5)
    attribute_gain: tuple[Annotated[float, Field(ge=0)], ...] = (1.0, 0.6, 0.8, 1.2, 1.5)
    noises: tuple[tuple[_Variance, _Variance], ...] = ((0.15, 0.15), (0.2, 0.2), (0.2, 0.15), (0.3, 0.15), (0.3, 0.2))

    @classmethod
    def left_open(cls, config: RunConfig) -> Self:
        """Returns what is to be chosen where settings that are not the defaults are somebody's own choice and stay."""
        return cls.model_validate({name: () for name in _CHOSEN if _decided(config, name)})

    @property
    def count(self) -> int:
        """How many starts are played to choose."""
        return sum(len(each) for each in (getattr(self, name) for name in _CHOSEN) if len(each) > 1)


_CHOSEN = {
    "item_attribute_scale": "prior.item_attribute_scale",
    "shrinkage": "prior.shrinkage",
    "attribute_gain": "prior.attribute_gain",
    "noises": "inner.value_weight",
}


def _decided(config: RunConfig, name: str) -> bool:
    """Returns whether the setting that a list is about is another than the default."""
    setting = attrgetter(_CHOSEN[name])
    return bool(setting(config) != setting(RunConfig()))


class ChoosingSettings(FrozenSettings):
    """What the settings of a protocol have in common whose splits choose.

    Attributes:
        choose: of which values every split chooses its prior's settings and noises.
        run: settings that every split starts from; not those that it chooses.
    """

    choose: Choices = Choices()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        for name, setting in _CHOSEN.items():
            if getattr(self.choose, name) and _decided(self.run, name):
                raise ValueError(
                    f"run.{setting} is chosen in every split; set choose.{name} to a list, or to [] as well"
                )
        return self


def chosen_problem(workspace: Workspace, config: RunConfig, choices: Choices) -> tuple[Problem, RunConfig]:
    """Returns the seed's split with everything fitted on its meta-train users, and the settings that it chose.

    Raises:
        DataError: nothing was imported, too few users are left, or no value of a list can be fitted.
    """
    dataset, users = prepared(workspace, config)
    return choose_within(dataset, users, split_embeddings(dataset, users.train, config), config, choices)


def choose_within(
    dataset: Dataset,
    users: UserSplit,
    embeddings: FoldedEmbeddings,
    config: RunConfig,
    choices: Choices,
    on_choice: Callable[[int, int], None] | None = None,
) -> tuple[Problem, RunConfig]:
    """Returns the split with everything fitted on its meta-train users, and the settings that it chose.

    What counts is what those who choose get from the empirical-Bayes start, harm counted.

    Args:
        dataset: filtered as the settings say.
        users: the split.
        embeddings: of the meta-train users; nothing that is chosen decides them.
        config: settings that are kept where `choices` has nothing.
        choices: of which values.
        on_choice: told how many starts of `choices.count` have been played, after each.

    Raises:
        DataError: no value of a list can be fitted.
    """
    played = 0

    def after() -> None:
        nonlocal played
        played += 1
        if on_choice is not None:
            on_choice(played, choices.count)

    def build(config: RunConfig) -> Problem:
        return build_problem(dataset, users, embeddings, config)

    scales = [_prior(config, item_attribute_scale=each) for each in choices.item_attribute_scale]
    config = _best(scales or [config], build, after)
    thresholds = [_prior(config, shrinkage=each) for each in choices.shrinkage]
    config = _best(thresholds or [config], build, after)
    # What is left decides where people start and what they learn, and nothing that is fitted.
    problem = build(config)
    gains = [_prior(config, attribute_gain=each) for each in choices.attribute_gain]
    config = _best(gains or [config], lambda _: problem, after)
    noises = [_noisy(config, *each) for each in choices.noises]
    return problem, _best(noises or [config], lambda _: problem, after)


def _best(rivals: list[RunConfig], problem_of: Callable[[RunConfig], Problem], after: Callable[[], None]) -> RunConfig:
    """Returns the settings that those who choose take, of those that the data carry; calls `after` after each."""
    if len(rivals) == 1:
        return rivals[0]
    fitted, worths = [], []
    for rival in rivals:
        try:
            problem = problem_of(rival)
        except DataError:
            # Not every prior can be fitted to all data: a threshold may be above the whole spectrum.
            after()
            continue
        start = validate_rivals(TrainingPopulations.fit(problem, rival), [start_of(problem, rival)])[0]
        fitted.append(rival)
        worths.append(worth(start, rival.train.harm_cost))
        after()
    # Where none can be, the fit with the first says why.
    return fitted[best_of(worths)] if fitted else rivals[0]


def _prior(config: RunConfig, **changes: float) -> RunConfig:
    return config.model_copy(update={"prior": config.prior.model_copy(update=changes)})


def _noisy(config: RunConfig, missed: float, liked: float) -> RunConfig:
    weight = (-math.log(missed), math.log(missed / liked), 0.0, 0.0)
    return config.model_copy(update={"inner": config.inner.model_copy(update={"value_weight": weight})})


def choices_of(config: RunConfig) -> dict[str, Any]:
    """Returns the settings that may have been chosen, as they are now."""
    prior, (first, step, *_) = config.prior, config.inner.value_weight
    return {
        "item_attribute_scale": prior.item_attribute_scale,
        "shrinkage": prior.shrinkage,
        "attribute_gain": prior.attribute_gain,
        "noises": [round(math.exp(-first), 4), round(math.exp(-first - step), 4)],
    }


def chosen_text(played: Sequence[Mapping[str, Any]]) -> str:
    """Returns how often what was chosen, of splits that each have `choices_of` as "chosen"."""
    counted = []
    for name in played[0]["chosen"]:
        counts = Counter(str(part["chosen"][name]) for part in played)
        counted.append(f"{name} " + ", ".join(f"{value} ({count})" for value, count in counts.most_common()))
    return f"Chosen within {len(played)} splits, and how often: {'; '.join(counted)}."
