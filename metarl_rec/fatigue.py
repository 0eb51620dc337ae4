"""Fatigue: what a policy takes off the values of items whose topics a user has just been shown.

Exposure e_m [T] remembers the topics of recent slates with retention r_m: e_m <- r_m e_m + (1 - r_m) t, with t the mean
of the shown items' topic rows. The policy's values become v_i - sum_m h_m (t_i . e_m). The memories are fixed, their
weights h are meta-learned; with several memories nothing is assumed about how long a user's own memory is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["RETENTIONS", "Exposure"]

RETENTIONS = (0.5, 0.8, 0.95)
"""Share of each memory that is left after one step: half-lives of 1, 3 and 14 slates."""


class Exposure:
    """The memories of N users, M each.

    Args:
        topics: [n, T] float32, rows of non-negative weights that sum to 1 or 0.
        users: N.

    Attributes:
        levels: [N, M, T] float32.
    """

    def __init__(self, topics: NDArray[np.float32], users: int) -> None:
        self._topics = topics
        self._retention = np.array(RETENTIONS, np.float32)[None, :, None]
        self.levels = np.zeros((users, len(RETENTIONS), topics.shape[1]), np.float32)

    def any(self) -> NDArray[np.bool_]:
        """Returns who has been shown anything with a topic, [N] bool."""
        return np.asarray(self.levels.any(axis=(1, 2)))

    def penalty(self, fatigue: Sequence[float]) -> NDArray[np.float32]:
        """Returns sum_m h_m (t_i . e_m) [N, n] float32."""
        mixed = np.einsum("m,nmt->nt", np.asarray(fatigue, np.float32), self.levels)
        return np.asarray(mixed @ self._topics.T, np.float32)

    def show(self, items: NDArray[np.int32], present: NDArray[np.bool_]) -> None:
        """Moves on by one step: slates [N, k] are shown to those present, and everybody forgets a little."""
        shown = self._topics[items].mean(axis=1) * present[:, None]
        self.levels = self._retention * self.levels + (1 - self._retention) * shown[:, None, :]
