"""The adapted meta-policy as it plays: PPO adaptation of every user after every interaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.divergence import policy_kl
from metarl_rec.errors import AdaptationError
from metarl_rec.fatigue import Exposure
from metarl_rec.inner_params import InnerParams
from metarl_rec.kernels import adapt_batch
from metarl_rec.policies import Decision, Feedback, View, choose

__all__ = ["AdaptedPolicy", "History"]


class History:
    """What N users were shown, in the order of showing, and what is known of the answers.

    Attributes:
        shown: [N, B] int32, -1 where a user was not present; B grows by the slate size every step.
        rewards: [N, B] float32, 0 until known.
        log_propensities: [N, B] float32.
        weight: [N, B] float32, how much each counts.
        known: [N, B] bool.
        arrived: [N, B] int32, number of steps shown when the answer arrived; read where known.
        usable: [N, B] bool, whether a ratio may be formed.
        sessions: [N, B] int32.
        candidates: [N, n] bool, on offer before the first step.
    """

    def __init__(self, view: View) -> None:
        users = len(view.candidates)
        self.candidates = view.candidates.copy()
        self.shown = np.zeros((users, 0), np.int32)
        self.rewards = np.zeros((users, 0), np.float32)
        self.log_propensities = np.zeros((users, 0), np.float32)
        self.weight = np.zeros((users, 0), np.float32)
        self.known = np.zeros((users, 0), np.bool_)
        self.arrived = np.zeros((users, 0), np.int32)
        self.usable = np.zeros((users, 0), np.bool_)
        self.sessions = np.zeros((users, 0), np.int32)
        self._session = np.zeros(users, np.int32)

    def add(self, view: View, decision: Decision, usable: NDArray[np.bool_]) -> None:
        """Notes one step's slates; `usable` [N] says whose ratios may be formed."""
        self._session += view.present & (view.session_step == 0)
        width = decision.items.shape[1]
        present = np.repeat(view.present[:, None], width, axis=1)
        blank = np.zeros(present.shape, np.bool_)
        self.shown = np.hstack([self.shown, np.where(present, decision.items, -1).astype(np.int32)])
        self.rewards = np.hstack([self.rewards, blank.astype(np.float32)])
        self.log_propensities = np.hstack([self.log_propensities, decision.log_propensities])
        self.weight = np.hstack([self.weight, np.ones(blank.shape, np.float32)])
        self.known = np.hstack([self.known, blank])
        self.arrived = np.hstack([self.arrived, blank.astype(np.int32)])
        self.usable = np.hstack([self.usable, present & usable[:, None]])
        self.sessions = np.hstack([self.sessions, np.repeat(self._session[:, None], width, axis=1)])

    def learn(self, feedback: Feedback) -> None:
        """Notes rewards that have arrived."""
        width = feedback.rewards.shape[1]
        rows, columns = feedback.users[:, None], feedback.steps[:, None] * width + np.arange(width)
        self.rewards[rows, columns] = feedback.rewards
        self.known[rows, columns] = True
        self.arrived[rows, columns] = self.shown.shape[1] // width


class AdaptedPolicy:
    """PPO adaptation of every user after every interaction, from given starting points.

    Args:
        features: [n, D] float32.
        popularity: [n] float32.
        starts: [N, D] float32, w0 of each user.
        inner: meta-parameters.
        greedy: show the best items instead of sampling at the inner loop's temperature; then no ratio is formed.
        topics: [n, T] float32, needed where `inner.fatigue` is not zero.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        popularity: NDArray[np.float32],
        starts: NDArray[np.float32],
        inner: InnerParams,
        *,
        greedy: bool = False,
        topics: NDArray[np.float32] | None = None,
    ) -> None:
        self._features = np.ascontiguousarray(features)
        self._popularity = popularity
        self._starts = np.ascontiguousarray(starts)
        self._inner = inner
        self._greedy = greedy
        self._topics = topics if any(inner.fatigue) else None
        if any(inner.fatigue) and topics is None:
            raise AdaptationError("inner.fatigue is not zero; it needs the items' topics")

    def begin(self, rng: np.random.Generator) -> None:
        """Returns every user to their starting point."""
        users = len(self._starts)
        self._rng = rng
        self.history: History | None = None
        self.exposure = None if self._topics is None else Exposure(self._topics, users)
        self.weights = self._starts
        self.stats = np.zeros((users, 3))

    def act(self, view: View) -> Decision:
        """Samples from (or takes the best of) the adapted values, less fatigue."""
        if self.history is None:
            self.history = History(view)
        values = self.values()
        fresh = np.full(len(values), not self._greedy)
        if self.exposure is not None:
            # A ratio compares policies over the same state; only where there is no exposure do the values make it up.
            fresh &= ~self.exposure.any()
            values -= self.exposure.penalty(self._inner.fatigue)
        decision = choose(values, view, None if self._greedy else self._inner.temperature, self._rng)
        self.history.add(view, decision, fresh)
        if self.exposure is not None:
            self.exposure.show(decision.items, view.present)
        return decision

    def values(self) -> NDArray[np.float32]:
        """Returns the adapted values [N, n], before fatigue."""
        values: NDArray[np.float32] = self._popularity + self.weights @ self._features.T
        return values

    def effect(self) -> dict[str, list[float]]:
        """Returns what the last adaptation did with each user: `ratios` formed in all epochs, `clipped` of them (by
        either clip or the bound), and `kl_nats` from the initialization, over what was not shown yet."""
        if self.history is None:
            raise RuntimeError("effect comes after act")
        rest = self.history.candidates.copy()
        users, places = np.nonzero(self.history.shown >= 0)
        rest[users, self.history.shown[users, places]] = False
        before = self._popularity + self._starts @ self._features.T
        rows = zip(self.values(), before, rest, strict=True)
        return {
            "ratios": self.stats[:, 0].tolist(),
            "clipped": self.stats[:, 1].tolist(),
            "kl_nats": [
                round(policy_kl(after, start, left, self._inner.temperature), 4) for after, start, left in rows
            ],
        }

    def observe(self, feedback: Feedback) -> None:
        """Adapts every user from their starting point over their whole history."""
        if self.history is None:
            raise RuntimeError("observe comes after act")
        if len(feedback.users):
            self._learn(self.history, feedback)
            self._adapt(self.history)

    def _learn(self, history: History, feedback: Feedback) -> None:
        history.learn(feedback)

    def _adapt(self, history: History) -> None:
        inner = self._inner
        self.weights = adapt_batch(
            self._features, self._popularity, self._starts, history.shown, history.rewards, history.log_propensities,
            history.weight, history.known, history.usable, history.sessions, history.candidates,
            np.asarray(inner.step_sizes), inner.preconditioner == "posterior", np.asarray(inner.value_weight),
            inner.policy_coef, inner.entropy_coef, inner.temperature, inner.clip,
            inner.discount, inner.forgetting, inner.caution, self.stats,
        )  # fmt: skip
        if not np.isfinite(self.weights).all():
            raise AdaptationError(
                f"adapting diverged after {history.shown.shape[1]} positions; "
                f"lower inner.policy_coef ({inner.policy_coef:g}) or raise inner.temperature ({inner.temperature:g})"
            )
