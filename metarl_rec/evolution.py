"""An outer loop without gradients: evolution strategies over a few coefficients, on tasks that no test plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray

__all__ = ["Evolved", "evolve"]


@dataclass(frozen=True, slots=True)
class Evolved:
    """What meta-training gave.

    Attributes:
        coefficients: [C] float64, the mean of the last search distribution.
        curve: mean reward of every generation's candidates, over its training tasks.
    """

    coefficients: NDArray[np.float64]
    curve: list[float]


def evolve(
    reward: Callable[[NDArray[np.float64], int], float],
    start: NDArray[np.float64],
    *,
    generations: int,
    population: int,
    seed: int,
    sigma: float = 0.5,
    on_generation: Callable[[int], None] | None = None,
) -> Evolved:
    """Returns the coefficients that earn most.

    Args:
        reward: mean reward of coefficients [C] on the training tasks of a generation. A generation plays new tasks, the
            same ones for all of its candidates, so that they differ by their coefficients and not by luck.
        start: [C], where the search begins.
        generations: outer updates.
        population: candidates in a generation.
        seed: decides the candidates.
        sigma: their standard deviation at the start.
        on_generation: told the number of generations done.

    Reference: Hansen, "The CMA Evolution Strategy: A Tutorial", 2016, arXiv:1604.00772.
    """
    search = CMA(mean=start.astype(np.float64), sigma=sigma, population_size=population, seed=seed)
    curve = []
    for generation in range(generations):
        candidates = [search.ask() for _ in range(population)]
        rewards = [reward(each, generation) for each in candidates]
        search.tell([(each, -found) for each, found in zip(candidates, rewards, strict=True)])
        curve.append(float(np.mean(rewards)))
        if on_generation is not None:
            on_generation(generation + 1)
    return Evolved(np.asarray(search.mean, np.float64), curve)
