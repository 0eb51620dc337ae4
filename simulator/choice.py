"""Choice models: what a user does with a slate. Probabilities first, sampling second, from explicit uniforms.

A utility u is in logits: sigmoid(u) is the probability that the user likes the item when it is examined. A population
gives utilities, dynamics shift them, and a choice model turns a slate of them into clicks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from simulator.checks import between, probability
from simulator.errors import SimulatorError

__all__ = ["Cascade", "ChoiceModel", "Independent", "MultinomialLogit", "PositionBased"]


class ChoiceModel(Protocol):
    """Slate of utilities in, clicks out."""

    def probabilities(self, utilities: Tensor) -> Tensor:
        """Returns P(click) [N, k] of every position, given utilities [N, k] in logits."""

    def sample(self, utilities: Tensor, attraction: Tensor, examination: Tensor) -> Tensor:
        """Returns clicks [N, k] bool.

        Args:
            utilities: [N, k], logits.
            attraction: [N, k] uniforms that decide whether the user likes an item.
            examination: [N, k] uniforms that decide what the user looks at or chooses.
        """


@dataclass(frozen=True, slots=True)
class Independent:
    """Every position is examined and answered by itself: P(click) = sigmoid(u).

    Reference: Train, "Discrete Choice Methods with Simulation", 2009, eq. 3.6 (binary logit).
    """

    def probabilities(self, utilities: Tensor) -> Tensor:
        """Returns sigmoid(u)."""
        return torch.sigmoid(utilities)

    def sample(self, utilities: Tensor, attraction: Tensor, examination: Tensor) -> Tensor:
        """Clicks what attracts."""
        return attraction < torch.sigmoid(utilities)


@dataclass(frozen=True, slots=True)
class MultinomialLogit:
    """At most one click: P(click i) = exp(u_i) / (exp(u_none) + sum_j exp(u_j)).

    Attributes:
        no_choice: u_none, utility of choosing nothing, in logits. At 0 a slate of one is `Independent`.

    Reference: McFadden, "Conditional logit analysis of qualitative choice behavior", 1974; with the no-choice option
        as in Ie et al., "RecSim", 2019, arXiv:1909.04847, section 4.
    """

    no_choice: float = 0.0

    def __post_init__(self) -> None:
        between("no_choice", self.no_choice, -30, 30)

    def probabilities(self, utilities: Tensor) -> Tensor:
        """Returns each position's share of choices; what is missing to 1 is no choice."""
        # By hand: a softmax over rows as short as a slate costs several times as much.
        top = utilities.amax(dim=1, keepdim=True).clamp_min(self.no_choice)
        mass = torch.exp(utilities - top)
        return mass / (mass.sum(dim=1, keepdim=True) + torch.exp(self.no_choice - top))

    def sample(self, utilities: Tensor, attraction: Tensor, examination: Tensor) -> Tensor:
        """Inverts the distribution function at the first uniform of `examination`."""
        upper = self.probabilities(utilities).cumsum(dim=1)
        chosen = (examination[:, :1] >= upper).sum(dim=1, keepdim=True)
        return chosen == torch.arange(utilities.shape[1], device=utilities.device)


@dataclass(frozen=True, slots=True)
class PositionBased:
    """A click needs examination and attraction: P(click at r) = theta_r sigmoid(u_r).

    Attributes:
        examination: theta_r for every position, each in [0, 1].

    Reference: Richardson, Dominowska & Ragno, "Predicting Clicks", WWW 2007; Chuklin, Markov & de Rijke, "Click Models
        for Web Search", 2015, section 3.3.
    """

    examination: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.examination:
            raise SimulatorError("examination is empty; give one probability a position")
        for position, theta in enumerate(self.examination):
            probability(f"examination[{position}]", theta)

    @classmethod
    def reciprocal(cls, slate_size: int, eta: float = 1.0) -> PositionBased:
        """Returns theta_r = (1 / r)^eta, the usual shape of position bias (Joachims et al., 2017, arXiv:1608.04468)."""
        between("eta", eta, 0, 10)
        return cls(tuple((1 / rank) ** eta for rank in range(1, slate_size + 1)))

    def _theta(self, utilities: Tensor) -> Tensor:
        if utilities.shape[1] > len(self.examination):
            raise SimulatorError(
                f"examination has {len(self.examination)} positions, the slate {utilities.shape[1]}; give one for each"
            )
        return torch.tensor(self.examination[: utilities.shape[1]], dtype=utilities.dtype, device=utilities.device)

    def probabilities(self, utilities: Tensor) -> Tensor:
        """Returns theta_r sigmoid(u_r)."""
        return self._theta(utilities) * torch.sigmoid(utilities)

    def sample(self, utilities: Tensor, attraction: Tensor, examination: Tensor) -> Tensor:
        """Clicks what is looked at and attracts."""
        return (examination < self._theta(utilities)) & (attraction < torch.sigmoid(utilities))


@dataclass(frozen=True, slots=True)
class Cascade:
    """The user reads from the top, clicks the first item that attracts, and stops; may give up after any other.

    P(click at r) = sigmoid(u_r) prod_{s < r} (1 - sigmoid(u_s)) persistence.

    Attributes:
        persistence: probability of reading on after an item that did not attract, in [0, 1].

    Reference: Craswell et al., "An experimental comparison of click position-bias models", WSDM 2008, section 3.4;
        giving up is Chapelle & Zhang, "A dynamic Bayesian network click model", WWW 2009, gamma.
    """

    persistence: float = 1.0

    def __post_init__(self) -> None:
        probability("persistence", self.persistence)

    def probabilities(self, utilities: Tensor) -> Tensor:
        """Returns the probability of reaching a position times that of liking what is there."""
        like = torch.sigmoid(utilities)
        reached = torch.cumprod(torch.cat([torch.ones_like(like[:, :1]), (1 - like[:, :-1]) * self.persistence], 1), 1)
        return reached * like

    def sample(self, utilities: Tensor, attraction: Tensor, examination: Tensor) -> Tensor:
        """Walks down the slate with both kinds of uniforms."""
        like = attraction < torch.sigmoid(utilities)
        goes_on = ~like & (examination < self.persistence)
        reached = torch.cumprod(torch.cat([torch.ones_like(like[:, :1]), goes_on[:, :-1]], dim=1).to(torch.int8), dim=1)
        return like & reached.bool()
