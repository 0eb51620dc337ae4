"""Meta-training: roll out, adapt, judge, update; validated, gated and resumable.

Every iteration plays one cross-fitting fold's users with the current meta-policy, adapting after each interaction, in a
task space that has never seen them. Each user's roll-out is cut at a random length: what came before adapts (support),
all items not yet shown judge (query).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.config import RunConfig
from metarl_rec.inner_loop import SupportBatch
from metarl_rec.meta_params import MetaParams
from metarl_rec.outer_loop import TaskBatch, maml_gradient, reptile_update
from metarl_rec.policies import AdaptedPolicy
from metarl_rec.populations import training_population
from metarl_rec.problem import Problem
from metarl_rec.rollout import Rollout, play
from metarl_rec.seeding import generator
from metarl_rec.support import Support, sequential_support
from metarl_rec.training_state import TrainingState, load_state, save_state
from metarl_rec.validate import Validation, validate
from simulator.env import BatchEnv

__all__ = ["Progress", "TrainResult", "meta_train"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where meta-training stands; handed to the caller after every iteration.

    Attributes:
        iteration: updates done.
        total: updates wanted.
        loss: the last query loss; NaN for reptile, which computes none.
        latest: the last validation.
        best: the best validation so far.
    """

    iteration: int
    total: int
    loss: float
    latest: Validation
    best: Validation


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What meta-training gave.

    Attributes:
        meta: the meta-parameters that validated best, the empirical-Bayes start included.
        best: their validation.
        start: the validation of the empirical-Bayes start.
        history: (iteration, before, after) of every validation, in order.
        best_iteration: updates behind `meta`; 0 is the start.
    """

    meta: MetaParams
    best: Validation
    start: Validation
    history: list[tuple[int, float, float]] = field(default_factory=list)
    best_iteration: int = 0


def meta_train(
    problem: Problem,
    config: RunConfig,
    *,
    state_dir: Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Returns the best validated meta-parameters after `config.train.iterations` updates.

    Args:
        problem: one split's fitted parts.
        config: settings; the seed decides every draw, so the same call gives the same bits on one machine.
        state_dir: where the state is saved at every validation; None saves nothing.
        resume: go on from the state in `state_dir`; the result is bit for bit that of an uninterrupted run.
        on_progress: called after every iteration.

    Raises:
        CheckpointError: `resume` finds no state, or one of another configuration or split.
    """
    settings = config.train
    if resume and state_dir is not None:
        state = load_state(state_dir, config, problem)
    else:
        meta = MetaParams.start(problem.space.features.shape[1], config.inner, config.prior.attribute_gain)
        state = TrainingState.begin(meta, validate(problem, meta, config))
    while state.iteration < settings.iterations:
        state, loss = _update(problem, config, state)
        if state.iteration % settings.evaluate_every == 0 or state.iteration == settings.iterations:
            latest = validate(problem, state.meta, config)
            state = replace(
                state, latest=latest, history=[*state.history, (state.iteration, latest.before, latest.after)]
            )
            # Ties keep the earlier parameters: without evidence, the simpler starting point stays.
            if latest.after > state.best.after:
                state = replace(state, best=latest, best_meta=state.meta, best_iteration=state.iteration)
            if state_dir is not None:
                save_state(state, state_dir, config, problem)
        if on_progress is not None:
            on_progress(Progress(state.iteration, settings.iterations, loss, state.latest, state.best))
    return TrainResult(state.best_meta, state.best, state.start, state.history, state.best_iteration)


def _update(problem: Problem, config: RunConfig, state: TrainingState) -> tuple[TrainingState, float]:
    """Returns the state after one more update, and the query loss."""
    settings = config.train
    batch = _task_batch(problem, config, state)
    done = state.iteration / settings.iterations
    if settings.algorithm == "reptile":
        meta = reptile_update(state.meta, batch, config.inner, settings.reptile_rate * (1 - done))
        return replace(state, meta=meta, iteration=state.iteration + 1), math.nan
    loss, gradients = maml_gradient(
        state.meta,
        batch,
        config.inner,
        order="second" if settings.algorithm == "maml" else "first",
        temperature=settings.outer_temperature,
        value_coef=settings.outer_value_coef,
    )
    decay = 0.55 + 0.45 * math.cos(math.pi * done)
    rates = dict.fromkeys(gradients, settings.learning_rate * decay)
    rates["initialization"] = settings.initialization_rate * decay
    tensors, adam = state.adam.update(state.meta.tensors(), gradients, rates)
    return replace(state, meta=MetaParams(**tensors), adam=adam, iteration=state.iteration + 1), loss


def _task_batch(problem: Problem, config: RunConfig, state: TrainingState) -> TaskBatch:
    """Returns one fold's users after a roll-out of the current meta-policy, cut at random lengths."""
    settings = config.train
    space, members = problem.folds[state.iteration % settings.folds]
    population, users, shift = training_population(problem, space, members, config, state.iteration)
    session = settings.session_length if settings.form == "session" else 1
    starts = (state.meta.initialization + state.meta.attribute_gain * torch.from_numpy(shift)).numpy()
    policy = AdaptedPolicy(
        space.features, space.popularity, starts, state.meta.inner_params(config.inner), session_length=session
    )
    env = BatchEnv(
        population,
        torch.from_numpy(users),
        form=settings.form,
        horizon=session if settings.form == "session" else settings.horizon,
        discount=config.inner.discount if settings.form == "session" else 0.0,
        seed=config.seed,
    )
    rollout = play(env, policy, settings.horizon, generator(config.seed, "rollout", state.iteration))
    lengths = generator(config.seed, "lengths", state.iteration).integers(1, settings.horizon + 1, len(users))
    return TaskBatch(
        support=SupportBatch.pack(
            [_prefix(rollout, user, int(length), session) for user, length in enumerate(lengths)],
            torch.from_numpy(space.features),
            torch.from_numpy(space.popularity),
        ),
        shift=torch.from_numpy(shift),
        rewards=population.reward_probabilities(torch.from_numpy(users)),
        query=torch.from_numpy(_query(rollout, lengths)),
    )


def _prefix(rollout: Rollout, user: int, length: int, session: int) -> Support:
    return sequential_support(
        rollout.items[user, :length],
        rollout.rewards[user, :length],
        rollout.log_propensities[user, :length],
        rollout.candidates[user],
        session_length=session,
    )


def _query(rollout: Rollout, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    open_ = rollout.candidates.copy()
    for user, length in enumerate(lengths):
        open_[user, rollout.items[user, :length]] = False
    return open_
