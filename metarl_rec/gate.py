"""Which meta-parameters ship: those by which people gain beyond a standard error, where harm counts as a loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.validate import Validation

__all__ = ["improves", "worth"]


def improves(candidate: Validation, best: Validation, start: Validation, harm_cost: float) -> bool:
    """Returns whether a candidate takes the place of the best so far, be it another start or what was meta-trained.

    What counts for each person is their reward, less `harm_cost` where adapting harmed them. The candidate's mean must
    be above the best one's, and above the start's by more than one standard error of the paired difference: of many
    candidates that are no better than the start, one is always ahead by luck.

    Args:
        candidate: as validated.
        best: the best validation so far.
        start: the validation of what stays without evidence, of the same people.
        harm_cost: rewards that a harmed person counts as having lost besides, >= 0.
    """
    mine = worth(candidate, harm_cost)
    gain = mine - worth(start, harm_cost)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    return float(mine.mean()) > float(worth(best, harm_cost).mean()) and float(gain.mean()) > error


def worth(validation: Validation, harm_cost: float) -> NDArray[np.float64]:
    """Returns what each person who judges got, less `harm_cost` where adapting harmed them."""
    return np.array(validation.rewards, np.float64) - harm_cost * np.array(validation.harmed, np.float64)
