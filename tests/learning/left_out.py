"""What an outer loop is worth to people who are in nothing: not in the features, not in a fold, not in the outer loop.

    python -m tests.learning.left_out --out left_out.json
    python -m tests.learning.left_out --set prior.features=flat --set train.scale_rate=0.2 --out flat.json

A quarter of the meta-train users judges, the rest trains, four times. Cross-fitted users are no fair judges of what is
learned for each coordinate: a fold's space is turned onto the coordinates of the space of all meta-train users, and by
that the order of its axes knows them. Test users are not touched. Every result is paired with the empirical-Bayes start
of the default configuration on the same people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig, load_config
from metarl_rec.meta_params import MetaParams
from metarl_rec.preparing import prepared, split_embeddings
from metarl_rec.problem import Problem, build_problem
from metarl_rec.protocols.result import mean_and_error
from metarl_rec.provenance import machine
from metarl_rec.statistics import by_user
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train, start_of
from metarl_rec.workspace import Workspace

PARTS = 4


def settings(split: int, assignments: Sequence[str]) -> RunConfig:
    """Returns the settings of `start` and `trained`, between which the outer loop alone is to differ."""
    config = load_config(None, [*assignments, f"seed={split}"])
    return config.model_copy(update={"train": config.train.ungated()})


def gaps(rows: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    """Returns each person's hits less the reference's, averaged over the splits in which they judged."""
    people = [user for row in rows for user in row["users"]]
    return by_user(people, np.concatenate([np.subtract(row[name], row["reference"]) for row in rows]))


def hits(problem: Problem, meta: MetaParams, judges: NDArray[np.int64], config: RunConfig) -> NDArray[np.float64]:
    """Returns each judge's reward over the protocol's steps, sampled as served."""
    space = meta.scaled(problem.space)
    starts = space.starts(problem.user_vectors[judges], meta.initialization.numpy(), float(meta.attribute_gain))
    policy = AdaptedPolicy(space.features, space.popularity, starts, meta.inner_params(config.inner))
    rewards = cold_start_rewards(problem, policy, judges, config.seed, "left out")
    return np.asarray(rewards.sum(axis=1), np.float64)


def main() -> None:
    """Trains and judges every part of every split, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workdir", type=Path, default=Path("metarl-data"), help="workspace with an imported data set")
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="a setting, as `metarl-rec train --set` takes it")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    share_cores()
    rows: list[dict[str, Any]] = []
    for split in range(asked.splits):
        base = load_config(None, [f"seed={split}"])
        config = settings(split, asked.set)
        dataset, users = prepared(Workspace(asked.workdir), config)
        for part, judges in enumerate(np.array_split(users.train, PARTS)):
            rest = replace(users, train=users.train[~np.isin(users.train, judges)])
            embeddings = split_embeddings(dataset, rest.train, config)
            plain, problem = (build_problem(dataset, rest, embeddings, each) for each in (base, config))
            row = {
                "split": split,
                "part": part,
                "users": [dataset.user_ids[judge] for judge in judges],
                "reference": hits(plain, start_of(plain, base), judges, base).tolist(),
                "start": hits(problem, start_of(problem, config), judges, config).tolist(),
                "trained": hits(problem, meta_train(problem, config).last, judges, config).tolist(),
            }
            rows.append(row)
            means = {name: f"{np.mean(row[name]):.2f}" for name in ("reference", "start", "trained")}
            print(f"split {split}, part {part}: {means}", flush=True)
    for name in ("start", "trained"):
        gap, error = mean_and_error(gaps(rows, name))
        print(f"{name} minus the empirical-Bayes start: {gap:+.2f} ± {error:.2f}")
    report = {"machine": machine(), "settings": asked.set, "splits": asked.splits, "rows": rows}
    asked.out.write_text(json.dumps(report) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
