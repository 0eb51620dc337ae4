"""Search for settings on people whom the split leaves for it: validation users and cross-fitted train users.

A trial fits the prior and plays as is served, sampled and adapting after every interaction, without meta-training:
seconds. Every train user plays in a space that has never seen them, so a split offers hundreds of people to choose by,
and its test users are not looked at. Trials are kept in a journal; the same call of the same code goes on where the
last one stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig, assigned, validated
from metarl_rec.cross_fitting import FoldedEmbeddings
from metarl_rec.dataset import Dataset, UserSplit
from metarl_rec.errors import AdaptationError, ConfigError, DataError
from metarl_rec.preparing import prepared, split_embeddings
from metarl_rec.problem import Problem, build_problem
from metarl_rec.provenance import sources
from metarl_rec.seeding import generator
from metarl_rec.tasks import TaskSpace
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace

if TYPE_CHECKING:
    import optuna

__all__ = ["SPACE", "Found", "Range", "tune", "write_settings"]


@dataclass(frozen=True, slots=True)
class Range:
    """Where a setting is searched.

    Attributes:
        low: least value.
        high: greatest value.
        log: whether to search its logarithm.
    """

    low: float
    high: float
    log: bool = False


SPACE = {
    "prior.shrinkage": Range(0.1, 0.8),
    "prior.item_attribute_scale": Range(0.0, 0.4),
    "prior.attribute_gain": Range(0.0, 2.0),
    "prior.user_ridge": Range(5.0, 100.0, log=True),
    "inner.temperature": Range(0.002, 0.05, log=True),
    "inner.policy_coef": Range(1e-6, 1e-3, log=True),
    "noise_0": Range(0.08, 0.5, log=True),
    "noise_1": Range(0.08, 0.5, log=True),
}
"""What is searched. `noise_y` is the residual variance of an answer with reward y; the first two entries of
`inner.value_weight` follow from them."""

OnTrial = Callable[[int, float | None, float], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave.

    Attributes:
        best: settings of the best trial, by name as `--set` takes them.
        reward: its mean reward over 40 steps.
        start: the mean reward of the configuration that the search began with.
        difference: best minus start, paired over people.
        standard_error: of that difference; the best of many trials flatters itself by about as much.
        trials: (number, reward) of every trial so far that could be played.
        failed: (number, why) of every other.
        people: how many judged.
    """

    best: dict[str, Any]
    reward: float
    start: float
    difference: float
    standard_error: float
    trials: list[tuple[int, float]]
    failed: list[tuple[int, str]]
    people: int


def tune(
    workspace: Workspace,
    config: RunConfig,
    *,
    trials: int,
    minutes: float = math.inf,
    on_trial: OnTrial | None = None,
) -> Found:
    """Returns the best settings after `trials` trials in all, earlier calls included, or when the time is over.

    The configuration itself is played before anything else, so the result is never worse than it on the people who
    judge; where a search was stopped in the midst of that, the next call plays it, if need be beyond `trials`. A trial
    whose settings cannot be played, such as a shrinkage that leaves no feature, counts as failed.

    Args:
        workspace: holds the data set and keeps the journal.
        config: what to start from; its seed decides split and search.
        trials: wanted number of trials.
        minutes: budget of this call; the trial that runs is finished.
        on_trial: called after every trial with their number, the last reward (None where it failed) and the best.

    Raises:
        ConfigError: the time was over before the configuration itself was played.
        DataError, AdaptationError: the configuration itself cannot be played.
    """
    import optuna

    share_cores()
    dataset, split = prepared(workspace, config)
    trial_of = _Objective(dataset, split, split_embeddings(dataset, split.train, config), config)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    workspace.tuning.mkdir(parents=True, exist_ok=True)
    study = _study(workspace.tuning, dataset, config)
    until = time.monotonic() + 60 * minutes
    start = _start(study)
    while (start is None or _ended(study) < trials) and time.monotonic() < until:
        trial = study.ask()
        reward = None
        try:
            rewards = trial_of(config if start is None else _suggested(trial, config))
        except (AdaptationError, DataError) as error:
            # What is asked for has to be playable; what is suggested need not be.
            if start is None:
                raise
            trial.set_user_attr("failure", str(error))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            reward = float(rewards.mean())
            trial.set_user_attr("rewards", [float(r) for r in rewards])
            study.tell(trial, reward)
        if on_trial is not None:
            on_trial(_ended(study), reward, study.best_value)
        start = start or _start(study)
    if start is None:
        raise ConfigError("the configuration itself was not played in time; give more minutes")
    done = [t for t in study.trials if t.value is not None]
    best = max(done, key=lambda t: float(t.value or 0.0))
    gap = np.array(best.user_attrs["rewards"]) - np.array(start.user_attrs["rewards"])
    return Found(
        best=_as_settings(best.params, config),
        reward=float(best.value or 0.0),
        start=float(start.value or 0.0),
        difference=float(gap.mean()),
        standard_error=float(gap.std(ddof=1) / np.sqrt(len(gap))),
        trials=[(t.number, float(t.value or 0.0)) for t in done],
        failed=_failed(study),
        people=len(gap),
    )


def write_settings(path: Path, settings: dict[str, Any]) -> None:
    """Writes settings as the TOML file that `--config` takes."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in sorted(settings.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _study(directory: Path, dataset: Dataset, config: RunConfig) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    asked = json.dumps([sources(), dataset.digest, config.model_dump(mode="json"), repr(SPACE)])
    name = hashlib.sha256(asked.encode()).hexdigest()[:16]
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(directory / "journal.jsonl"))),
        direction="maximize",
        load_if_exists=True,
    )
    # A resumed search must not suggest once more what it did at first.
    seed = int(generator(config.seed, "tune", len(study.trials)).integers(2**32))
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)
    return study


def _ended(study: optuna.Study) -> int:
    return sum(trial.value is not None for trial in study.trials) + len(_failed(study))


def _failed(study: optuna.Study) -> list[tuple[int, str]]:
    return [(trial.number, trial.user_attrs["failure"]) for trial in study.trials if "failure" in trial.user_attrs]


def _start(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """Returns the finished trial of the configuration itself, which has no suggestions, or None."""
    return next((trial for trial in study.trials if trial.value is not None and not trial.params), None)


def _suggested(trial: optuna.Trial, config: RunConfig) -> RunConfig:
    chosen = {name: trial.suggest_float(name, r.low, r.high, log=r.log) for name, r in SPACE.items()}
    given = [f"{name}={json.dumps(value)}" for name, value in _as_settings(chosen, config).items()]
    return validated(RunConfig, assigned(config.model_dump(mode="json"), given), "metarl-rec tune --help")


def _as_settings(chosen: dict[str, float], config: RunConfig) -> dict[str, Any]:
    out: dict[str, Any] = {name: value for name, value in chosen.items() if "." in name}
    if "noise_0" in chosen:
        without, rewarded = chosen["noise_0"], chosen["noise_1"]
        out["inner.value_weight"] = [-math.log(without), math.log(without / rewarded), *config.inner.value_weight[2:]]
    return out


class _Objective:
    """Plays everybody whom a split leaves to choose by."""

    def __init__(self, dataset: Dataset, split: UserSplit, embeddings: FoldedEmbeddings, config: RunConfig) -> None:
        self._dataset, self._split, self._embeddings, self._seed = dataset, split, embeddings, config.seed

    def __call__(self, config: RunConfig) -> NDArray[np.float64]:
        """Returns each person's reward: cross-fitted train users fold by fold, then validation users."""
        problem = build_problem(self._dataset, self._split, self._embeddings, config)
        groups = [*problem.folds, (problem.space, problem.split.validation)]
        return np.concatenate([self._rewards(problem, space, users, config) for space, users in groups])

    def _rewards(
        self, problem: Problem, space: TaskSpace, users: NDArray[np.int64], config: RunConfig
    ) -> NDArray[np.float64]:
        starts = space.prior_means(problem.user_vectors[users], config.prior.attribute_gain)
        policy = AdaptedPolicy(space.features, space.popularity, starts, config.inner, topics=problem.topics)
        rewards = cold_start_rewards(problem, policy, users, self._seed, "tune")
        return np.asarray(rewards.sum(axis=1), np.float64)
