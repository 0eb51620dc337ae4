"""Policies that play users online: the adapted meta-policy and every baseline, behind one interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import AdaptationError
from metarl_rec.inner_params import InnerParams
from metarl_rec.kernels import adapt_batch
from metarl_rec.slates import greedy_slates, sample_slates

__all__ = ["AdaptedPolicy", "Decision", "FixedPolicy", "OnlinePolicy", "RandomPolicy"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One step's choices for N users.

    Attributes:
        items: [N] int32.
        log_propensities: [N] float32, nats; 0 for a greedy choice.
    """

    items: NDArray[np.int32]
    log_propensities: NDArray[np.float32]


class OnlinePolicy(Protocol):
    """Plays N users side by side, one item a step, each user on their own history alone."""

    def begin(self, rng: np.random.Generator) -> None:
        """Forgets every history; `rng` is the only source of randomness until the next `begin`."""

    def act(self, candidates: NDArray[np.bool_]) -> Decision:
        """Chooses an item for every user out of candidates [N, n] bool."""

    def observe(self, items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        """Learns from what was shown, items [N] int32, and what it gave, rewards [N] float32."""


class RandomPolicy:
    """Every candidate with the same probability."""

    def begin(self, rng: np.random.Generator) -> None:
        """Keeps the generator."""
        self._rng = rng

    def act(self, candidates: NDArray[np.bool_]) -> Decision:
        """Draws uniformly from the candidates."""
        uniforms = self._rng.random((len(candidates), 1))
        values = np.zeros(candidates.shape, np.float32)
        items, log_propensities = sample_slates(values, candidates, 1.0, uniforms)
        return Decision(items[:, 0], log_propensities[:, 0].astype(np.float32))

    def observe(self, items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
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

    def act(self, candidates: NDArray[np.bool_]) -> Decision:
        """Samples, or takes the best."""
        return choose(self._values, candidates, self._temperature, self._rng)

    def observe(self, items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        """Learns nothing."""


class AdaptedPolicy:
    """PPO adaptation of every user after every interaction, from given starting points.

    Args:
        features: [n, D] float32.
        popularity: [n] float32.
        starts: [N, D] float32, w0 of each user.
        inner: meta-parameters.
        greedy: show the best item instead of sampling at the inner loop's temperature; then no ratio is formed.
        session_length: steps in a session, for a discount above 0.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        popularity: NDArray[np.float32],
        starts: NDArray[np.float32],
        inner: InnerParams,
        *,
        greedy: bool = False,
        session_length: int = 1,
    ) -> None:
        self._features = np.ascontiguousarray(features)
        self._popularity = popularity
        self._starts = np.ascontiguousarray(starts)
        self._inner = inner
        self._greedy = greedy
        self._session_length = session_length

    def begin(self, rng: np.random.Generator) -> None:
        """Returns every user to their starting point."""
        users = len(self._starts)
        self._rng = rng
        self._items = np.zeros((users, 0), np.int32)
        self._rewards = np.zeros((users, 0), np.float32)
        self._log_propensities = np.zeros((users, 0), np.float32)
        self._candidates: NDArray[np.bool_] | None = None
        self._last: Decision | None = None
        self.weights = self._starts
        self.stats = np.zeros((users, 3))

    def act(self, candidates: NDArray[np.bool_]) -> Decision:
        """Samples from (or takes the best of) the adapted values."""
        if self._candidates is None:
            self._candidates = candidates.copy()
        values = self._popularity + self.weights @ self._features.T
        self._last = choose(values, candidates, None if self._greedy else self._inner.temperature, self._rng)
        return self._last

    def observe(self, items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        """Adapts every user from their starting point over their whole history."""
        if self._last is None or self._candidates is None:
            raise RuntimeError("observe comes after act")
        self._items = np.column_stack([self._items, items.astype(np.int32)])
        self._rewards = np.column_stack([self._rewards, rewards.astype(np.float32)])
        self._log_propensities = np.column_stack([self._log_propensities, self._last.log_propensities])
        inner = self._inner
        self.weights = adapt_batch(
            self._features, self._popularity, self._starts, self._items, self._rewards, self._log_propensities,
            not self._greedy, self._session_length, self._candidates, np.asarray(inner.step_sizes),
            np.asarray(inner.value_weight), inner.policy_coef, inner.entropy_coef, inner.temperature, inner.clip,
            inner.discount, self.stats,
        )  # fmt: skip
        if not np.isfinite(self.weights).all():
            raise AdaptationError(
                f"adapting diverged after {self._items.shape[1]} interactions; "
                f"lower inner.policy_coef ({inner.policy_coef:g}) or raise inner.temperature ({inner.temperature:g})"
            )

    @property
    def history(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Items [N, B] int32, rewards [N, B] float32 and log-propensities [N, B] float32 so far."""
        return self._items, self._rewards, self._log_propensities


def choose(
    values: NDArray[np.float32], candidates: NDArray[np.bool_], temperature: float | None, rng: np.random.Generator
) -> Decision:
    """Returns one item a user: a draw from softmax(values / temperature), or the best where temperature is None."""
    if temperature is None:
        items = greedy_slates(values, candidates, 1)[:, 0]
        return Decision(items, np.zeros(len(items), np.float32))
    drawn, log_propensities = sample_slates(values, candidates, temperature, rng.random((len(values), 1)))
    return Decision(drawn[:, 0], log_propensities[:, 0].astype(np.float32))
