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

import torch

from metarl_rec.config import RunConfig
from metarl_rec.errors import ConfigError
from metarl_rec.gate import best_of, improves, worth
from metarl_rec.inner_loop import Order
from metarl_rec.inner_params import value_weight_of
from metarl_rec.meta_params import MetaParams, raw_fatigue_of
from metarl_rec.outer_loop import maml_gradient, reptile_update
from metarl_rec.populations import TrainingPopulations
from metarl_rec.problem import Problem
from metarl_rec.task_batches import rollout_params, task_batch
from metarl_rec.training_state import TrainingState, load_state, save_state
from metarl_rec.validate import Validation, validate, validate_rivals

__all__ = ["Progress", "TrainResult", "meta_train", "start_of"]

_ORDERS: dict[str, Order | None] = {"maml": "second", "fomaml": "first", "joint": None}


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
        start: the validation of the empirical-Bayes start that was chosen.
        start_meta: that start.
        history: (iteration, before, after) of every validation, in order.
        best_iteration: updates behind `meta`; 0 is the start.
        last: the meta-parameters after the last update, whatever they validated at.
    """

    meta: MetaParams
    best: Validation
    start: Validation
    start_meta: MetaParams
    last: MetaParams
    history: list[tuple[int, float, float]] = field(default_factory=list)
    best_iteration: int = 0


def start_of(problem: Problem, config: RunConfig) -> MetaParams:
    """Returns the empirical-Bayes start, from which the settings' meta-training begins."""
    items, dim = problem.space.features.shape
    learned = items if config.train.feature_rate > 0 else 0
    return MetaParams.start(dim, config.inner, config.prior.attribute_gain, items=learned)


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
        ConfigError: the settings ask for a device that this machine does not have.
        CheckpointError: `resume` finds no state, or one of another configuration or split.
    """
    settings = config.train
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("setting train.device: this machine has no CUDA device; set it to cpu")
    populations = TrainingPopulations.fit(problem, config)
    if resume and state_dir is not None:
        state = load_state(state_dir, config, problem)
    else:
        start = _chosen_start(populations)
        state = TrainingState.begin(start, validate(populations, start))
    while state.iteration < settings.iterations:
        state, loss = _update(populations, state)
        if state.iteration % settings.evaluate_every == 0 or state.iteration == settings.iterations:
            latest = validate(populations, state.meta)
            state = replace(
                state, latest=latest, history=[*state.history, (state.iteration, latest.before, latest.after)]
            )
            # Without evidence the simpler starting point stays.
            if improves(latest, state.best, state.start, settings.harm_cost):
                state = replace(state, best=latest, best_meta=state.meta, best_iteration=state.iteration)
            if state_dir is not None:
                save_state(state, state_dir, config, problem)
        if on_progress is not None:
            on_progress(Progress(state.iteration, settings.iterations, loss, state.latest, state.best))
    return TrainResult(
        state.best_meta, state.best, state.start, state.start_meta, state.meta, state.history, state.best_iteration
    )


def _chosen_start(populations: TrainingPopulations) -> MetaParams:
    """Returns the empirical-Bayes start whose fatigue, residual variance and forgetting those who choose get most with.

    The likelihood's variance belongs to what empirical Bayes estimates, as the prior does; so does how fast tastes
    move, or people tire of topics, where they do. The settings' stay unless others are better by what the gate asks
    for, too.
    """
    config = populations.config
    given = start_of(populations.problem, config)
    tired = config.train.start_fatigues if any(config.inner.fatigue) else ()
    memories = len(config.inner.fatigue)
    # Fatigue first: with too little of it, that people tire looks like noise, and a noise that hides it would be taken.
    start = _best_of(populations, [given, *(replace(given, raw_fatigue=raw_fatigue_of([h] * memories)) for h in tired)])
    noises = [given.value_weight, *(torch.tensor(value_weight_of(noise)) for noise in config.train.start_noises)]
    rates = [given.log_forgetting]
    if config.inner.forgetting > 0:
        rates += [torch.tensor(math.log(rate)) for rate in config.train.start_forgettings]
    # Noise and forgetting make up for each other.
    return _best_of(
        populations, [replace(start, value_weight=noise, log_forgetting=rate) for rate in rates for noise in noises]
    )


def _best_of(populations: TrainingPopulations, starts: list[MetaParams]) -> MetaParams:
    """Returns the start that those who choose get most with; the first stays without evidence."""
    if len(starts) == 1:
        return starts[0]
    harm_cost = populations.config.train.harm_cost
    return starts[best_of([worth(each, harm_cost) for each in validate_rivals(populations, starts)])]


def _update(populations: TrainingPopulations, state: TrainingState) -> tuple[TrainingState, float]:
    """Returns the state after one more update, and the query loss."""
    config = populations.config
    settings = config.train
    base = rollout_params(config)
    batch = task_batch(populations, state.meta, state.iteration)
    done = state.iteration / settings.iterations
    device = torch.device(settings.device)
    if settings.algorithm == "reptile":
        meta = reptile_update(state.meta, batch, base, settings.reptile_rate * (1 - done), device)
        return replace(state, meta=meta, iteration=state.iteration + 1), math.nan
    loss, gradients = maml_gradient(
        state.meta,
        batch,
        base,
        order=_ORDERS[settings.algorithm],
        temperature=settings.outer_temperature,
        value_coef=settings.outer_value_coef,
        learn_features=settings.learns_features,
        device=device,
    )
    decay = 0.55 + 0.45 * math.cos(math.pi * done)
    rates = dict.fromkeys(gradients, settings.learning_rate * decay)
    rates["initialization"] = settings.initialization_rate * decay
    rates["log_scale"] = settings.scale_rate * decay
    rates["feature_shift"] = settings.feature_rate * decay
    rates["raw_fatigue"] = settings.fatigue_rate * decay
    tensors, adam = state.adam.update(state.meta.tensors(), gradients, rates)
    return replace(state, meta=MetaParams(**tensors), adam=adam, iteration=state.iteration + 1), loss
