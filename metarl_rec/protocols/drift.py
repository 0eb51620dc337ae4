"""Worlds that move: drifting tastes, abrupt changes, satiation, sessions that end; against HB with tuned forgetting."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.baselines import HierarchicalBayesPolicy
from metarl_rec.config import RunConfig
from metarl_rec.fatigue import RETENTIONS
from metarl_rec.gate import best_of
from metarl_rec.inner_params import InnerParams, value_weight_of
from metarl_rec.lineup import Lineup
from metarl_rec.meta_params import MetaParams
from metarl_rec.oracle import Oracle
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.populations import fit_prior_on
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem
from metarl_rec.protocols.drift_report import report
from metarl_rec.protocols.drift_worlds import (
    FORGETTING,
    FORGETTING_GRID,
    GREEDY,
    NOISES,
    OURS,
    PARTS,
    POPULARITY,
    REMEMBERING,
    START_FATIGUE,
    START_FATIGUES,
    STATIONARY,
    TIRING,
    UNADAPTED,
    UNTRAINED,
    Settings,
    config_of,
    moving_env,
)
from metarl_rec.protocols.parts import Part, kept_parts
from metarl_rec.protocols.result import ProtocolResult, Watch
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.statistics import over_episodes
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train
from metarl_rec.workspace import Workspace
from simulator import BatchEnv
from simulator.fitting import UserPrior

__all__ = ["run"]


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; worlds and splits that were played before with the same settings are read again."""
    share_cores()
    data = dataset_store.load(workspace.dataset)
    parts = [
        _part(settings, workspace, data.digest, world, split)
        for split in range(settings.splits)
        for world in settings.worlds
    ]
    return report(settings, data.name, kept_parts(workspace.evaluation / "drift" / "parts", parts, watch))


def _part(settings: Settings, workspace: Workspace, digest: str, world: str, split: int) -> Part:
    config = config_of(settings, world, split)
    asked = [digest, config.model_dump(mode="json"), settings.users, settings.validation_users, settings.others]

    def make() -> dict[str, Any]:
        return _Trial(split_problem(workspace, config), config, settings, world).played()

    return Part(f"{world.replace(' ', '-')}-{split}", f"{world}, split {split}", asked, make)


def _with_parts_changed(inner: InnerParams, config: InnerParams) -> dict[str, InnerParams]:
    """Returns what was learned with each part of PARTS changed; parts that the world's settings leave out stay out."""
    return {
        name: inner.model_copy(update=change(inner))
        for name, change in PARTS.items()
        if config.model_copy(update=change(config)) != config
    }


class _Trial:
    """One split's contenders in one world."""

    def __init__(self, problem: Problem, config: RunConfig, settings: Settings, world: str) -> None:
        self._problem, self._config, self._settings, self._world = problem, config, settings, world
        split = problem.split
        self._judges = fit_prior_on(problem.space, problem.rewards[split.test])
        self._choosers = fit_prior_on(problem.space, problem.rewards[split.validation])

    def played(self) -> dict[str, Any]:
        """Trains, tunes and plays; returns every judge's total reward, and curves of the reward above popularity."""
        problem, config, count = self._problem, self._config, self._settings.users
        result = meta_train(problem, config)
        inner = result.meta.inner_params(config.inner)
        space, start = result.meta.scaled(problem.space), result.meta.initialization.numpy()

        def adapted(
            inner: InnerParams, users: int = count, *, meta: MetaParams = result.meta, greedy: bool = False
        ) -> OnlinePolicy:
            space = meta.scaled(problem.space)
            starts = np.tile(meta.initialization.numpy(), (users, 1)).astype(np.float32)
            return AdaptedPolicy(space.features, space.popularity, starts, inner, greedy=greedy, topics=problem.topics)

        still = self._best_of([partial(self._hb, noise=n) for n in NOISES])
        # Where tastes stand still, who forgets has to show that it pays.
        rates = FORGETTING_GRID if config.inner.forgetting else sorted(FORGETTING_GRID)
        moving = self._best_of([partial(self._hb, noise=n, forgetting=q) for q in rates for n in NOISES])
        tuned = {STATIONARY: still, FORGETTING: moving}
        if any(config.inner.fatigue):
            levels = (START_FATIGUE, *START_FATIGUES)
            # With too little fatigue, that people tire looks like noise: the two are tuned together.
            tuned[TIRING] = self._best_of(
                [partial(self._hb, noise=n, fatigue=(h,) * len(RETENTIONS)) for h in levels for n in NOISES]
            )
        contenders: dict[str, OnlinePolicy] = {
            POPULARITY: FixedPolicy(np.tile(space.popularity, (count, 1))),
            UNADAPTED: FixedPolicy(np.tile(space.popularity + space.features @ start, (count, 1)), inner.temperature),
            **{name: choice(count) for name, choice in tuned.items()},
            UNTRAINED: adapted(result.start_meta.inner_params(config.inner), meta=result.start_meta),
            OURS: adapted(inner),
            GREEDY: adapted(inner, greedy=True),
        }
        judging = self._env(self._judges, count, "judge")
        lineup = Lineup(problem, result.meta, config)
        contenders |= {
            name: lineup.policy(name, lineup.unknown(count), Oracle(judging)) for name in self._settings.others
        }
        contenders |= {name: adapted(each) for name, each in _with_parts_changed(inner, config.inner).items()}
        if inner.forgetting > 0:
            rivals = [inner.model_copy(update={"forgetting": 0.0, "value_weight": value_weight_of(n)}) for n in NOISES]
            contenders[REMEMBERING] = self._best_of([partial(adapted, rival) for rival in rivals])(count)
        rewards = {name: self._play(policy, judging, "judge") for name, policy in contenders.items()}
        return {
            "world": self._world,
            "split": config.seed,
            "totals": {name: rows.sum(axis=1).tolist() for name, rows in rewards.items()},
            "above_popularity": {name: _curve(rows - rewards[POPULARITY]) for name, rows in rewards.items()},
            "inner": inner.model_dump(mode="json"),
            "history": result.history,
            "best_iteration": result.best_iteration,
            "baselines": lineup.choices(),
            "tuned": {name: choice.keywords for name, choice in tuned.items()},
        }

    def _hb(self, users: int, **options: Any) -> OnlinePolicy:
        space, topics = self._problem.space, self._problem.topics
        means = np.zeros((users, space.features.shape[1]), np.float32)
        return HierarchicalBayesPolicy(space.features, space.popularity, means, topics=topics, **options)

    def _best_of(self, choices: list[partial[OnlinePolicy]]) -> partial[OnlinePolicy]:
        """Returns which policy for N users those who choose get most with; the first stays without evidence."""
        users = self._settings.validation_users
        env = self._env(self._choosers, users, "tune")
        played = [self._play(choice(users), env, "tune").sum(axis=1) for choice in choices]
        return choices[best_of(played)]

    def _env(self, prior: UserPrior, users: int, purpose: str) -> BatchEnv:
        # Seeds that no training population has.
        seed = self._config.seed + (1_000_000_007 if purpose == "judge" else 1_500_000_001)
        return moving_env(self._world, prior, self._problem.topics, users, seed)

    def _play(self, policy: OnlinePolicy, env: BatchEnv, purpose: str) -> NDArray[np.float64]:
        rollout = play(env, policy, self._settings.steps, generator(self._config.seed, "worlds", purpose))
        return np.asarray(rollout.rewards.sum(axis=2), np.float64)


def _curve(rewards: NDArray[np.float64]) -> list[list[float]]:
    """Returns the mean of cumulated rewards [N, T] after every step, and its standard error."""
    return [np.round(each, 4).tolist() for each in over_episodes(np.arange(len(rewards)), rewards.cumsum(axis=1))]
