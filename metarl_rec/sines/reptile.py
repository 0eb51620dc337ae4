"""Reptile: the initialization moves a little towards where training on one task ends.

Reference: Nichol et al., 2018, arXiv:1803.02999, algorithm 1, and the sine demonstration published with it: one epoch
over a task's 50 points in minibatches of 10, outer step annealed linearly to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.seeding import generator
from metarl_rec.sines.network import initial_weights, loss_gradient
from metarl_rec.sines.tasks import SineTasks, draw_sines, grid

__all__ = ["ReptileRecipe", "draw_batches", "reptile_update", "train_reptile"]

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class ReptileRecipe:
    """How Reptile trains; the defaults are the published ones.

    Attributes:
        iterations: outer updates, one task each.
        epochs: passes over the task's points in an inner loop.
        batch: points of an inner minibatch; divides `points`.
        inner_rate: learning rate of the inner loop.
        outer_rate: share of the way to the adapted weights, annealed linearly to 0.
        truncate: inner steps after which a task's training stops, or None; 1 makes it joint training.
        points: grid points of a task.
        hidden: width of both layers.
    """

    iterations: int = 30_000
    epochs: int = 1
    batch: int = 10
    inner_rate: float = 0.02
    outer_rate: float = 0.1
    truncate: int | None = None
    points: int = 50
    hidden: int = 64


@njit(cache=True, nogil=True)
def reptile_update(
    weights: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    batches: NDArray[np.int64],
    inner_rate: float,
    outer_rate: float,
) -> None:
    """Moves weights [P] in place towards the end of SGD on one task.

    Args:
        weights: of a tanh network.
        x: [Q] float, the task's points.
        y: [Q] float.
        batches: [S, B] int64, points of every inner step.
        inner_rate: learning rate of SGD.
        outer_rate: share of the way.
    """
    adapted, grad = weights.copy(), np.empty_like(weights)
    rate, share = weights.dtype.type(inner_rate), weights.dtype.type(outer_rate)
    for step in range(len(batches)):
        loss_gradient(adapted, x[batches[step]], y[batches[step]], True, grad)
        adapted -= rate * grad
    weights += share * (adapted - weights)


@njit(cache=True, nogil=True)
def _train_chunk(
    weights: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    batches: NDArray[np.int64],
    inner_rate: float,
    outer_rates: NDArray[np.float64],
) -> None:
    for i in range(len(y)):
        reptile_update(weights, x, y[i], batches[i], inner_rate, outer_rates[i])


def draw_batches(rng: np.random.Generator, tasks: SineTasks, recipe: ReptileRecipe) -> NDArray[np.int64]:
    """Returns the points of every inner step of every task [N, S, B]: fresh random epochs."""
    order = np.tile(np.arange(recipe.points), (len(tasks.phase), recipe.epochs, 1))
    batches = rng.permuted(order, axis=2).reshape(len(tasks.phase), -1, recipe.batch)
    return np.ascontiguousarray(batches[:, : recipe.truncate])


def train_reptile(
    recipe: ReptileRecipe, seed: int, advanced: Callable[[int, int], None] = lambda *_: None
) -> NDArray[np.float32]:
    """Returns trained initial weights [P] of a tanh network.

    Args:
        recipe: sizes and rates.
        seed: of the initial weights, the tasks and the minibatches.
        advanced: told of iterations done and in all.
    """
    weights = initial_weights(generator(seed, "reptile", "weights"), recipe.hidden)
    x = grid(recipe.points)
    for start in range(0, recipe.iterations, _CHUNK):
        rng = generator(seed, "reptile", "tasks", start)
        count = min(_CHUNK, recipe.iterations - start)
        tasks = draw_sines(rng, count, 2 * np.pi)
        outer = recipe.outer_rate * (1 - np.arange(start, start + count) / recipe.iterations)
        y = tasks.values(x).astype(np.float32)
        batches = draw_batches(rng, tasks, recipe)
        _train_chunk(weights, x.astype(np.float32), y, batches, recipe.inner_rate, outer)
        advanced(start + count, recipe.iterations)
    return np.asarray(weights, np.float32)
