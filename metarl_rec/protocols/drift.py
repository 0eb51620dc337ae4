"""Worlds that move: drifting tastes, abrupt changes, satiation, sessions that end; against HB with tuned forgetting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.baselines import HierarchicalBayesPolicy
from metarl_rec.config import STARTS, RunConfig, TrainConfig, decided, names_of
from metarl_rec.fatigue import RETENTIONS
from metarl_rec.frozen import FrozenSettings
from metarl_rec.gate import best_of
from metarl_rec.inner_params import InnerParams, value_weight_of
from metarl_rec.lineup import Lineup
from metarl_rec.meta_params import MetaParams
from metarl_rec.oracle import Oracle
from metarl_rec.policies import FixedPolicy, OnlinePolicy
from metarl_rec.populations import fit_prior_on
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem
from metarl_rec.protocol import POLICIES
from metarl_rec.protocols.limits import DRIFT_LIMITS
from metarl_rec.protocols.moving import moving_bars, tiring_bars
from metarl_rec.protocols.parts import kept
from metarl_rec.protocols.result import Curve, Panel, ProtocolResult, Table, Watch, measured
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.statistics import over_episodes
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train
from metarl_rec.workspace import Workspace
from metarl_rec.worlds import WorldConfig, make_env
from simulator import BatchEnv
from simulator.fitting import UserPrior

__all__ = ["WORLDS", "Settings", "moving_env", "run"]

WORLDS: dict[str, dict[str, Any]] = {
    "drift": {"drift": {"rate": 0.2}},
    "abrupt drift": {"drift": {"rate": 0.0, "jump": 0.04}},
    "satiation": {"satiation": {"strength": 4.0}},
    "sessions": {"leaving": {"hazard": 0.02, "failure": 0.2, "boredom": 4.0, "tolerance": 0.25}},
}
OURS, GREEDY, UNADAPTED, POPULARITY = "adapted meta-policy", "adapted, greedy", "meta-policy", "popularity"
STATIONARY, FORGETTING, TIRING = "HB linear, greedy", "HB linear, forgetting", "HB linear, fatigue"
UNTRAINED = "adapted, not meta-trained"
"""The start that those who choose take: what ships minus it is what meta-training is worth."""
PARTS: dict[str, Callable[[InnerParams], dict[str, Any]]] = {
    "adapted, value term only": lambda shipped: {"policy_coef": 0.0},
    "adapted, policy-gradient term x 30": lambda shipped: {"policy_coef": 30.0 * shipped.policy_coef},
    "adapted, no fatigue": lambda shipped: {"fatigue": (0.0, 0.0, 0.0)},
}
"""What is changed of what ships, one part at a time."""
REMEMBERING = "adapted, no forgetting"
"""Forgetting and noise make up for each other, so this one has its noise chosen anew."""
OTHERS = ("random", "LinUCB", "logistic UCB", "BPR fold-in", "oracle")
NOISES = (0.2, 0.15, 0.3, 0.5, 0.8, 1.2)
FORGETTING_GRID = (0.04, 0.0, 0.01, 0.02, 0.03, 0.06, 0.1)
START_NOISES = (0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2)
START_FORGETTING, START_FORGETTINGS = 0.06, (0.03, 0.1)
START_FATIGUE, START_FATIGUES = 0.03, (0.1, 0.3, 0.6)
"""What HB is tuned among, and what our start is chosen from, both by the same rule: the first stays unless another is
better by more than luck. What moves is noise to a linear model, so the grids reach further than those of people who
stand still; the two parametrize forgetting differently. With a noise of .2, HB's .04 and our .06 are the best of each,
or next to it, in drift and abrupt drift on both data sets (tests/learning/README.md). Fatigue is the same for both."""
_BESIDE = sorted({*POLICIES} - {OURS, GREEDY, UNADAPTED, POPULARITY, STATIONARY, FORGETTING, *PARTS})
DECIDED = {
    "seed": "splits",
    "train.world": "worlds",
    "train.form": "worlds",
    "train.population": "",
    "train.session_length": "",
    "train.horizon": "steps",
    "train.iterations": "iterations",
    "train.evaluate_every": "iterations",
    "train.simulated_users": "train_users",
    "train.validation_users": "validation_users",
    "train.validation_repeats": "",
    "train.jury_users": "",
    "train.fatigue_rate": "",
    "inner.forgetting": "worlds",
    "inner.fatigue": "worlds",
    "inner.discount": "worlds",
} | {f"train.{name}": "" for name in STARTS}
"""What the protocol decides of a run, and by which of its settings."""


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1 of the users; each is trained anew in each world.
        worlds: which of WORLDS.
        steps: slates of one item that everybody is shown, if they stay.
        users: simulated users who judge, drawn from a prior fitted on the split's test users.
        validation_users: simulated users who tune and choose, drawn from a prior fitted on its validation users; with
            200 of them luck decides between settings that are a third of a reward apart.
        iterations: outer updates.
        train_users: simulated users an outer update plays.
        others: what plays beside, tuned on validation users who stand still; MeLU and PPO take minutes a world.
        run: data, prior, inner-loop and training settings; not those that the protocol decides itself.
    """

    splits: int = Field(default=5, ge=1, le=1000)
    worlds: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(names_of("world", WORLDS))] = tuple(WORLDS)
    steps: int = Field(default=60, ge=2, le=1000)
    users: int = Field(default=2000, ge=2, le=100_000)
    validation_users: int = Field(default=600, ge=2, le=100_000)
    iterations: int = Field(default=40, ge=0, le=10_000)
    train_users: int = Field(default=48, ge=2, le=10_000)
    others: Annotated[tuple[str, ...], AfterValidator(names_of("policy", _BESIDE))] = OTHERS
    run: Annotated[RunConfig, AfterValidator(decided(DECIDED))] = RunConfig()


def config_of(settings: Settings, world: str, split: int) -> RunConfig:
    """Returns the training's settings: forgetting where tastes move, fatigue and discount where showing has effects."""
    moves = WorldConfig.model_validate(WORLDS[world])
    train = {
        "population": "latent",
        "form": "session" if moves.sessions or moves.satiation else "bandit",
        "session_length": 20,
        "horizon": settings.steps,
        "iterations": settings.iterations,
        "evaluate_every": max(1, settings.iterations // 4),
        "simulated_users": settings.train_users,
        "validation_users": settings.validation_users,
        "validation_repeats": 1,
        "start_noises": START_NOISES,
        "start_forgettings": START_FORGETTINGS,
        "start_fatigues": START_FATIGUES,
        "fatigue_rate": 0.3,
        "world": moves,
    }
    inner = settings.run.inner.model_dump()
    if moves.drift is not None:
        inner["forgetting"] = START_FORGETTING
    else:
        inner |= {"fatigue": (START_FATIGUE,) * len(RETENTIONS), "discount": 0.9}
    return settings.run.model_copy(
        update={
            "seed": split,
            "train": TrainConfig.model_validate(settings.run.train.model_dump() | train),
            "inner": InnerParams.model_validate(inner, strict=False),
        }
    )


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; worlds and splits that were played before with the same settings are read again."""
    share_cores()
    parts = workspace.evaluation / "drift" / "parts"
    data = dataset_store.load(workspace.dataset)
    played: list[dict[str, Any]] = []
    total = settings.splits * len(settings.worlds)
    for split in range(settings.splits):
        for world in settings.worlds:
            watch(f"{world}, split {split}", len(played), total)
            played.append(_part(settings, workspace, parts, data.digest, world, split))
    watch("report", total, total)
    return report(settings, data.name, played)


def _part(settings: Settings, workspace: Workspace, parts: Path, digest: str, world: str, split: int) -> dict[str, Any]:
    config = config_of(settings, world, split)
    asked = [digest, config.model_dump(mode="json"), settings.users, settings.validation_users, settings.others]

    def make() -> dict[str, Any]:
        return _Trial(split_problem(workspace, config), config, settings, world).played()

    return kept(parts, f"{world.replace(' ', '-')}-{split}", asked, make)


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
        moving = self._best_of([partial(self._hb, noise=n, forgetting=q) for q in FORGETTING_GRID for n in NOISES])
        tuned = {STATIONARY: still, FORGETTING: moving}
        if any(config.inner.fatigue):
            levels = (START_FATIGUE, *START_FATIGUES)
            tuned[TIRING] = self._best_of([partial(still, fatigue=(h,) * len(RETENTIONS)) for h in levels])
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


def moving_env(world: str, prior: UserPrior, topics: NDArray[np.float32] | None, users: int, seed: int) -> BatchEnv:
    """Returns one of WORLDS with N users drawn from a prior; `seed` decides who they are and what moves.

    Args:
        world: of WORLDS.
        prior: of the users' tastes.
        topics: [n, T] float32, or None where the data set has none.
        users: N.
        seed: of users and world.
    """
    return make_env(
        WorldConfig.model_validate(WORLDS[world]),
        prior.draw(users, seed=seed),
        topics,
        np.arange(users),
        session_length=20,
        discount=0.0,
        seed=seed,
    )


def report(settings: Settings, data: str, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played."""
    tables, bars, panels, verdict = [], [], [], []
    for world in settings.worlds:
        here = [part for part in played if part["world"] == world]
        totals = {name: np.array([part["totals"][name] for part in here]) for name in here[0]["totals"]}
        gaps = {name: totals[OURS] - table for name, table in totals.items() if name != OURS}
        rows = []
        for name, table in totals.items():
            gap = gaps.get(name)
            cells = ("", "") if gap is None else (measured(gap.ravel(), sign=True), f"{100 * (gap < 0).mean():.1f} %")
            rows.append((name, measured(table.ravel()), *cells))
        columns = ("policy", f"reward of {settings.steps} steps", "adapted minus it", "have less")
        note = " ".join(_what_shipped(part, gaps, index) for index, part in enumerate(here))
        tables.append(Table(f"World: {world} {WORLDS[world]}", columns, rows, note, strong=(OURS,)))
        stationary, forgetting = gaps[STATIONARY].ravel(), gaps[FORGETTING].ravel()
        bars += moving_bars(world, stationary, forgetting, float(totals[FORGETTING].mean()), DRIFT_LIMITS)
        if TIRING in gaps:
            bars += tiring_bars(world, gaps[TIRING].ravel(), float(totals[TIRING].mean()), DRIFT_LIMITS)
        unadapted, sampling = gaps[UNADAPTED].ravel(), gaps[GREEDY].ravel()
        verdict.append(
            f"{world}: adapted minus HB without forgetting {measured(stationary, sign=True)}, minus HB with tuned "
            f"forgetting {measured(forgetting, sign=True)}, minus no adaptation {measured(unadapted, sign=True)} "
            f"({100 * (unadapted < 0).mean():.1f} % of users have less than without), minus the same without sampling "
            f"{measured(sampling, sign=True)}. "
            + "".join(
                f"What ships minus {name} {measured(gaps[name].ravel(), sign=True)}. "
                for name in (UNTRAINED, *PARTS, REMEMBERING)
                if name in gaps
            )
        )
        panels.append(_panel(world, here, settings.steps))
    return ProtocolResult(
        protocol="drift",
        title=f"Worlds that move, users drawn after {data}",
        tested=[
            f"Simulated users: {settings.users} for each of {settings.splits} splits, drawn from a prior fitted on the "
            "split's test users, of whom nothing was used for training; others, drawn from a prior fitted on its "
            "validation users, tuned the baselines and chose the iteration that counts.",
            "Ours is meta-trained in the world: where tastes move, those who choose take the start's forgetting and "
            "noise from a grid, where showing has effects its noise and fatigue (discount .9), and the outer loop goes "
            "on from there. Parameters ship only where others who judge gain by them; below every table stands what "
            f"shipped, and '{UNTRAINED}' is the start.",
            "HB with forgetting is the Kalman filter of drifting tastes; with fatigue it minds what was shown as ours "
            "does, at a strength of the same grid. Its noise, forgetting and fatigue are chosen in the same world, by "
            "as many people and the same rule as our start's. HB is greedy, and ours samples, as it is served. "
            "Everybody plays the same users with the same random numbers. The others are as in cold start, tuned on "
            "validation users' ratings; the oracle knows what everybody likes at that moment.",
            "Standard errors are over users; a split's training and tuning happen once, so the differences of every "
            "split are given besides. Have less: share of users with less reward than under the other policy.",
        ],
        verdict=verdict,
        bars=bars,
        tables=tables,
        panels=panels,
        raw={"parts": played},
        context={"settings": settings.model_dump(mode="json"), "worlds": {w: WORLDS[w] for w in settings.worlds}},
    )


def _what_shipped(part: dict[str, Any], gaps: dict[str, NDArray[np.float64]], index: int) -> str:
    """Returns what one split shipped and tuned, and by how much it differs from HB."""
    inner, updates = part["inner"], part["best_iteration"]
    shipped = f"parameters after {updates} updates" if updates else "the start that was chosen"
    minus = ", ".join(f"minus {name} {gaps[name][index].mean():+.2f}" for name in (STATIONARY, FORGETTING))
    hb = ", ".join(f"{name} {_options(options)}" for name, options in part["tuned"].items())
    fatigue = ", ".join(f"{h:.2f}" for h in inner["fatigue"])
    return (
        f"Split {part['split']} shipped {shipped}: forgetting {inner['forgetting']:.3f}, noise "
        f"{np.exp(-inner['value_weight'][0]):.2f}, fatigue {fatigue}; {hb}; ours {minus}."
    )


def _options(options: dict[str, Any]) -> str:
    """Returns a tuned policy's options; fatigue is the same in all memories."""
    return " ".join(
        f"{name} {value[0] if isinstance(value, list | tuple) else value}" for name, value in options.items()
    )


def _panel(world: str, here: list[dict[str, Any]], steps: int) -> Panel:
    curves = []
    for name in here[0]["above_popularity"]:
        if name != POPULARITY:
            means, errors = np.array([part["above_popularity"][name] for part in here]).transpose(1, 0, 2)
            error = np.sqrt(np.square(errors).sum(axis=0)) / len(here)
            curves.append(Curve(name, list(range(1, steps + 1)), means.mean(axis=0).tolist(), error.tolist()))
    return Panel(world, "interactions", "reward above popularity", curves)
