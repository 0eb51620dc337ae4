"""Sine regression: Reptile as published and with changes that are named; MAML, FOMAML, Meta-SGD and joint training.

Reference: Nichol et al., 2018, arXiv:1803.02999; Finn et al., 2017, arXiv:1703.03400; Li et al., 2017,
arXiv:1707.09835.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from metarl_rec.frozen import FrozenSettings
from metarl_rec.protocols.result import ProtocolResult, Watch
from metarl_rec.sines.figures import raw_errors
from metarl_rec.sines.meta_training import MetaRecipe
from metarl_rec.sines.one_step_account import one_step_bars, one_step_panels, one_step_tables, one_step_verdict
from metarl_rec.sines.reptile import ReptileRecipe
from metarl_rec.sines.reptile_account import reptile_bars, reptile_panels, reptile_tables, reptile_verdict
from metarl_rec.sines.studies import OneStepStudy, ReptileStudy, study_one_step, study_reptile
from metarl_rec.workspace import Workspace

__all__ = ["Settings", "run"]


class Settings(FrozenSettings):
    """Sizes of both comparisons; the defaults are the published ones.

    Attributes:
        seed: of test tasks, and the first training seed.
        tasks: test tasks of each comparison.
        validation_tasks: tasks on which the baselines' learning rates are tuned; never test tasks.
        reptile_iterations: outer updates.
        reptile_seeds: trainings of every recipe.
        reptile_steps: inner steps of the test.
        demonstration: whether the published demonstration is run with its own random numbers (always 30,000 updates).
        meta_iterations: Adam steps of MAML, FOMAML, Meta-SGD and joint training.
        meta_batch: tasks of an Adam step.
        meta_seeds: trainings of every learner.
        meta_steps: longest adaptation of the curves.
        meta_points: points that judge a test task.
    """

    seed: int = Field(0, ge=0)
    tasks: int = Field(1000, ge=2)
    validation_tasks: int = Field(200, ge=1)
    reptile_iterations: int = Field(30_000, ge=1)
    reptile_seeds: int = Field(5, ge=1)
    reptile_steps: int = Field(32, ge=1)
    demonstration: bool = True
    meta_iterations: int = Field(70_000, ge=1)
    meta_batch: int = Field(25, ge=1)
    meta_seeds: int = Field(2, ge=1)
    meta_steps: int = Field(10, ge=1)
    meta_points: int = Field(100, ge=1)


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns both comparisons; `workspace` is not used, for nothing is read and minutes are all there is to keep."""
    recipe = ReptileRecipe(iterations=settings.reptile_iterations)
    shots = MetaRecipe().support
    reptile = study_reptile(
        recipe,
        settings.seed,
        settings.reptile_seeds,
        settings.tasks,
        settings.validation_tasks,
        settings.reptile_steps,
        shots,
        settings.demonstration,
        watch,
    )
    meta = MetaRecipe(iterations=settings.meta_iterations, meta_batch=settings.meta_batch)
    one_step = study_one_step(
        meta,
        settings.seed,
        settings.meta_seeds,
        settings.tasks,
        settings.validation_tasks,
        settings.meta_steps,
        settings.meta_points,
        watch,
    )
    tested = [
        f"A task is a sine y = amplitude * sin(x - phase), amplitude uniform in [.1, 5]. A learner sees {shots} points "
        "of it, takes a few gradient steps from its initial weights, and is judged by its mean squared error. "
        f"Every comparison has {settings.tasks:,} test tasks, the same for all its learners, drawn apart from all "
        "training tasks.",
        f"Reptile: phase up to 2 pi, 50 equally spaced points in [-5, 5], network 1-64-64-1 with tanh; "
        f"{recipe.iterations:,} outer updates, each one epoch over one task in minibatches of {recipe.batch} by SGD at "
        f"{recipe.inner_rate}, outer step {recipe.outer_rate} annealed linearly to 0. Test: {settings.reptile_steps} "
        f"steps at {recipe.inner_rate} on {shots} of the 50 points, error over all 50. As published the ten are drawn "
        "with repeats; ten different points are reported beside. "
        f"Each recipe is trained {settings.reptile_seeds} times from other seeds.",
        f"MAML, FOMAML, Meta-SGD: phase up to pi, x uniform in [-5, 5], network 1-40-40-1 with rectifiers; one inner "
        f"step on {meta.support} points at {meta.inner_rate} (Meta-SGD: a learned rate for every weight, starting "
        f"there), judged in training on {meta.query} others; Adam at {meta.outer_rate}, {meta.meta_batch} tasks a "
        f"step, {meta.iterations:,} steps, {settings.meta_seeds} training seeds. Gradients of MAML and Meta-SGD are "
        f"exact to second order. Test: 0 to {settings.meta_steps} steps, error on {settings.meta_points} points. All "
        "learners of a seed start from the same weights and see the same tasks and points in the same order; joint "
        "training fits all points it is given without adapting in training.",
        "Baselines without an inner loop in training get, besides or instead of the common learning rate, the one that "
        f"is best on {settings.validation_tasks} validation tasks.",
    ]
    return ProtocolResult(
        protocol="sine",
        title="Sine regression: few-shot curve fitting",
        tested=tested,
        verdict=[*reptile_verdict(reptile), *one_step_verdict(one_step)],
        bars=[*reptile_bars(reptile), *one_step_bars(one_step)],
        tables=[*reptile_tables(reptile), *one_step_tables(one_step)],
        panels=[*reptile_panels(reptile), *one_step_panels(one_step)],
        raw=_raw(reptile, one_step),
        context={"settings": settings.model_dump(), "numpy": np.__version__},
    )


def _raw(reptile: ReptileStudy, one_step: OneStepStudy) -> dict[str, Any]:
    """Returns both comparisons' tasks, and errors by learner, inner step, training seed and task."""
    comparisons: list[tuple[str, ReptileStudy | OneStepStudy]] = [("reptile", reptile), ("one_step", one_step)]
    figures: dict[str, Any] = {}
    for name, study in comparisons:
        any_errors = next(iter(study.errors.values()))
        last = any_errors.shape[2] - 1
        figures[name] = {
            "amplitude": np.round(study.tasks.amplitude, 6).tolist(),
            "phase": np.round(study.tasks.phase, 6).tolist(),
            "rates": {learner: list(rates) for learner, rates in study.rates.items()},
            "errors": {learner: raw_errors(errors, (0, 1, last)) for learner, errors in study.errors.items()},
        }
    figures["reptile"]["errors_ten_different_points"] = {
        learner: raw_errors(errors, (0,))["0"] for learner, errors in reptile.distinct.items()
    }
    figures["reptile"]["demonstration_task"] = reptile.demonstration_task
    return figures
