"""Graded feedback: star ratings and dwell times, from the same utilities as clicks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.checks import at_least, between
from simulator.errors import SimulatorError

__all__ = ["DwellTime", "StarRating"]


@dataclass(frozen=True, slots=True)
class StarRating:
    """Ordered logit: P(stars > s) = sigmoid(u - cut_s), s = 1 .. S - 1.

    Attributes:
        cuts: ascending thresholds in logits; with S - 1 of them there are S stars. The default has its third at 0,
            so that P(stars >= 4) = sigmoid(u), the probability of a like.

    Reference: McCullagh, "Regression models for ordinal data", J. R. Statist. Soc. B 42 (1980), eq. 2.4.
    """

    cuts: tuple[float, ...] = (-3.0, -1.7, 0.0, 1.7)

    def __post_init__(self) -> None:
        if not self.cuts or any(not math.isfinite(cut) for cut in self.cuts):
            raise SimulatorError("cuts must hold at least one finite threshold")
        if any(low >= high for low, high in zip(self.cuts, self.cuts[1:], strict=False)):
            raise SimulatorError(f"cuts {self.cuts} must ascend")

    def probabilities(self, utilities: Tensor) -> Tensor:
        """Returns P(stars = 1 .. S) [..., S] of utilities [...]."""
        cuts = torch.tensor(self.cuts, dtype=utilities.dtype, device=utilities.device)
        above = torch.sigmoid(utilities.unsqueeze(-1) - cuts)
        one, zero = torch.ones_like(above[..., :1]), torch.zeros_like(above[..., :1])
        return torch.cat([one, above], dim=-1) - torch.cat([above, zero], dim=-1)

    def sample(self, utilities: Tensor, attraction: Tensor) -> Tensor:
        """Returns stars [...] int64, 1 .. S; the uniform that makes a like makes four stars or more."""
        cuts = torch.tensor(self.cuts, dtype=utilities.dtype, device=utilities.device)
        return 1 + (attraction.unsqueeze(-1) < torch.sigmoid(utilities.unsqueeze(-1) - cuts)).sum(dim=-1)


@dataclass(frozen=True, slots=True)
class DwellTime:
    """Seconds spent with a clicked item: log-normal, longer for what is liked more.

    log seconds ~ N(log(median) + slope * u, sigma^2).

    Attributes:
        median: seconds at utility 0, > 0.
        slope: change of log seconds per logit.
        sigma: spread of log seconds, >= 0.

    Reference: Yi et al., "Beyond clicks: dwell time for personalization", RecSys 2014, section 3 (log-normal fits).
    """

    median: float = 60.0
    slope: float = 0.3
    sigma: float = 1.0

    def __post_init__(self) -> None:
        at_least("median", self.median, 1e-6)
        between("slope", self.slope, -10, 10)
        at_least("sigma", self.sigma, 0)

    def mean(self, utilities: Tensor) -> Tensor:
        """Returns the expected seconds of a click."""
        return torch.exp(math.log(self.median) + self.slope * utilities + self.sigma**2 / 2)

    def sample(self, utilities: Tensor, noise: Tensor, clicked: Tensor) -> Tensor:
        """Returns seconds float32, 0 where there is no click.

        Args:
            utilities: [...], logits.
            noise: [...], standard normal numbers.
            clicked: [...] bool.
        """
        seconds = torch.exp(math.log(self.median) + self.slope * utilities + self.sigma * noise)
        return torch.where(clicked, seconds, torch.zeros_like(seconds)).to(torch.float32)
