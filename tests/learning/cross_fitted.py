"""Meta-train users as judges of what is tried: each plays in the space of the fold that left them out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig, load_config
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem
from metarl_rec.protocols.result import measured
from metarl_rec.provenance import machine
from metarl_rec.statistics import by_user
from metarl_rec.tasks import TaskSpace
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace

__all__ = ["Fold", "arguments", "judge"]

UNADAPTED = "unadapted"


@dataclass(frozen=True, slots=True)
class Fold:
    """Some meta-train users of a split, and what was fitted without them.

    Attributes:
        problem: the split's.
        config: the split's.
        space: fitted on the other meta-train users.
        users: [N] int64, who play.
        number: of the fold within its split.
    """

    problem: Problem
    config: RunConfig
    space: TaskSpace
    users: NDArray[np.int64]
    number: int

    def starts(self, space: TaskSpace | None = None) -> NDArray[np.float32]:
        """Returns w0 [N, D] of the users in their space or another one, with the gain of attributes before training."""
        space = space or self.space
        return space.prior_means(self.problem.user_vectors[self.users], self.config.prior.attribute_gain)

    def hits(self, policy: OnlinePolicy) -> NDArray[np.float64]:
        """Returns each user's hits at 40."""
        rewards = cold_start_rewards(self.problem, policy, self.users, self.config.seed, "cross-fitted")
        return np.asarray(rewards.sum(axis=1), np.float64)


def arguments(about: str | None, splits: int) -> argparse.Namespace:
    """Returns what the command line says: `workdir`, `splits`, `out`."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("--workdir", type=Path, default=Path("metarl-data"), help="workspace with an imported data set")
    parser.add_argument("--splits", type=int, default=splits)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def judge(
    asked: argparse.Namespace,
    policies: Callable[[list[Fold]], Iterator[tuple[Fold, str, OnlinePolicy]]],
    reference: str,
    names: Sequence[str],
) -> None:
    """Plays every policy on every split, prints the table and writes each person's hits.

    Args:
        asked: see `arguments`.
        policies: from a split's folds to each fold's policies by name.
        reference: the name that the others are paired with.
        names: all names, in the order of the table.
    """
    share_cores()
    people: list[str] = []
    hits: dict[str, list[NDArray[np.float64]]] = {UNADAPTED: [], **{name: [] for name in names}}
    for split in range(asked.splits):
        config = load_config(None, [f"seed={split}"])
        problem = split_problem(Workspace(asked.workdir), config)
        folds = [Fold(problem, config, *fitted, number) for number, fitted in enumerate(problem.folds)]
        for fold in folds:
            people += [problem.dataset.user_ids[user] for user in fold.users]
            before = FixedPolicy(fold.space.popularity + fold.starts() @ fold.space.features.T)
            hits[UNADAPTED].append(fold.hits(before))
        for fold, name, policy in policies(folds):
            hits[name].append(fold.hits(policy))
        print(f"split {split} played", flush=True)
    joined = {name: np.concatenate(parts) for name, parts in hits.items()}
    _print_table(people, joined, reference, names)
    report: dict[str, Any] = {"machine": machine(), "splits": asked.splits, "users": people}
    report["hits"] = {name: [int(value) for value in values] for name, values in joined.items()}
    asked.out.write_text(json.dumps(report) + "\n", encoding="utf-8")


def _print_table(people: list[str], hits: dict[str, NDArray[np.float64]], reference: str, names: Sequence[str]) -> None:
    print(f"| what | hits | minus {reference} | harmed | minus {reference}, points |\n|---|---|---|---|---|")
    for name in names:
        harmed, without = (100.0 * (hits[each] < hits[UNADAPTED]) for each in (name, reference))
        gap = measured(by_user(people, hits[name] - hits[reference]), sign=True)
        points = measured(by_user(people, harmed - without), 1, sign=True)
        print(f"| {name} | {hits[name].mean():.2f} | {gap} | {harmed.mean():.1f} % | {points} |")
