"""What plays users online, behind one interface, and the policies that learn nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metarl_rec.slates import greedy_slates, sample_slates

__all__ = ["Decision", "Feedback", "FixedPolicy", "OnlinePolicy", "RandomPolicy", "View", "choose"]


@dataclass(frozen=True, slots=True)
class View:
    """What a policy sees of N users before it chooses; the arrays are the world's own and change with the next step.

    Attributes:
        candidates: [N, n] bool, what may be shown to each.
        present: [N] bool, who is there; what is chosen for others is not shown.
        session_step: [N] int64, slates seen in the current session; 0 begins one.
        slate_size: k.
    """

    candidates: NDArray[np.bool_]
    present: NDArray[np.bool_]
    session_step: NDArray[np.int64]
    slate_size: int = 1

    @classmethod
    def of(cls, candidates: NDArray[np.bool_], slate_size: int = 1) -> View:
        """Returns a view in which everybody is present and every step is an episode of its own."""
        users = len(candidates)
        return cls(candidates, np.ones(users, np.bool_), np.zeros(users, np.int64), slate_size)


@dataclass(frozen=True, slots=True)
class Decision:
    """One step's slates for N users.

    Attributes:
        items: [N, k] int32; anything for users who are not present.
        log_propensities: [N, k] float32, nats, each conditional on the positions before it; 0 for greedy choices.
    """

    items: NDArray[np.int32]
    log_propensities: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Feedback:
    """Rewards that have arrived.

    Attributes:
        users: [M] int64, rows of the batch.
        steps: [M] int64, number of the step whose slate was answered, counted from `begin`.
        rewards: [M, k] float32.
    """

    users: NDArray[np.int64]
    steps: NDArray[np.int64]
    rewards: NDArray[np.float32]

    @classmethod
    def at_once(cls, step: int, rewards: NDArray[np.float32]) -> Feedback:
        """Returns the answers [N, k] of all users to the slates of one step."""
        users = len(rewards)
        return cls(np.arange(users), np.full(users, step), rewards)


class OnlinePolicy(Protocol):
    """Plays N users side by side, one slate a step, each user on their own history alone."""

    def begin(self, rng: np.random.Generator) -> None:
        """Forgets every history; `rng` is the only source of randomness until the next `begin`."""

    def act(self, view: View) -> Decision:
        """Chooses a slate for every user who is present."""

    def observe(self, feedback: Feedback) -> None:
        """Learns from rewards; called after every step, with nothing in it where nothing has arrived."""


class RandomPolicy:
    """Every candidate with the same probability."""

    def begin(self, rng: np.random.Generator) -> None:
        """Keeps the generator."""
        self._rng = rng

    def act(self, view: View) -> Decision:
        """Draws uniformly from the candidates."""
        return choose(np.zeros(view.candidates.shape, np.float32), view, 1.0, self._rng)

    def observe(self, feedback: Feedback) -> None:
        """Learns nothing."""


class FixedPolicy:
    """Shows items by values that no reward changes: popularity, the meta-policy without adaptation, an oracle.

    Args:
        values: [N, n] float32.
        temperature: tau of a softmax over the values; None is greedy.
    """

    def __init__(self, values: NDArray[np.float32], temperature: float | None = None) -> None:
        self._values = values
        self._temperature = temperature

    def begin(self, rng: np.random.Generator) -> None:
        """Keeps the generator."""
        self._rng = rng

    def act(self, view: View) -> Decision:
        """Samples, or takes the best."""
        return choose(self._values, view, self._temperature, self._rng)

    def observe(self, feedback: Feedback) -> None:
        """Learns nothing."""


def choose(values: NDArray[np.float32], view: View, temperature: float | None, rng: np.random.Generator) -> Decision:
    """Returns a slate for every user: drawn from softmax(values / temperature), or the best where that is None."""
    candidates = view.candidates
    if not view.present.all():
        # Nobody is there to run out of candidates: their rows are ignored, whatever stands in them.
        candidates = candidates | ~view.present[:, None]
    if temperature is None:
        items = greedy_slates(values, candidates, view.slate_size)
        return Decision(items, np.zeros(items.shape, np.float32))
    items, log_propensities = sample_slates(values, candidates, temperature, rng.random((len(values), view.slate_size)))
    return Decision(items, log_propensities.astype(np.float32))
