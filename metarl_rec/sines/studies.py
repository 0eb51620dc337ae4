"""The two comparisons of the sine protocol: who is trained how, and every test task's error after every inner step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.seeding import generator
from metarl_rec.sines.adapting import error_curves
from metarl_rec.sines.demonstration import demonstrate
from metarl_rec.sines.meta_training import LEARNERS, MetaRecipe, meta_train
from metarl_rec.sines.network import initial_weights
from metarl_rec.sines.reptile import ReptileRecipe, train_reptile
from metarl_rec.sines.tasks import Shots, SineTasks, draw_shots, draw_sines, grid, grid_shots

__all__ = [
    "CHANGED",
    "DEMONSTRATION",
    "ONE_CHANGE",
    "PUBLISHED",
    "OneStepStudy",
    "ReptileStudy",
    "study_one_step",
    "study_reptile",
    "tuned_rate",
]

PUBLISHED = "Reptile as published"
ONE_CHANGE = "Reptile, outer step 1"
CHANGED = "Reptile, outer step 1 and minibatches of 2"
DEMONSTRATION = "the demonstration's own training"

_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    PUBLISHED: {},
    ONE_CHANGE: {"outer_rate": 1.0},
    "Reptile, minibatches of 2": {"batch": 2},
    CHANGED: {"outer_rate": 1.0, "batch": 2},
    "joint training": {"truncate": 1, "outer_rate": 1.0},
}

Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ReptileStudy:
    """Reptile's recipes on the same test tasks.

    Attributes:
        tasks: N test tasks.
        errors: by learner, [seeds, N, steps + 1] float64; test points drawn as published, a point may come twice.
        distinct: [seeds, N, 1], after the last step, with ten different points a task.
        rates: by learner, test-time learning rate of each seed.
        demonstration_task: error of the published demonstration's weights on its one task, where it was run.
    """

    tasks: SineTasks
    errors: Mapping[str, NDArray[np.float64]]
    distinct: Mapping[str, NDArray[np.float64]]
    rates: Mapping[str, Sequence[float]]
    demonstration_task: float | None


@dataclass(frozen=True, slots=True)
class OneStepStudy:
    """Learners that are trained for one inner step, on the same test tasks.

    Attributes:
        tasks: N test tasks.
        errors: by learner, [seeds, N, steps + 1] float64, inf where weights diverged.
        rates: by learner, test-time learning rate of each seed, the mean where every weight has its own.
    """

    tasks: SineTasks
    errors: Mapping[str, NDArray[np.float64]]
    rates: Mapping[str, Sequence[float]]


def tuned_rate(weights: NDArray[Any], shots: Shots, steps: int, *, tanh: bool) -> float:
    """Returns the learning rate with the lowest mean error after `steps` on validation tasks."""
    means = [error_curves(weights, rate, shots, steps, tanh=tanh, last_only=True).mean() for rate in _RATES]
    return _RATES[int(np.argmin(np.nan_to_num(means, nan=math.inf)))]


def study_reptile(
    recipe: ReptileRecipe,
    seed: int,
    seeds: int,
    tasks: int,
    validation: int,
    steps: int,
    shots: int,
    with_demonstration: bool,
    told: Told,
) -> ReptileStudy:
    """Returns every recipe's errors.

    Args:
        recipe: the published one.
        seed: of the test tasks, and the first training seed.
        seeds: training seeds of every recipe.
        tasks: test tasks.
        validation: tasks that learning rates of the baselines are tuned on.
        steps: inner steps of the test.
        shots: points that a test task is adapted on.
        with_demonstration: whether the published demonstration is run with its own random numbers too.
        told: of progress.
    """
    x = grid(recipe.points)
    test_tasks = draw_sines(generator(seed, "sine", "reptile tasks"), tasks, 2 * np.pi)
    test = grid_shots(generator(seed, "sine", "reptile points"), test_tasks, shots, x, repeats=True)
    distinct = grid_shots(generator(seed, "sine", "reptile distinct"), test_tasks, shots, x, repeats=False)
    rng = generator(seed, "sine", "reptile validation")
    held_out = grid_shots(rng, draw_sines(rng, validation, 2 * np.pi), shots, x, repeats=True)
    names = [*_CHANGES, "random weights"]
    errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    apart: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for done, (run, name) in enumerate((run, name) for run in range(seeds) for name in names):
        told("Reptile", done, seeds * len(names))
        if name == "random weights":
            weights = initial_weights(generator(seed + run, "reptile", "weights"), recipe.hidden)
        else:
            weights = train_reptile(replace(recipe, **_CHANGES[name]), seed + run)
        meta_learned = name.startswith("Reptile")
        # Reptile is tested at the rate it was trained with; what knows no inner loop gets the best rate there is.
        rate = recipe.inner_rate if meta_learned else tuned_rate(weights, held_out, steps, tanh=True)
        rates[name].append(rate)
        errors[name].append(error_curves(weights, rate, test, steps, tanh=True))
        apart[name].append(error_curves(weights, rate, distinct, steps, tanh=True, last_only=True))
    if with_demonstration:
        told("the published demonstration", 0, 1)
        weights, shown = demonstrate()
        rates[DEMONSTRATION] = [recipe.inner_rate]
        errors[DEMONSTRATION] = [error_curves(weights, recipe.inner_rate, test, steps, tanh=True)]
        apart[DEMONSTRATION] = [error_curves(weights, recipe.inner_rate, distinct, steps, tanh=True, last_only=True)]
        one_task = float(error_curves(weights, recipe.inner_rate, shown, steps, tanh=True)[0, -1])
    return ReptileStudy(
        test_tasks,
        {name: _stacked(values) for name, values in errors.items()},
        {name: _stacked(values) for name, values in apart.items()},
        rates,
        one_task if with_demonstration else None,
    )


def study_one_step(
    recipe: MetaRecipe, seed: int, seeds: int, tasks: int, validation: int, steps: int, points: int, told: Told
) -> OneStepStudy:
    """Returns every learner's errors; `points` judge a test task, other arguments as for `study_reptile`."""
    test_tasks = draw_sines(generator(seed, "sine", "meta tasks"), tasks, recipe.phases)
    test = draw_shots(generator(seed, "sine", "meta points"), test_tasks, recipe.support, points)
    rng = generator(seed, "sine", "meta validation")
    held_out = draw_shots(rng, draw_sines(rng, validation, recipe.phases), recipe.support, points)
    errors: dict[str, list[NDArray[np.float64]]] = {}
    rates: dict[str, list[float]] = {}

    def judge(label: str, weights: NDArray[np.float32], rate: NDArray[np.float32] | float) -> None:
        errors.setdefault(label, []).append(error_curves(weights, rate, test, steps, tanh=False))
        rates.setdefault(label, []).append(float(np.mean(rate)))

    done = 0
    for run in range(seeds):
        for learner in LEARNERS.values():

            def advanced(now: int, total: int, before: int = done) -> None:
                told("MAML, FOMAML, Meta-SGD, joint training", before * total + now, seeds * len(LEARNERS) * total)

            weights, learned = meta_train(learner, recipe, seed + run, advanced)
            judge(learner.label, weights, learned)
            if not learner.adapts:
                judge(f"{learner.label}, tuned rate", weights, tuned_rate(weights, held_out, 1, tanh=False))
            done += 1
        start = initial_weights(generator(seed + run, "meta", "weights"), recipe.hidden)
        judge("random weights, tuned rate", start, tuned_rate(start, held_out, 1, tanh=False))
    return OneStepStudy(test_tasks, {label: _stacked(values) for label, values in errors.items()}, rates)


def _stacked(curves: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Returns curves [N, T] as one array [seeds, N, T], inf where a number is none."""
    return np.nan_to_num(np.stack(curves), nan=math.inf, posinf=math.inf)
