"""Meta-training on sine tasks: MAML, its first-order form, Meta-SGD, and joint training as what they are held against.

All four see the same tasks and the same points in the same order, start from the same weights, and take the same number
of Adam steps; they differ in the gradient alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from metarl_rec.seeding import generator
from metarl_rec.sines.meta_gradient import meta_gradient
from metarl_rec.sines.network import initial_weights
from metarl_rec.sines.tasks import draw_shots, draw_sines

__all__ = ["LEARNERS", "Learner", "MetaRecipe", "meta_train"]

_CHUNK = 500
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Learner:
    """What a meta-learner differentiates.

    Attributes:
        label: its name in tables.
        second_order: whether through the inner gradient.
        learned_rates: whether the inner learning rates are trained too, one for every weight.
        adapts: whether tasks are adapted to at all in training; joint training does not.
    """

    label: str
    second_order: bool = False
    learned_rates: bool = False
    adapts: bool = True


LEARNERS = {
    "maml": Learner("MAML", second_order=True),
    "fomaml": Learner("FOMAML"),
    "meta_sgd": Learner("Meta-SGD", second_order=True, learned_rates=True),
    "joint": Learner("joint training", adapts=False),
}


@dataclass(frozen=True, slots=True)
class MetaRecipe:
    """How the learners train; the defaults are those of Finn et al.

    Attributes:
        iterations: Adam steps.
        meta_batch: tasks a step.
        support: points a task that are adapted on.
        query: points a task that judge the adapted weights.
        inner_steps: gradient steps of adapting.
        inner_rate: their learning rate; where learned rates start.
        outer_rate: learning rate of Adam.
        hidden: width of both layers.
        phases: upper end of the phases, radians.
    """

    iterations: int = 70_000
    meta_batch: int = 25
    support: int = 10
    query: int = 10
    inner_steps: int = 1
    inner_rate: float = 0.01
    outer_rate: float = 0.001
    hidden: int = 40
    phases: float = math.pi


@njit(cache=True, nogil=True)
def _adam(
    values: NDArray[Any], grad: NDArray[Any], first: NDArray[Any], second: NDArray[Any], step: int, rate: float
) -> None:
    """Moves values [P] in place by one step of Adam (Kingma & Ba, 2015, arXiv:1412.6980, algorithm 1)."""
    size = rate * math.sqrt(1 - _BETA2**step) / (1 - _BETA1**step)
    small = _EPSILON * math.sqrt(1 - _BETA2**step)
    for i in range(len(values)):
        first[i] = _BETA1 * first[i] + (1 - _BETA1) * grad[i]
        second[i] = _BETA2 * second[i] + (1 - _BETA2) * grad[i] * grad[i]
        values[i] -= size * first[i] / (math.sqrt(second[i]) + small)


@njit(cache=True, nogil=True)
def _train_chunk(
    weights: NDArray[Any],
    rates: NDArray[Any],
    moments: NDArray[Any],
    support_x: NDArray[Any],
    support_y: NDArray[Any],
    query_x: NDArray[Any],
    query_y: NDArray[Any],
    inner_steps: int,
    second_order: bool,
    learned_rates: bool,
    outer_rate: float,
    done: int,
) -> None:
    """Takes one Adam step for each iteration of the points [I, M, K], in place; moments [4, P] are Adam's."""
    grad, rate_grad = np.empty_like(weights), np.empty_like(weights)
    total, rate_total = np.empty_like(weights), np.empty_like(weights)
    share = weights.dtype.type(1.0 / support_x.shape[1])
    for i in range(len(support_x)):
        total[:] = 0
        rate_total[:] = 0
        for task in range(support_x.shape[1]):
            meta_gradient(
                weights,
                rates,
                support_x[i, task],
                support_y[i, task],
                query_x[i, task],
                query_y[i, task],
                inner_steps,
                second_order,
                grad,
                rate_grad,
            )
            total += share * grad
            rate_total += share * rate_grad
        _adam(weights, total, moments[0], moments[1], done + i + 1, outer_rate)
        if learned_rates:
            _adam(rates, rate_total, moments[2], moments[3], done + i + 1, outer_rate)


def meta_train(
    learner: Learner, recipe: MetaRecipe, seed: int, advanced: Callable[[int, int], None] = lambda *_: None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns trained initial weights [P] of a network of rectifiers, and learning rates [P].

    Args:
        learner: what to differentiate.
        recipe: sizes and rates.
        seed: of initial weights, tasks and points; equal for all learners, so that they see the same.
        advanced: told of iterations done and in all.
    """
    weights = initial_weights(generator(seed, "meta", "weights"), recipe.hidden)
    rates = np.full_like(weights, recipe.inner_rate)
    moments = np.zeros((4, len(weights)), weights.dtype)
    inner_steps = recipe.inner_steps if learner.adapts else 0
    for start in range(0, recipe.iterations, _CHUNK):
        rng = generator(seed, "meta", "tasks", start)
        count = min(_CHUNK, recipe.iterations - start)
        tasks = draw_sines(rng, count * recipe.meta_batch, recipe.phases)
        shots = draw_shots(rng, tasks, recipe.support, recipe.query)
        parts = [shots.support_x, shots.support_y, shots.query_x, shots.query_y]
        if not learner.adapts:
            # What does not adapt learns from every point it is given, as it would be trained in earnest.
            parts[2:] = [np.concatenate([parts[0], parts[2]], axis=1), np.concatenate([parts[1], parts[3]], axis=1)]
        support_x, support_y, query_x, query_y = (part.reshape(count, recipe.meta_batch, -1) for part in parts)
        _train_chunk(
            weights,
            rates,
            moments,
            support_x,
            support_y,
            query_x,
            query_y,
            inner_steps,
            learner.second_order,
            learner.learned_rates,
            recipe.outer_rate,
            start,
        )
        advanced(start + count, recipe.iterations)
    return np.asarray(weights, np.float32), rates
