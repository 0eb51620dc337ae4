"""stable-baselines3's PPO, unmodified, learning on `metarl/Recommend-v0`: the curve against simple policies.

    python -m tests.learning.sb3_curve --seeds 3 --steps 300000

Every evaluation plays the same held-out users, half of the demonstration's population that training never draws. PPO
knows nothing of action masks, so it first has to learn not to show an item twice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

import simulator.gym  # noqa: F401 - registers the ids
from metarl_rec.provenance import machine
from simulator.demo import demo_users

OUT = Path(__file__).parent / "sb3"
HELD_OUT = 500
TRAIN_USERS = 50_000
N_ITEMS = 50
ENVS = 8

Chooser = Callable[[NDArray[np.float32], NDArray[np.int8]], NDArray[np.int64]]


class TrainUsers(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Draws users from the first half of the population only."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._random = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begins a session of a training user."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        return self.env.reset(seed=seed, options={"user": int(self._random.integers(TRAIN_USERS))})


def episode_rewards(choose: Chooser) -> NDArray[np.float64]:
    """Returns the reward of one session of each held-out user [HELD_OUT]."""
    envs = gymnasium.make_vec("metarl/Recommend-v0", num_envs=HELD_OUT, vectorization_mode="vector_entry_point")
    observations, info = envs.reset(seed=0, options={"user": list(range(TRAIN_USERS, TRAIN_USERS + HELD_OUT))})
    total, alive = np.zeros(HELD_OUT), np.ones(HELD_OUT, bool)
    while alive.any():
        observations, rewards, terminated, truncated, info = envs.step(choose(observations, info["action_mask"]))
        total += rewards * alive
        alive &= ~(terminated | truncated)
    return total


def of_random(seed: int) -> Chooser:
    """Returns a policy that shows unseen items uniformly."""
    random = np.random.default_rng(seed)
    return lambda _, mask: np.argmax(random.random(mask.shape) * mask, axis=1)


def of_popularity() -> Chooser:
    """Returns a policy that shows the item with the highest reward rate that has not been shown."""
    users, _ = demo_users(N_ITEMS, 0)
    rates = users.reward_probabilities(torch.arange(20_000)).mean(dim=0).numpy()
    return lambda _, mask: np.argmax(np.where(mask, rates, -1), axis=1)


class Curve(BaseCallback):
    """Evaluates the policy, sampling as it trains, every `every` steps."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.points = every, [(0, np.zeros(0))]

    def _on_training_start(self) -> None:
        self.points = [(0, self._rewards())]

    def _on_step(self) -> bool:
        if self.num_timesteps - self.points[-1][0] >= self.every:
            self.points.append((self.num_timesteps, self._rewards()))
        return True

    def _rewards(self) -> NDArray[np.float64]:
        return episode_rewards(lambda observations, _: self.model.predict(observations, deterministic=False)[0])


def main() -> None:
    """Trains, evaluates, writes curve.json and curve.png, and prints the end of the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--points", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ran_on = machine()
    simple = {"random": episode_rewards(of_random(0)), "popularity": episode_rewards(of_popularity())}
    curves = []
    for seed in range(asked.seeds):
        # By id it would ask for a render mode first, and warn that there is none.
        make = partial(gymnasium.make, "metarl/Recommend-v0")
        envs = make_vec_env(make, n_envs=ENVS, seed=seed, wrapper_class=TrainUsers)
        curve = Curve(asked.steps // asked.points)
        PPO("MlpPolicy", envs, n_steps=256, batch_size=256, seed=seed, device="cpu").learn(asked.steps, callback=curve)
        curves.append(curve.points)
        print(seed, *(f"{steps}: {rewards.mean():.2f}" for steps, rewards in curve.points), flush=True)
    final = np.mean([points[-1][1] for points in curves], axis=0)
    report: dict[str, Any] = {"final": {}}
    for name, rewards in simple.items():
        gap = final - rewards
        error = gap.std(ddof=1) / np.sqrt(HELD_OUT)
        report["final"][name] = {"ppo": float(final.mean()), "other": float(rewards.mean()), "gap": float(gap.mean())}
        report["final"][name]["standard_error"] = float(error)
        print(f"PPO {final.mean():.2f}, {name} {rewards.mean():.2f}: {gap.mean():+.2f} ± {error:.2f}")
    report |= {
        "machine": ran_on,
        "world_seed": 0,
        "seeds": list(range(asked.seeds)),
        "steps": asked.steps,
        "held_out_users": [TRAIN_USERS, TRAIN_USERS + HELD_OUT],
        "torch_threads": torch.get_num_threads(),
        "stable-baselines3": version("stable-baselines3"),
        "gymnasium": version("gymnasium"),
        "simple": {name: rewards.tolist() for name, rewards in simple.items()},
        "curves": [[(steps, rewards.tolist()) for steps, rewards in points] for points in curves],
    }
    OUT.mkdir(exist_ok=True)
    (OUT / "curve.json").write_text(json.dumps(report) + "\n")
    plot(curves, simple)


def plot(curves: list[list[tuple[int, NDArray[np.float64]]]], simple: dict[str, NDArray[np.float64]]) -> None:
    """Writes curve.png: mean episode reward of each seed, with the simple policies as lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for seed, points in enumerate(curves):
        steps, rewards = zip(*points, strict=True)
        means = np.array([r.mean() for r in rewards])
        errors = np.array([r.std(ddof=1) / np.sqrt(len(r)) for r in rewards])
        axes.plot(steps, means, color=f"C{seed}", label=f"PPO, seed {seed}")
        axes.fill_between(steps, means - errors, means + errors, color=f"C{seed}", alpha=0.15)
    for style, (name, rewards) in zip((":", "--"), simple.items(), strict=True):
        axes.axhline(rewards.mean(), color="0.4", linestyle=style, label=name)
    axes.set(xlabel="environment steps", ylabel="reward of a session, held-out users", title="metarl/Recommend-v0")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.72))
    figure.savefig(OUT / "curve.png", dpi=120)


if __name__ == "__main__":
    main()
