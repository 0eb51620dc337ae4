"""The published Reptile demonstration with its own random numbers, to hold this package's code against its picture.

The demonstration prints the error of one task, whose ten points and whose training tasks come from generators seeded
with 0. Drawn in the same order they give the same number, so a difference would be one of the algorithm.

Reference: Nichol et al., 2018, arXiv:1803.02999; the sine demonstration of the authors' announcement (OpenAI, Reptile:
a scalable meta-learning algorithm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarl_rec.sines.reptile import ReptileRecipe, reptile_update
from metarl_rec.sines.tasks import AMPLITUDES, Shots, SineTasks, grid

__all__ = ["PUBLISHED_ERROR", "demonstrate"]

PUBLISHED_ERROR = 0.048
"""Mean squared error of the demonstration's one task after 32 steps."""

_SUPPORT = 10


def _torch_weights(hidden: int) -> NDArray[np.float32]:
    """Returns weights [P] as torch draws them for three linear layers after seeding with 0."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = [(1, hidden), (hidden, hidden), (hidden, 1)]
        layers = [torch.nn.Linear(inputs, outputs) for inputs, outputs in sizes]
    # torch keeps a layer's weights as [outputs, inputs]; here a row belongs to an input.
    parts = [part.detach().numpy().T.ravel() for layer in layers for part in (layer.weight, layer.bias)]
    return np.asarray(np.concatenate(parts), np.float32)


def demonstrate() -> tuple[NDArray[np.float32], Shots]:
    """Returns the weights [P] that the demonstration ends with, and its one test task."""
    recipe = ReptileRecipe()
    # The published number hangs on this legacy generator; everything else here draws from `seeding.generator`.
    rng = np.random.RandomState(0)
    x = grid(recipe.points)

    def draw() -> SineTasks:
        phase = rng.uniform(0, 2 * np.pi)
        # y = amplitude * sin(x + phase) there.
        return SineTasks(np.array([rng.uniform(*AMPLITUDES)]), np.array([-phase]))

    shown = draw()
    chosen = rng.choice(recipe.points, size=_SUPPORT)
    y = shown.values(x)
    parts = (x[chosen][None], y[:, chosen], x[None], y)
    weights = _torch_weights(recipe.hidden)
    inputs = x.astype(np.float32)
    for iteration in range(recipe.iterations):
        values = draw().values(x)[0].astype(np.float32)
        batches = rng.permutation(recipe.points).reshape(-1, recipe.batch)
        outer_rate = recipe.outer_rate * (1 - iteration / recipe.iterations)
        reptile_update(weights, inputs, values, batches, recipe.inner_rate, outer_rate)
    return weights, Shots(*(np.ascontiguousarray(part, np.float32) for part in parts))
