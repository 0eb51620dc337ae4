"""Which training population serves held-out real users best: logged, latent-factor, or both in turn.

    python -m tests.learning.training_population --splits 4 --out tests/learning/training_population.json

Everything but the population is the default configuration. Judged on the validation users' real ratings, adapting after
every interaction; the start, before any update, competes as in every run, and the last update stands beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from metarl_rec.atomic import bundled_ml_100k
from metarl_rec.config import RunConfig, TrainConfig
from metarl_rec.dataset import split_users
from metarl_rec.preparing import split_embeddings
from metarl_rec.problem import build_problem
from metarl_rec.provenance import machine
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train

POPULATIONS = ("logged", "latent", "mixed")


def main() -> None:
    """Trains every population on every split, prints the table and writes the raw figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=80)
    parser.add_argument("--simulated-users", type=int, help="latent-factor users an iteration; the fold's count")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    share_cores()
    runs = []
    for seed in range(asked.splits):
        base = RunConfig(seed=seed)
        dataset = bundled_ml_100k().filter(min_positives=base.min_positives, threshold=base.threshold)
        split = split_users(len(dataset.user_ids), seed)
        embeddings = split_embeddings(dataset, split.train, base)
        for population in POPULATIONS:
            train = TrainConfig(
                population=population, iterations=asked.iterations, simulated_users=asked.simulated_users
            )
            config = base.model_copy(update={"train": train})
            result = meta_train(build_problem(dataset, split, embeddings, config), config)
            runs.append({"seed": seed, "population": population, "history": result.history})
            start, last = result.history[0][2], result.history[-1][2]
            print(f"split {seed}, {population}: {start:.2f} at the start, {last:.2f} after training", flush=True)
    for population in POPULATIONS:
        gains = np.array([r["history"][-1][2] - r["history"][0][2] for r in runs if r["population"] == population])
        best = np.array([max(h[2] for h in r["history"]) for r in runs if r["population"] == population])
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
        print(f"{population}: last minus start {gains.mean():+.2f} ± {error:.2f} over splits; best {best.mean():.2f}")
    if asked.out:
        context = {"machine": machine(), "iterations": asked.iterations, "simulated_users": asked.simulated_users}
        asked.out.write_text(json.dumps({"context": context, "runs": runs}) + "\n")


if __name__ == "__main__":
    main()
