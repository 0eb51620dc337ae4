"""The adapted policy with other things to learn from: clicks alone, or a history that was told beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy, History
from metarl_rec.policies import Decision, Feedback, View

__all__ = ["ClicksOnly", "Warmed"]


class ClicksOnly(AdaptedPolicy):
    """Learns from positions that got a reward and never hears of the others: no default reward for them."""

    def _learn(self, history: History, feedback: Feedback) -> None:
        super()._learn(history, feedback)
        history.known &= history.rewards > 0


class Warmed(AdaptedPolicy):
    """Was told of some items before the first step, as a service is by a warm-up: rewards without propensities.

    Args:
        told: [N, h] int32, items in the order of telling.
        rewards: [N, h] float32.
        closed: [N, n] bool, items that it must not show.
        *given, **settings: as for `AdaptedPolicy`.
    """

    def __init__(
        self,
        told: NDArray[np.int32],
        rewards: NDArray[np.float32],
        closed: NDArray[np.bool_],
        *given: Any,
        **settings: Any,
    ) -> None:
        super().__init__(*given, **settings)
        self._told, self._told_rewards, self._closed = told, rewards, closed

    def act(self, view: View) -> Decision:
        """Samples among what was not told."""
        view = replace(view, candidates=view.candidates & ~self._closed)
        if self.history is None and self._told.shape[1]:
            self.history = _told_history(view, self._told, self._told_rewards, self._inner.organic_weight)
            self._adapt(self.history)
        return super().act(view)

    def _learn(self, history: History, feedback: Feedback) -> None:
        # Steps count what was shown; in the history that comes after what was told.
        super()._learn(history, replace(feedback, steps=feedback.steps + self._told.shape[1]))


def _told_history(view: View, told: NDArray[np.int32], rewards: NDArray[np.float32], weight: float) -> History:
    history = History(view)
    history.shown, history.rewards = told.copy(), rewards.copy()
    history.log_propensities = np.zeros(told.shape, np.float32)
    history.weight = np.full(told.shape, weight, np.float32)
    history.known = np.ones(told.shape, np.bool_)
    history.usable = np.zeros(told.shape, np.bool_)
    history.arrived, history.sessions = np.zeros((2, *told.shape), np.int32)
    return history
