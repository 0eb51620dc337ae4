"""The drift protocol's worlds, its contenders' names, what is chosen from what, and its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec.config import STARTS, RunConfig, TrainConfig, decided, names_of
from metarl_rec.fatigue import RETENTIONS
from metarl_rec.frozen import FrozenSettings
from metarl_rec.inner_params import InnerParams
from metarl_rec.protocol import POLICIES
from metarl_rec.worlds import WorldConfig, make_env
from simulator import BatchEnv
from simulator.fitting import UserPrior

__all__ = [
    "FORGETTING",
    "FORGETTING_GRID",
    "GREEDY",
    "NOISES",
    "OTHERS",
    "OURS",
    "PARTS",
    "POPULARITY",
    "REMEMBERING",
    "START_FATIGUE",
    "START_FATIGUES",
    "STATIONARY",
    "TIRING",
    "UNADAPTED",
    "UNTRAINED",
    "WORLDS",
    "Settings",
    "config_of",
    "moving_env",
]

WORLDS: dict[str, dict[str, Any]] = {
    "drift": {"drift": {"rate": 0.2}},
    "abrupt drift": {"drift": {"rate": 0.0, "jump": 0.04}},
    "satiation": {"satiation": {"strength": 4.0}},
    "sessions": {"leaving": {"hazard": 0.02, "failure": 0.2, "boredom": 4.0, "tolerance": 0.25}},
}
OURS, GREEDY, UNADAPTED, POPULARITY = "adapted meta-policy", "adapted, greedy", "meta-policy", "popularity"
STATIONARY, FORGETTING, TIRING = "HB linear, greedy", "HB linear, forgetting", "HB linear, fatigue"
UNTRAINED = "adapted, not meta-trained"
"""The start that those who choose take: what ships minus it is what meta-training is worth."""
PARTS: dict[str, Callable[[InnerParams], dict[str, Any]]] = {
    "adapted, value term only": lambda shipped: {"policy_coef": 0.0},
    "adapted, policy-gradient term x 30": lambda shipped: {"policy_coef": 30.0 * shipped.policy_coef},
    "adapted, no fatigue": lambda shipped: {"fatigue": (0.0, 0.0, 0.0)},
}
"""What is changed of what ships, one part at a time."""
REMEMBERING = "adapted, no forgetting"
"""Forgetting and noise make up for each other, so this one has its noise chosen anew."""
OTHERS = ("random", "LinUCB", "logistic UCB", "BPR fold-in", "oracle")
NOISES = (0.2, 0.15, 0.3, 0.5, 0.8, 1.2, 2.0)
FORGETTING_GRID = (0.04, 0.0, 0.01, 0.02, 0.03, 0.06, 0.1)
START_NOISES = (0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)
START_FORGETTING, START_FORGETTINGS = 0.06, (0.03, 0.1)
START_FATIGUE, START_FATIGUES = 0.03, (0.1, 0.3, 0.6, 1.2)
"""What HB is tuned among, noise with forgetting or fatigue, every pair, and what our start is chosen from, fatigue
first; both by the same test: the first stays unless another is better by more than luck. What moves is noise to a
linear model, so the grids reach further than those of people who stand still; the two parametrize forgetting
differently. With a noise of .2, HB's .04 and our .06 are the best of each, or next to it, in drift and abrupt drift on
both data sets (tests/learning/README.md). Fatigue is the same for both."""
_BESIDE = sorted({*POLICIES} - {OURS, GREEDY, UNADAPTED, POPULARITY, STATIONARY, FORGETTING, *PARTS})
_DECIDED = {
    "seed": "splits",
    "train.world": "worlds",
    "train.form": "worlds",
    "train.population": "",
    "train.session_length": "",
    "train.horizon": "steps",
    "train.iterations": "iterations",
    "train.evaluate_every": "iterations",
    "train.simulated_users": "train_users",
    "train.validation_users": "validation_users",
    "train.validation_repeats": "",
    "train.jury_users": "",
    "train.fatigue_rate": "",
    "inner.forgetting": "worlds",
    "inner.fatigue": "worlds",
    "inner.discount": "worlds",
} | {f"train.{name}": "" for name in STARTS}
"""What the protocol decides of a run, and by which of its settings."""


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1 of the users; each is trained anew in each world.
        worlds: which of WORLDS.
        steps: slates of one item that everybody is shown, if they stay.
        users: simulated users who judge, drawn from a prior fitted on the split's test users.
        validation_users: simulated users who tune and choose, drawn from a prior fitted on its validation users; with
            200 of them luck decides between settings that are a third of a reward apart.
        iterations: outer updates.
        train_users: simulated users an outer update plays.
        others: what plays beside, tuned on validation users who stand still; MeLU and PPO take minutes a world.
        run: data, prior, inner-loop and training settings; not those that the protocol decides itself.
    """

    splits: int = Field(default=5, ge=1, le=1000)
    worlds: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(names_of("world", WORLDS))] = tuple(WORLDS)
    steps: int = Field(default=60, ge=2, le=1000)
    users: int = Field(default=2000, ge=2, le=100_000)
    validation_users: int = Field(default=600, ge=2, le=100_000)
    iterations: int = Field(default=40, ge=0, le=10_000)
    train_users: int = Field(default=48, ge=2, le=10_000)
    others: Annotated[tuple[str, ...], AfterValidator(names_of("policy", _BESIDE))] = OTHERS
    run: Annotated[RunConfig, AfterValidator(decided(_DECIDED))] = RunConfig()


def config_of(settings: Settings, world: str, split: int) -> RunConfig:
    """Returns the training's settings: forgetting where tastes move, fatigue and discount where showing has effects."""
    moves = WorldConfig.model_validate(WORLDS[world])
    train = {
        "population": "latent",
        "form": "session" if moves.sessions or moves.satiation else "bandit",
        "session_length": 20,
        "horizon": settings.steps,
        "iterations": settings.iterations,
        "evaluate_every": max(1, settings.iterations // 4),
        "simulated_users": settings.train_users,
        "validation_users": settings.validation_users,
        "validation_repeats": 1,
        "start_noises": START_NOISES,
        "start_forgettings": START_FORGETTINGS,
        "start_fatigues": START_FATIGUES,
        "fatigue_rate": 0.3,
        "world": moves,
    }
    inner = settings.run.inner.model_dump()
    if moves.drift is not None:
        inner["forgetting"] = START_FORGETTING
    else:
        inner |= {"fatigue": (START_FATIGUE,) * len(RETENTIONS), "discount": 0.9}
    return settings.run.model_copy(
        update={
            "seed": split,
            "train": TrainConfig.model_validate(settings.run.train.model_dump() | train),
            "inner": InnerParams.model_validate(inner, strict=False),
        }
    )


def moving_env(world: str, prior: UserPrior, topics: NDArray[np.float32] | None, users: int, seed: int) -> BatchEnv:
    """Returns one of WORLDS with N users drawn from a prior; `seed` decides who they are and what moves.

    Args:
        world: of WORLDS.
        prior: of the users' tastes.
        topics: [n, T] float32, or None where the data set has none.
        users: N.
        seed: of users and world.
    """
    return make_env(
        WorldConfig.model_validate(WORLDS[world]),
        prior.draw(users, seed=seed),
        topics,
        np.arange(users),
        session_length=20,
        discount=0.0,
        seed=seed,
    )
