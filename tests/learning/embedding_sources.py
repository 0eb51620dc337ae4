"""Which item embedding serves best? Validation reward of every source under the empirical-Bayes start, split by split.

    python -m tests.learning.embedding_sources --splits 5 --out tests/learning/embedding_sources.json

Users: ML-100K, >= 50 positives; each split's embedding is trained on its meta-train users only and judged on its
validation users, adapting after every interaction. Test users are not touched.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from metarl_rec.atomic import bundled_ml_100k
from metarl_rec.config import load_config
from metarl_rec.cross_fitting import folded_embeddings, side_by_side
from metarl_rec.dataset import split_users
from metarl_rec.populations import TrainingPopulations
from metarl_rec.problem import build_problem
from metarl_rec.protocols.result import mean_and_error
from metarl_rec.provenance import machine
from metarl_rec.threads import share_cores
from metarl_rec.train import start_of
from metarl_rec.validate import validate

SOURCES = {"svd": 128, "ENMF": 64, "BPR": 64, "LightGCN": 64, "NeuMF": 64, "SimpleX": 64, "svd+ENMF": 64}


def main() -> None:
    """Runs the comparison and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    share_cores()
    rewards: dict[str, list[float]] = {name: [] for name in SOURCES}
    seconds: dict[str, list[float]] = {name: [] for name in SOURCES}
    for seed in range(arguments.splits):
        alone = ["train.validation_repeats=8", "train.jury_users=0", "train.folds=2"]
        config = load_config(None, [f"seed={seed}", *alone])
        dataset = bundled_ml_100k().filter(min_positives=config.min_positives)
        split = split_users(len(dataset.user_ids), seed)
        for name, dim in SOURCES.items():
            started = time.perf_counter()
            parts = [
                folded_embeddings(dataset, split.train, config.train.folds, model=m, dim=dim, seed=seed)
                for m in name.split("+")
            ]
            # One embedding of all train users, two without a half of them, which nobody here plays in.
            seconds[name].append((time.perf_counter() - started) / (1 + config.train.folds))
            problem = build_problem(dataset, split, side_by_side(parts), config)
            meta = start_of(problem, config)
            rewards[name].append(validate(TrainingPopulations.fit(problem, config), meta).after)
            print(f"split {seed} {name:10s} {rewards[name][-1]:.2f} ({seconds[name][-1]:.1f} s)", flush=True)
    made = report(rewards, seconds)
    arguments.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def report(rewards: dict[str, list[float]], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Returns every source's mean reward over splits, paired with svd's, and says it."""
    table = {}
    for name, values in rewards.items():
        gap, error = mean_and_error(np.subtract(values, rewards["svd"]))
        table[name] = {"mean": float(np.mean(values)), "minus_svd": gap, "standard_error": error}
        print(f"{name:10s} mean {np.mean(values):.2f}  minus svd {gap:+.2f} +- {error:.2f} (over splits)")
    seeds = list(range(len(rewards["svd"])))
    return {"machine": machine(), "seeds": seeds, "table": table, "rewards": rewards, "seconds": seconds}


if __name__ == "__main__":
    main()
