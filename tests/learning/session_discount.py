"""What a discount is worth: one trainer with gamma 0 and above, in a world that people leave and in one that is static.

    python -m tests.learning.session_discount --seeds 5 --out tests/learning/session_discount.json

For each seed the users of ML-100K are split as everywhere; tasks are users drawn from priors fitted on the folds'
meta-train users, validation picks the iteration in the same world, and both arms are judged on the same users drawn
from a prior fitted on the split's test users. Only the discount differs between the arms: nobody chooses another start.
Both start at a fatigue that is good without any training, so that what a discount teaches is not merely to have one.
Differences are paired by user; standard errors are over seeds' means as well as over users.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.atomic import bundled_ml_100k
from metarl_rec.config import STARTS, RunConfig, TrainConfig
from metarl_rec.dataset import split_users
from metarl_rec.fatigue import RETENTIONS
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams
from metarl_rec.populations import fit_prior_on
from metarl_rec.preparing import split_embeddings
from metarl_rec.problem import Problem, build_problem
from metarl_rec.provenance import machine
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train
from metarl_rec.worlds import PRESETS, WorldConfig, make_env

DISCOUNTS = (0.0, 0.9)
SESSION_LENGTH = 20
FATIGUE = 0.3
JUDGED_USERS = 500
STATIC, DYNAMIC = "static", "sessions"
JUDGING_SEED = 2_000_000_011
"""Beyond the seeds of every training's and validation's users and worlds."""


def settings(seed: int, discount: float, world: str) -> RunConfig:
    """Returns the configuration of one run; nothing but its arguments differs between runs."""
    return RunConfig(
        seed=seed,
        inner=InnerParams(discount=discount, fatigue=(FATIGUE,) * len(RETENTIONS)),
        train=TrainConfig(
            population="latent",
            form="session",
            session_length=SESSION_LENGTH,
            iterations=60,
            evaluate_every=20,
            simulated_users=64,
            validation_users=200,
            validation_repeats=1,
            fatigue_rate=0.3,
            world=WorldConfig.model_validate(PRESETS[world]),
            **dict.fromkeys(STARTS, ()),
        ),
    )


def problem_of(config: RunConfig) -> Problem:
    """Returns the fitted problem of one split of ML-100K."""
    dataset = bundled_ml_100k().filter(min_positives=config.min_positives, threshold=config.threshold)
    split = split_users(len(dataset.user_ids), config.seed)
    return build_problem(dataset, split, split_embeddings(dataset, split.train, config), config)


def judge(problem: Problem, meta: MetaParams, config: RunConfig, world: str) -> NDArray[np.float64]:
    """Returns the reward of each of JUDGED_USERS users over 40 steps of a world."""
    prior = fit_prior_on(problem.space, problem.rewards[problem.split.test])
    users = np.arange(JUDGED_USERS)
    starts = np.repeat(meta.initialization.numpy()[None, :], JUDGED_USERS, axis=0)
    inner = meta.inner_params(config.inner)
    policy = AdaptedPolicy(problem.space.features, problem.space.popularity, starts, inner, topics=problem.topics)
    env = make_env(
        WorldConfig.model_validate(PRESETS[world]),
        prior.draw(JUDGED_USERS, seed=JUDGING_SEED + config.seed),
        problem.topics,
        users,
        session_length=SESSION_LENGTH,
        discount=0.0,
        seed=JUDGING_SEED + config.seed,
    )
    return play(env, policy, config.train.horizon, generator(config.seed, "judge")).rewards.sum(
        axis=(1, 2), dtype=np.float64
    )


def run(seed: int, world: str) -> dict[str, Any]:
    """Trains both arms in a world and returns their rewards in it, and in the other world as well."""
    out: dict[str, Any] = {"seed": seed, "world": world, "arms": {}}
    for discount in DISCOUNTS:
        config = settings(seed, discount, world)
        problem = problem_of(config)
        began = time.perf_counter()
        result = meta_train(problem, config)
        out["arms"][str(discount)] = {
            "seconds": round(time.perf_counter() - began, 1),
            "best_iteration": result.best_iteration,
            "history": result.history,
            "fatigue": result.meta.inner_params(config.inner).fatigue,
            "rewards": {name: judge(problem, result.meta, config, name).tolist() for name in (STATIC, DYNAMIC)},
        }
    return out


def summarize(runs: list[dict[str, Any]], trained: str, judged: str) -> dict[str, float]:
    """Returns the paired difference between the arms, trained in one world and judged in one."""
    gaps = []
    for item in runs:
        if item["world"] == trained:
            low, high = (np.array(item["arms"][str(d)]["rewards"][judged]) for d in DISCOUNTS)
            gaps.append(high - low)
    means = np.array([gap.mean() for gap in gaps])
    pooled = np.concatenate(gaps)
    base = np.concatenate(
        [item["arms"][str(DISCOUNTS[0])]["rewards"][judged] for item in runs if item["world"] == trained]
    )
    return {
        "reward_without": float(base.mean()),
        "difference": float(means.mean()),
        "standard_error_over_seeds": float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan"),
        "standard_error_over_users": float(pooled.std(ddof=1) / np.sqrt(len(pooled))),
        "harmed": float((pooled < 0).mean()),
    }


def report(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the table of what was run so far, and the raw results."""
    pairs = ((DYNAMIC, DYNAMIC), (STATIC, STATIC), (DYNAMIC, STATIC))
    table = {
        f"trained in {trained}, judged in {judged}": summarize(runs, trained, judged)
        for trained, judged in pairs
        if any(item["world"] == trained for item in runs)
    }
    context = {"discounts": DISCOUNTS, "fatigue": FATIGUE, "machine": machine(), "world": PRESETS[DYNAMIC]}
    return {"context": context, "table": table, "runs": runs}


def main() -> None:
    """Runs all seeds and worlds, keeps every one that has finished, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--worlds", nargs="+", default=[DYNAMIC, STATIC], choices=[DYNAMIC, STATIC])
    parser.add_argument("--out", type=Path, required=True, help="written after every run")
    parser.add_argument("--join", type=Path, nargs="*", default=[], help="results of other or stopped calls to take in")
    asked = parser.parse_args()
    share_cores()
    runs = [item for path in asked.join for item in json.loads(path.read_text(encoding="utf-8"))["runs"]]
    for seed in range(asked.seeds):
        for world in asked.worlds:
            if not any(item["seed"] == seed and item["world"] == world for item in runs):
                runs.append(run(seed, world))
                asked.out.write_text(json.dumps(report(runs)) + "\n", encoding="utf-8")
                arms = runs[-1]["arms"].values()
                print(seed, world, *(f"{np.mean(arm['rewards'][world]):.2f}" for arm in arms), flush=True)
    result = report(runs)
    for name, row in result["table"].items():
        over_seeds, over_users = row["standard_error_over_seeds"], row["standard_error_over_users"]
        print(f"{name}: {row['reward_without']:.2f} with discount 0, {row['difference']:+.2f} with {DISCOUNTS[1]}")
        print(f"  ± {over_seeds:.2f} over seeds, ± {over_users:.2f} over users; {row['harmed']:.0%} have less")
    asked.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
