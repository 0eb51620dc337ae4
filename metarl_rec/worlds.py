"""Worlds: which users, which choice model and which dynamics, as settings with names, and the environment they make."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from metarl_rec.errors import ConfigError
from metarl_rec.frozen import FrozenSettings
from simulator import (
    BatchEnv,
    Cascade,
    ChoiceModel,
    Drift,
    Dynamics,
    FeedbackLoss,
    Independent,
    Leaving,
    MultinomialLogit,
    Population,
    PositionBased,
    Satiation,
    SimulatorError,
    Topics,
    UserTypes,
)

__all__ = ["PRESETS", "WorldConfig", "make_env"]


class WorldConfig(FrozenSettings):
    """What the world does beside answering; the default stands still.

    Attributes:
        choice: what a user does with a slate: independent, multinomial (logit with no choice), position (bias 1 / rank)
            or cascade.
        topic_attribute: item attribute with lists of words that topics come from; the commonest one when absent.
        topic_retention: share of the exposure to topics that is left after one step.
        satiation: utility falls with exposure, for example {"strength": 2}.
        drift: tastes move, for example {"rate": 0.05} or {"jump": 0.05}.
        leaving: sessions end early, for example {"hazard": 0.02, "boredom": 3}.
        feedback: late or missing answers, for example {"max_delay": 5, "missing": 0.1}.
        lifetimes: users are gone after as many interactions as the population's activity says.
        adversarial: share of users who like exactly what they otherwise would not.
        negative: share of users who like nothing.
        bots: share of users who click nearly everything.
    """

    choice: Literal["independent", "multinomial", "position", "cascade"] = "independent"
    topic_attribute: str | None = None
    topic_retention: float = Field(default=0.8, ge=0, lt=1)
    satiation: Satiation | None = None
    drift: Drift | None = None
    leaving: Leaving | None = None
    feedback: FeedbackLoss | None = None
    lifetimes: bool = False
    adversarial: float = Field(default=0.0, ge=0, le=1)
    negative: float = Field(default=0.0, ge=0, le=1)
    bots: float = Field(default=0.0, ge=0, le=1)

    @property
    def sessions(self) -> bool:
        """Whether users can leave, so that steps make sessions."""
        return self.leaving is not None

    @property
    def needs_tastes(self) -> bool:
        """Whether only users with tastes can be played: logged ones have answers alone."""
        return self.satiation is not None or self.drift is not None

    def dynamics(self, topics: NDArray[np.float32] | None) -> Dynamics:
        """Returns the simulator's dynamics over items with these topics [n, T].

        Raises:
            ConfigError: satiation or boredom is on and the items have no topics.
        """
        needed = self.satiation is not None or (self.leaving is not None and self.leaving.boredom > 0)
        if needed and topics is None:
            raise ConfigError(
                "satiation and boredom need topics: an item attribute with lists of words, such as genres; "
                "import items with one, or leave both out of the world"
            )
        return Dynamics(
            topics=Topics(torch.from_numpy(topics), self.topic_retention) if topics is not None else None,
            satiation=self.satiation,
            drift=self.drift,
            leaving=self.leaving,
            feedback=self.feedback,
            lifetimes=self.lifetimes,
        )


PRESETS: dict[str, dict[str, Any]] = {
    "static": {},
    "satiation": {"satiation": {"strength": 4.0}},
    "drift": {"drift": {"rate": 0.1}},
    "abrupt-drift": {"drift": {"rate": 0.0, "jump": 0.05}},
    "sessions": {"leaving": {"hazard": 0.02, "failure": 0.2, "boredom": 4.0, "tolerance": 0.25}},
    "delayed": {"feedback": {"max_delay": 5, "missing": 0.1}},
    "hostile": {"adversarial": 0.05, "negative": 0.05, "bots": 0.05},
    "everything": {
        "satiation": {"strength": 2.0},
        "drift": {"rate": 0.05, "jump": 0.01},
        "leaving": {
            "hazard": 0.02,
            "failure": 0.2,
            "boredom": 3.0,
            "tolerance": 0.25,
            "returning": 0.7,
            "loyalty": 1.0,
        },
        "feedback": {"max_delay": 3, "missing": 0.05},
        "adversarial": 0.02,
        "negative": 0.02,
        "bots": 0.02,
    },
}
"""Named worlds of `metarl-rec simulate --world`; every setting in them can be changed with --set."""


def make_env(
    world: WorldConfig,
    population: Population,
    topics: NDArray[np.float32] | None,
    users: NDArray[np.int64],
    *,
    session_length: int,
    discount: float,
    slate_size: int = 1,
    seed: int,
) -> BatchEnv:
    """Returns the environment in which `users` [N] of a population live in `world`.

    Args:
        world: settings.
        population: whom to play; mixed with other types of users where the world says so.
        topics: [n, T] float32, or None.
        users: [N] int64.
        session_length: steps in a session, where users can leave or the discount is above 0.
        discount: gamma of a session.
        slate_size: items in a slate.
        seed: decides everything that the world does.

    Raises:
        ConfigError: the parts do not fit; the text names the setting.
    """
    choices: dict[str, ChoiceModel] = {
        "independent": Independent(),
        "multinomial": MultinomialLogit(),
        "position": PositionBased.reciprocal(slate_size),
        "cascade": Cascade(),
    }
    form: Literal["bandit", "session"] = "session" if world.sessions or discount > 0 else "bandit"
    try:
        if world.adversarial or world.negative or world.bots:
            population = UserTypes(population, seed, world.adversarial, world.negative, world.bots)
        return BatchEnv(
            population,
            torch.from_numpy(users),
            form=form,
            horizon=session_length,
            discount=discount,
            slate_size=slate_size,
            choice=choices[world.choice],
            dynamics=world.dynamics(topics),
            seed=seed,
        )
    except SimulatorError as error:
        raise ConfigError(f"world: {error}") from None
