"""What guards against harm cost, and whom they save: cross-fitted people, greedy, the empirical-Bayes start.

    python -m tests.learning.guards --splits 5 --out guards.json

Every meta-train user plays in the space of the fold that left them out. Harmed: strictly fewer hits after 40 steps than
the unadapted policy. Figures are means over people, a person's splits averaged first, paired with no guard.
"""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig, load_config
from metarl_rec.inner_params import InnerParams
from metarl_rec.pipeline import machine
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem
from metarl_rec.protocols.result import measured
from metarl_rec.statistics import by_user
from metarl_rec.tasks import TaskSpace
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace

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


def played(problem: Problem, config: RunConfig, space: TaskSpace, users: NDArray[np.int64]) -> dict[str, Any]:
    """Returns each user's hits by guard, and those of the unadapted policy."""
    gain = config.prior.attribute_gain
    starts = space.starts(problem.user_vectors[users], np.zeros(space.features.shape[1]), gain)

    def total(policy: OnlinePolicy) -> NDArray[np.float64]:
        rewards = cold_start_rewards(problem, policy, users, config.seed, "guards")
        return np.asarray(rewards.sum(axis=1), np.float64)

    hits = {"unadapted": total(FixedPolicy(space.popularity + starts @ space.features.T))}
    for name, (make, changes) in GUARDS.items():
        inner: InnerParams = config.inner.model_copy(update=changes)
        hits[name] = total(make(space.features, space.popularity, starts, inner, greedy=True))
    return hits


def main() -> None:
    """Plays every guard on every split, prints the table and writes each person's hits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workdir", type=Path, default=Path("metarl-data"), help="workspace with an imported data set")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    share_cores()
    people: list[str] = []
    parts: list[dict[str, Any]] = []
    for split in range(asked.splits):
        config = load_config(None, [f"seed={split}"])
        problem = split_problem(Workspace(asked.workdir), config)
        for space, users in problem.folds:
            people += [problem.dataset.user_ids[user] for user in users]
            parts.append(played(problem, config, space, users))
        print(f"split {split} played", flush=True)
    hits = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    print("| guard | hits | minus none | harmed | minus none, points |\n|---|---|---|---|---|")
    for name in GUARDS:
        harmed, without = (100.0 * (hits[each] < hits["unadapted"]) for each in (name, NONE))
        gap = measured(by_user(people, hits[name] - hits[NONE]), sign=True)
        points = measured(by_user(people, harmed - without), 1, sign=True)
        print(f"| {name} | {hits[name].mean():.2f} | {gap} | {harmed.mean():.1f} % | {points} |")
    report = {"machine": machine(), "splits": asked.splits, "users": people}
    hits_of = {name: [int(value) for value in values] for name, values in hits.items()}
    asked.out.write_text(json.dumps({**report, "hits": hits_of}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
