"""Plays one public recommender simulator under a uniformly random policy and prints its user-steps per CPU second.

Run it with the python of an environment made from the requirements beside it; it imports nothing of this project:

    python worker.py recogym --seconds 3 --items 10

A user-step is one recommendation (an item or a slate) shown to one user and answered by that user. Seconds are CPU
seconds of this process, on one thread, after construction and warm-up; what a simulator does between two
recommendations (a new user, organic browsing, new candidates) is part of its cost, drawing the random actions is too.
Both packages run unchanged, as shipped, and no wrapper is paid for. RecSim can also let many users choose from the same
new candidates (--users 100), which costs less for each of them.

Reference: Rohde et al., "RecoGym" (2018), arXiv:1808.00720; Ie et al., "RecSim" (2019), arXiv:1909.04847.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version

# Read when numpy, numba and TensorFlow are first imported, so set before any of them is.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_threads] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np  # noqa: E402 - after the thread settings above

__all__ = ["Player", "play_recogym", "play_recsim"]

Player = tuple[dict[str, object], Callable[[int], int]]
"""Fields of the report, and a function that offers so many recommendations and returns the user-steps they made."""

CHUNK = 500  # recommendations between two looks at the clock
WARM_UP = 2_000  # user-steps; the first ones compile numba functions
SLATE = 2  # as in RecSim's own example
RESPONSE_MODELS = {
    "recogym": "Bernoulli click, probability a nested sigmoid of a latent-factor score; interests drift while browsing",
    "recsim-interest-evolution": "multinomial proportional choice with a no-click option; interests drift, time budget",
    "recsim-interest-exploration": "multinomial logit choice with a no-click option; fixed topic affinities",
    "recsim-long-term-satisfaction": "always the first item; log-normal engagement scaled by a latent satisfaction",
}


def play_recogym(items: int, seed: int) -> Player:
    """RecoGym's reco-gym-v1 with its default configuration, save for the number of products.

    The class registered as reco-gym-v1 is built directly: gym.make would only add wrappers around each step.
    """
    from recogym import env_1_args
    from recogym.envs import RecoEnv1

    env = RecoEnv1()
    env.init_gym({**env_1_args, "num_products": items, "random_seed": seed})
    rng = np.random.default_rng(seed)
    user, done = 0, True

    def play(steps: int) -> int:
        nonlocal user, done
        for action in rng.integers(items, size=steps).tolist():
            while done:
                env.reset(user)
                # The visit before the first recommendation: not a user-step, and the user may leave within it.
                _, _, done, _ = env.step(None)
                user += 1
            _, _, done, _ = env.step(action)
        return steps

    settings = {name: value for name, value in vars(env.config).items() if isinstance(value, bool | int | float)}
    return {"environment": "reco-gym-v1", "slate": 1, "settings": settings}, play


def play_recsim(simulator: str, items: int, users: int, seed: int) -> Player:
    """One of RecSim's three environments; items are the candidates, drawn anew at each step (RecSim's default).

    The environment inside the gym wrapper is stepped: the wrapper would only copy the responses into dictionaries.
    More than one user needs RecSim's MultiUserEnvironment, made of the same user models and document sampler; there a
    user whose session is over is asked no more, and counted no more, until the others have ended theirs.
    """
    from recsim.simulator.environment import MultiUserEnvironment

    name = simulator.removeprefix("recsim-").replace("-", "_")
    module = importlib.import_module(f"recsim.environments.{name}")
    settings = {"num_candidates": items, "slate_size": SLATE, "resample_documents": True}
    made = [module.create_environment({**settings, "seed": seed + user}) for user in range(users)]
    made[0].seed(seed)  # the choice models draw from numpy's global state
    env = made[0].environment
    if users > 1:
        models = [each.environment.user_model for each in made]
        env = MultiUserEnvironment(models, env._document_sampler, items, SLATE, resample_documents=True)
    rng = np.random.default_rng(seed)
    done = True

    def play(steps: int) -> int:
        nonlocal done
        # Without replacement: the positions of the smallest of as many uniform numbers as there are candidates.
        slates = rng.random((max(steps // users, 1), users, items)).argsort(axis=2)[..., :SLATE].tolist()
        answered = 0
        for slate in slates:
            if done:
                env.reset()
            _, _, responses, done = env.step(slate if users > 1 else slate[0])
            answered += users - responses.count([]) if users > 1 else 1
        return answered

    return {"environment": name, "slate": SLATE, "settings": settings}, play


def main() -> None:
    """Play for the CPU seconds asked for and print one line of JSON."""
    parser = argparse.ArgumentParser(description="User-steps per CPU second of a public recommender simulator.")
    parser.add_argument("simulator", choices=list(RESPONSE_MODELS))
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU seconds to play for, after warm-up")
    parser.add_argument("--items", type=int, default=10, help="products (RecoGym) or candidates of a step (RecSim)")
    parser.add_argument("--users", type=int, default=1, help="users that share a step's candidates (RecSim)")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.seconds <= 0 or asked.items < SLATE:
        parser.error(f"got {asked.seconds} seconds and {asked.items} items; give more than 0 and at least {SLATE}")
    if asked.users < 1 or (asked.users > 1 and asked.simulator == "recogym"):
        parser.error(f"--users is {asked.users}; give 1, or more than 1 with RecSim")
    if asked.simulator == "recogym":
        report, play = play_recogym(asked.items, asked.seed)
    else:
        report, play = play_recsim(asked.simulator, asked.items, asked.users, asked.seed)
    play(WARM_UP)
    steps, seconds, start = 0, 0.0, time.process_time()
    while seconds < asked.seconds:
        steps += play(CHUNK)
        seconds = time.process_time() - start
    result = {
        "simulator": asked.simulator,
        "version": version(asked.simulator.partition("-")[0]),
        **report,
        "items": asked.items,
        "users": asked.users,
        "response_model": RESPONSE_MODELS[asked.simulator],
        "user_steps": steps,
        "seconds": round(seconds, 4),
        "user_steps_per_second": round(steps / seconds, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
