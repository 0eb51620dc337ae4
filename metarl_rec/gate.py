"""Which meta-parameters ship: those by which people gain beyond a standard error, where harm counts as a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metarl_rec.validate import Validation

__all__ = ["best_of", "improves", "worth"]


def best_of(worths: Sequence[NDArray[np.float64]]) -> int:
    """Returns which of several choices has the greatest mean, of those that are ahead of the first by more than one
    standard error of the paired difference; the first stays where none is.

    Of many choices that are no better than the first, one is always ahead by luck.

    Args:
        worths: what each choice gives the same N people, [N] each.
    """
    ahead = [0, *(rival for rival in range(1, len(worths)) if _ahead(worths[rival], worths[0]))]
    return max(ahead, key=lambda choice: float(worths[choice].mean()))


def _ahead(candidate: NDArray[np.float64], start: NDArray[np.float64]) -> bool:
    gain = candidate - start
    return float(gain.mean()) > float(gain.std(ddof=1) / np.sqrt(len(gain)))


def improves(candidate: Validation, best: Validation, start: Validation, harm_cost: float) -> bool:
    """Returns whether meta-trained parameters take the place of the best so far, as `best_of` would have it.

    What counts for each person is their reward, less `harm_cost` where adapting harmed them.

    Args:
        candidate: as validated.
        best: the best validation so far.
        start: the validation of what stays without evidence, of the same people.
        harm_cost: rewards that a harmed person counts as having lost besides, >= 0.
    """
    mine = worth(candidate, harm_cost)
    return float(mine.mean()) > float(worth(best, harm_cost).mean()) and _ahead(mine, worth(start, harm_cost))


def worth(validation: Validation, harm_cost: float) -> NDArray[np.float64]:
    """Returns what each person who judges got, less `harm_cost` where adapting harmed them."""
    return np.array(validation.rewards, np.float64) - harm_cost * np.array(validation.harmed, np.float64)
