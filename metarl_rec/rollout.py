"""Roll-outs: a policy plays a batch of simulated or logged users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.policies import Feedback, OnlinePolicy, View
from simulator.env import BatchEnv
from simulator.types import Response

__all__ = ["Rollout", "play"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """What N users were shown over T steps, and what it gave.

    Attributes:
        items: [N, T, k] int32, -1 where a user was not present.
        rewards: [N, T, k] float32, as the world knows them, whether or not the policy ever did.
        expected: [N, T, k] float32, P(like) of what was shown, at that moment; 0 where a user was not present.
        present: [N, T] bool.
        terminated: [N, T] bool, the episode ended in the world.
        truncated: [N, T] bool, the episode was cut by the horizon.
    """

    items: NDArray[np.int32]
    rewards: NDArray[np.float32]
    expected: NDArray[np.float32]
    present: NDArray[np.bool_]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class _Inbox:
    """Answers on their way to the policy."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Feedback]] = {}

    def post(self, step: int, response: Response) -> None:
        """Takes one step's answers; those that never arrive are dropped."""
        delays = np.where(response.present.cpu().numpy(), response.delays.cpu().numpy(), -1)
        rewards = response.rewards.cpu().numpy()
        for delay in np.unique(delays[delays >= 0]):
            users = np.flatnonzero(delays == delay)
            feedback = Feedback(users, np.full(len(users), step), rewards[users])
            self._waiting.setdefault(step + int(delay), []).append(feedback)

    def arrivals(self, step: int, slate_size: int) -> Feedback:
        """Returns what arrives after this step."""
        parts = self._waiting.pop(step, [])
        if not parts:
            none = np.zeros(0, np.int64)
            return Feedback(none, none, np.zeros((0, slate_size), np.float32))
        return Feedback(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.steps for part in parts]),
            np.concatenate([part.rewards for part in parts]),
        )


def play(
    env: BatchEnv,
    policy: OnlinePolicy,
    steps: int,
    rng: np.random.Generator,
    on_step: Callable[[int, BatchEnv], None] | None = None,
) -> Rollout:
    """Returns the roll-out of `policy` on a freshly reset `env`.

    Args:
        env: N users; whoever has too few candidates left is not present any more.
        policy: begins anew; sees each reward when it arrives, at the earliest before its next choice.
        steps: T.
        rng: the policy's randomness; the users' is the environment's own.
        on_step: called before every step with its number, and once more after the last.
    """
    policy.begin(rng)
    observation = env.reset()
    users, width = len(observation.candidates), env.slate_size
    items = np.full((users, steps, width), -1, np.int32)
    rewards, expected = np.zeros((2, users, steps, width), np.float32)
    present, terminated, truncated = np.zeros((3, users, steps), np.bool_)
    inbox = _Inbox()
    for step in range(steps):
        if on_step is not None:
            on_step(step, env)
        here = observation.present.cpu().numpy().copy()
        view = View(observation.candidates.cpu().numpy(), here, observation.session_step.cpu().numpy(), width)
        decision = policy.act(view)
        observation, response = env.step(torch.from_numpy(decision.items.astype(np.int64)).to(env.device))
        expected[:, step] = torch.sigmoid(response.utilities).cpu().numpy() * here[:, None]
        items[:, step] = np.where(here[:, None], decision.items, -1)
        rewards[:, step] = response.rewards.cpu().numpy()
        present[:, step] = here
        terminated[:, step] = response.terminated.cpu().numpy()
        truncated[:, step] = response.truncated.cpu().numpy()
        inbox.post(step, response)
        policy.observe(inbox.arrivals(step, width))
    if on_step is not None:
        on_step(steps, env)
    return Rollout(items, rewards, expected, present, terminated, truncated)
