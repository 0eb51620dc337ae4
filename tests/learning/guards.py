"""What guards against harm cost, and whom they save: cross-fitted people, greedy, the empirical-Bayes start.

    python -m tests.learning.guards --splits 5 --out guards.json

Every meta-train user plays in the space of the fold that left them out. Harmed: strictly fewer hits after 40 steps than
the unadapted policy. Figures are means over people, a person's splits averaged first, paired with no guard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.inner_params import InnerParams
from metarl_rec.policies import OnlinePolicy
from tests.learning.cross_fitted import Fold, arguments, judge

NONE, STEPS = "none", 40


class ListBonus(AdaptedPolicy):
    """Adds a bonus to the values of all items among the `STEPS` that the unadapted policy would show."""

    def __init__(self, *args: Any, bonus: float, **options: Any) -> None:
        super().__init__(*args, **options)
        before = self._popularity + self._starts @ self._features.T
        self._bonus = np.zeros_like(before)
        listed = np.argsort(-before, axis=1, kind="stable")[:, :STEPS]
        np.put_along_axis(self._bonus, listed, np.float32(bonus), axis=1)

    def values(self) -> NDArray[np.float32]:
        return super().values() + self._bonus


class PartOfTheWay(AdaptedPolicy):
    """Goes a share of the way from the unadapted values to the adapted ones."""

    def __init__(self, *args: Any, share: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._share = np.float32(share)

    def values(self) -> NDArray[np.float32]:
        weights = self._starts + self._share * (self.weights - self._starts)
        return self._popularity + weights @ self._features.T


def noises(missed: float, liked: float) -> dict[str, Any]:
    """Returns the inner setting for residual variances of rewards of 0 and of 1."""
    first = -math.log(missed)
    return {"value_weight": (first, -math.log(liked) - first, 0.0, 0.0)}


GUARDS: dict[str, tuple[Any, dict[str, Any]]] = {
    NONE: (AdaptedPolicy, {}),
    **{f"list bonus {bonus:g}": (partial(ListBonus, bonus=bonus), {}) for bonus in (0.005, 0.01, 0.02, 0.03, 0.05)},
    **{f"{share:g} of the way": (partial(PartOfTheWay, share=share), {}) for share in (0.95, 0.9, 0.8)},
    **{f"caution {caution}": (AdaptedPolicy, {"caution": caution}) for caution in (1, 2, 4)},
    **{
        f"noise {a:g} and {b:g}": (AdaptedPolicy, noises(a, b))
        for a, b in ((0.15, 0.15), (0.2, 0.2), (0.25, 0.15), (0.3, 0.15), (0.3, 0.3))
    },
}


def policies(folds: list[Fold]) -> Iterator[tuple[Fold, str, OnlinePolicy]]:
    """Yields every guard for every fold."""
    for fold in folds:
        space = fold.space
        for name, (make, changes) in GUARDS.items():
            inner: InnerParams = fold.config.inner.model_copy(update=changes)
            yield fold, name, make(space.features, space.popularity, fold.starts(), inner, greedy=True)


if __name__ == "__main__":
    judge(arguments(__doc__, 5), policies, NONE, list(GUARDS))
