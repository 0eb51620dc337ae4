"""Sine tasks y = amplitude * sin(x - phase), and the points that a learner sees of them.

Reference: Finn et al., 2017, arXiv:1703.03400, section 5.1 (phase up to pi, x anywhere in [-5, 5]); Nichol et al.,
2018, arXiv:1803.02999, section 6 (phase up to 2 pi, 50 equally spaced x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["AMPLITUDES", "REACH", "Shots", "SineTasks", "draw_shots", "draw_sines", "grid", "grid_shots"]

AMPLITUDES = (0.1, 5.0)
REACH = 5.0
"""Inputs lie in [-REACH, REACH]."""


@dataclass(frozen=True, slots=True)
class SineTasks:
    """Tasks.

    Attributes:
        amplitude: [N] float64.
        phase: [N] float64, radians.
    """

    amplitude: NDArray[np.float64]
    phase: NDArray[np.float64]

    def values(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Returns y [N, K] at x [N, K] or [K]."""
        return np.asarray(self.amplitude[:, None] * np.sin(x - self.phase[:, None]), np.float64)


@dataclass(frozen=True, slots=True)
class Shots:
    """What is seen of every task, and what it is judged by.

    Attributes:
        support_x: [N, K] float, points that the learner adapts on.
        support_y: [N, K] float.
        query_x: [N, Q] float, points whose error counts.
        query_y: [N, Q] float.
    """

    support_x: NDArray[Any]
    support_y: NDArray[Any]
    query_x: NDArray[Any]
    query_y: NDArray[Any]


def draw_sines(rng: np.random.Generator, count: int, phases: float) -> SineTasks:
    """Returns `count` tasks with uniform amplitude in AMPLITUDES and uniform phase in [0, phases]."""
    return SineTasks(rng.uniform(*AMPLITUDES, count), rng.uniform(0.0, phases, count))


def grid(points: int) -> NDArray[np.float64]:
    """Returns equally spaced inputs [points]."""
    return np.linspace(-REACH, REACH, points)


def draw_shots(
    rng: np.random.Generator, tasks: SineTasks, support: int, query: int, dtype: DTypeLike = np.float32
) -> Shots:
    """Returns uniform support and query points of every task."""
    x = rng.uniform(-REACH, REACH, (len(tasks.amplitude), support + query))
    y = tasks.values(x)
    parts = (x[:, :support], y[:, :support], x[:, support:], y[:, support:])
    return Shots(*(np.ascontiguousarray(part, dtype) for part in parts))


def grid_shots(
    rng: np.random.Generator, tasks: SineTasks, support: int, x: NDArray[np.float64], *, repeats: bool
) -> Shots:
    """Returns random points of the grid x [Q] as support and the whole grid as query, float32.

    Args:
        rng: draws the points.
        tasks: N tasks.
        support: points a task.
        x: the grid.
        repeats: whether a point may be drawn twice, as in Nichol et al.'s demonstration.
    """
    count = len(tasks.amplitude)
    if repeats:
        chosen = rng.integers(0, len(x), (count, support))
    else:
        chosen = rng.permuted(np.tile(np.arange(len(x)), (count, 1)), axis=1)[:, :support]
    y = tasks.values(x)
    parts = (x[chosen], np.take_along_axis(y, chosen, axis=1), np.tile(x, (count, 1)), y)
    return Shots(*(np.ascontiguousarray(part, np.float32) for part in parts))
