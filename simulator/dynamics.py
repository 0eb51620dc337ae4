"""What changes while a user is played: exposure, satiation, drift, leaving and returning, feedback on its way.

Each is a small frozen record with pure functions; `Dynamics` says which are switched on. With satiation or leaving a
task is a Markov decision process whose state is not shown to the policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.checks import at_least, between, probability
from simulator.errors import SimulatorError
from simulator.randomness import normals, uniforms

__all__ = ["Drift", "Dynamics", "FeedbackLoss", "Leaving", "Satiation", "Topics"]

_EDGE = 1e-6


def _logit(p: float) -> float:
    return float(torch.logit(torch.tensor(p, dtype=torch.float64), eps=_EDGE))


@dataclass(frozen=True, eq=False)
class Topics:
    """Which topics an item belongs to, and for how long a user remembers what they were shown.

    A user's exposure e [T] is an average over the slates shown, newer ones weighing more:
    e <- retention e + (1 - retention) t, where t [T] is the mean of the shown items' rows. It decays while they are
    away, too.

    Attributes:
        weights: [n, T] float, rows of non-negative weights that sum to 1, or are 0 for an item without topic.
        retention: share of the exposure that is left after one step, in [0, 1).
    """

    weights: Tensor
    retention: float = 0.8

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or 0 in self.weights.shape:
            raise SimulatorError(f"topics {tuple(self.weights.shape)} must be [items, topics]")
        if not bool(torch.isfinite(self.weights).all()) or bool((self.weights < 0).any()):
            raise SimulatorError("topics holds a negative or infinite weight")
        sums = self.weights.sum(dim=1)
        wrong = (sums != 0) & ((sums - 1).abs() > 1e-4)
        if bool(wrong.any()):
            item = int(wrong.to(torch.int8).argmax())
            raise SimulatorError(
                f"topics: item {item} has weights that sum to {float(sums[item]):g}; divide them by it"
            )
        between("retention", self.retention, 0, 0.999999)


@dataclass(frozen=True, slots=True)
class Satiation:
    """Utility falls with exposure to the item's topics: u - strength * (t_i . e).

    Attributes:
        strength: logits lost by an item all of whose topics filled the exposure, >= 0.

    Reference: Leqi et al., "Rebounding Bandits for Modeling Satiation Effects", NeurIPS 2021, eq. 1-2 (linear satiation
        with exponential memory).
    """

    strength: float = 2.0

    def __post_init__(self) -> None:
        at_least("satiation.strength", self.strength, 0)


@dataclass(frozen=True, slots=True)
class Drift:
    """Tastes w ~ N(0, I) move and stay N(0, I): w <- sqrt(1 - rate^2) w + rate eps, or jump to a new draw.

    Attributes:
        rate: slow drift a step, in [0, 1].
        jump: probability a step of an abrupt change, in [0, 1].

    Reference: Uhlenbeck & Ornstein, 1930 (the discrete form is an AR(1) process); abrupt changes as in Garivier &
        Moulines, "On upper-confidence bound policies for switching bandit problems", ALT 2011.
    """

    rate: float = 0.05
    jump: float = 0.0

    def __post_init__(self) -> None:
        probability("drift.rate", self.rate)
        probability("drift.jump", self.jump)

    def move(self, tastes: Tensor, users: Tensor, step: Tensor, seed: int) -> Tensor:
        """Returns the tastes [N, D] after one step.

        Args:
            tastes: [N, D].
            users: [N] int64.
            step: [N] int64, the user's own step.
            seed: decides the movement.
        """
        dims = torch.arange(tastes.shape[1], device=tastes.device)
        fresh = normals(seed, "drift", users.unsqueeze(1), step.unsqueeze(1), dims).to(tastes.dtype)
        moved: Tensor = math.sqrt(1 - self.rate**2) * tastes + self.rate * fresh
        if self.jump == 0:
            return moved
        jumps = uniforms(seed, "jump", users, step) < self.jump
        return torch.where(jumps.unsqueeze(1), fresh, moved)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A session ends when the user has had enough; later the user may come back.

    logit P(leave) = logit(hazard) + failure * (steps without reward in a row) + boredom * [t . e > tolerance]

    where t . e is the exposure to the shown slate's topics. A user who left misses the rest of that session; at the
    start of the next one they are back with logit P(return) = logit(returning) + loyalty * (reward rate of the
    session), or are gone for good.

    Attributes:
        hazard: probability of leaving after a step, all being well, in [0, 1].
        failure: logits a step without reward, >= 0.
        boredom: logits when bored, >= 0; needs topics.
        tolerance: exposure above which a topic bores, in [0, 1].
        returning: probability of coming back after a session without reward, in [0, 1].
        loyalty: logits per unit of reward rate, >= 0.

    Reference: Gao et al., "CIRS: Bursting Filter Bubbles by Counterfactual Interactive Recommender System", TOIS 2023,
        arXiv:2204.01266, section 5.1 (quitting when one topic fills the recent recommendations).
    """

    hazard: float = 0.02
    failure: float = 0.2
    boredom: float = 0.0
    tolerance: float = 0.5
    returning: float = 1.0
    loyalty: float = 0.0

    def __post_init__(self) -> None:
        probability("leaving.hazard", self.hazard)
        at_least("leaving.failure", self.failure, 0)
        at_least("leaving.boredom", self.boredom, 0)
        probability("leaving.tolerance", self.tolerance)
        probability("leaving.returning", self.returning)
        at_least("leaving.loyalty", self.loyalty, 0)

    def probabilities(self, failures: Tensor, overlap: Tensor) -> Tensor:
        """Returns P(leave) [N] after a step.

        Args:
            failures: [N], steps without reward in a row, this one included.
            overlap: [N], exposure to the topics of the slate just shown.
        """
        if self.hazard == 0:
            return torch.zeros_like(overlap)
        bored = (overlap > self.tolerance).to(overlap.dtype)
        return torch.sigmoid(_logit(self.hazard) + self.failure * failures + self.boredom * bored)

    def return_probabilities(self, reward_rate: Tensor) -> Tensor:
        """Returns P(return) [N] given the reward rate of the session that ended."""
        if self.returning in (0.0, 1.0):
            return torch.full_like(reward_rate, self.returning)
        return torch.sigmoid(_logit(self.returning) + self.loyalty * reward_rate)


@dataclass(frozen=True, slots=True)
class FeedbackLoss:
    """Feedback that comes late or never. The world knows at once; the policy does not.

    Attributes:
        max_delay: greatest delay in steps; each of 0 .. max_delay has the same probability.
        missing: probability that an answer never arrives, in [0, 1].
    """

    max_delay: int = 0
    missing: float = 0.0

    def __post_init__(self) -> None:
        between("feedback.max_delay", self.max_delay, 0, 1000)
        probability("feedback.missing", self.missing)

    def delays(self, users: Tensor, step: Tensor, seed: int) -> Tensor:
        """Returns after how many steps each user's answer arrives [N] int64; -1 is never."""
        late = (uniforms(seed, "delay", users, step) * (self.max_delay + 1)).to(torch.int64)
        lost = uniforms(seed, "missing", users, step) < self.missing
        return torch.where(lost, torch.full_like(late, -1), late)


@dataclass(frozen=True, slots=True)
class Dynamics:
    """Which dynamics are switched on; the default is a world that stands still.

    Attributes:
        topics: items' topics and users' memory of them; satiation and boredom need it.
        satiation: utility falls with exposure.
        drift: tastes move; needs a population with tastes.
        leaving: sessions end early.
        feedback: answers that reach the policy late or never.
        lifetimes: a user is gone after as many interactions as the population's activity says.
    """

    topics: Topics | None = None
    satiation: Satiation | None = None
    drift: Drift | None = None
    leaving: Leaving | None = None
    feedback: FeedbackLoss | None = None
    lifetimes: bool = False

    def __post_init__(self) -> None:
        if self.topics is None and self.satiation is not None:
            raise SimulatorError("satiation needs topics; give Dynamics(topics=Topics(...))")
        if self.topics is None and self.leaving is not None and self.leaving.boredom > 0:
            raise SimulatorError("leaving.boredom needs topics; give Dynamics(topics=Topics(...)), or set it to 0")
