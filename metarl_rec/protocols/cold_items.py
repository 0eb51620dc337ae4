"""Items that nobody has rated: a tenth of the catalogue held out of everything, known by attributes alone."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.choosing import DEFAULTS_SEEN
from metarl_rec.config import RunConfig, decided
from metarl_rec.errors import DataError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.preparing import prepared, split_embeddings
from metarl_rec.prior import fit_linear_encoder
from metarl_rec.problem import Problem, build_problem
from metarl_rec.protocols.parts import kept_splits
from metarl_rec.protocols.result import Curve, Panel, ProtocolResult, Table, Watch, above, measured
from metarl_rec.protocols.untrained import UNTRAINED
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.statistics import by_user, over_users
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace
from simulator.env import BatchEnv
from simulator.population import LoggedUsers

__all__ = ["Settings", "run"]

OURS, UNADAPTED, RANDOM = "adapted", "not adapted", "random cold items"
SAME, TUNED, KNOWN = "attribute popularity", "attribute popularity, ridge tuned", "true popularity, for comparison"
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1 of users and items; everybody starts at the empirical-Bayes initialization.
        cold: share of the items that are held out.
        steps: interactions with other items that a user is adapted by.
        shown: cold items that are then shown, the best by value.
        run: settings of prior and inner loop.
    """

    splits: int = Field(default=20, ge=1, le=1000)
    cold: float = Field(default=0.1, gt=0, lt=0.9)
    steps: int = Field(default=20, ge=1, le=1000)
    shown: int = Field(default=10, ge=1, le=1000)
    run: Annotated[RunConfig, AfterValidator(decided({"seed": "splits", **UNTRAINED}))] = RunConfig()


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings are read again.

    Raises:
        DataError: fewer items are held out than are shown, or fewer are left than there are steps.
    """
    share_cores()
    played = kept_splits(
        "cold-items",
        workspace,
        settings.run,
        settings.splits,
        [settings.cold, settings.steps, settings.shown],
        partial(_part, settings, workspace),
        watch,
    )
    return report(settings, dataset_store.load(workspace.dataset).name, played)


def _part(settings: Settings, workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    data, split = prepared(workspace, config)
    count = len(data.item_ids)
    held_out = int(settings.cold * count)
    if held_out < settings.shown:
        raise DataError(
            f"cold={settings.cold:g} of {count} items leaves {held_out} cold ones, fewer than shown={settings.shown}; "
            "raise `cold`, lower `shown` or import more items"
        )
    if count - held_out < settings.steps:
        raise DataError(
            f"cold={settings.cold:g} of {count} items leaves {count - held_out} others, fewer than "
            f"steps={settings.steps}; lower `steps` or `cold`, or import more items"
        )
    cold = np.zeros(count, np.bool_)
    cold[np.random.default_rng([config.seed, 10]).permutation(count)[:held_out]] = True
    warm = data.only_items(~cold)
    problem = build_problem(warm, split, split_embeddings(warm, split.train, config), config)
    vectors = problem.item_attributes.encode_all([data.item_attributes[i] for i in np.flatnonzero(cold)])
    rewards = data.reward_table(config.threshold)[:, cold]
    encoded = {ridge: _encoded(problem, vectors, ridge) for ridge in RIDGES}
    choosers = rewards[split.validation]
    ridge = max(RIDGES, key=lambda r: float(_rate(encoded[r][:, -1][None], choosers, settings.shown).sum()))
    own = _encoded(problem, vectors, config.prior.item_ridge)
    features, popularity = own[:, :-1], np.clip(own[:, -1], 0.0, 1.0)
    judges = rewards[split.test]
    adapted = [
        np.asarray(popularity + weights @ features.T, np.float32)
        for weights in _weights(problem, config, settings.steps)
    ]
    scores = {
        SAME: popularity[None],
        TUNED: encoded[ridge][:, -1][None],
        UNADAPTED: adapted[0],
        OURS: adapted[-1],
        KNOWN: rewards[split.train].mean(axis=0)[None],
    }
    rates = {RANDOM: judges.mean(axis=1)} | {
        name: _rate(table, judges, settings.shown) for name, table in scores.items()
    }
    return {
        "split": config.seed,
        "items": int(cold.sum()),
        "ridge": ridge,
        "users": [data.user_ids[user] for user in split.test],
        "rates": {name: np.round(values.astype(np.float64), 6).tolist() for name, values in rates.items()},
        # Adapted after every step [N, steps + 1], the first before any.
        "by step": np.round(np.stack([_rate(table, judges, settings.shown) for table in adapted], 1), 6).tolist(),
    }


def _encoded(problem: Problem, vectors: NDArray[np.float32], ridge: float) -> NDArray[np.float32]:
    """Returns features and popularity [m, D + 1] of items known by attributes, as a checkpoint's item encoder does."""
    targets = np.column_stack([problem.space.features, problem.space.popularity])
    return fit_linear_encoder(problem.item_vectors, targets, ridge)(vectors)


def _weights(problem: Problem, config: RunConfig, steps: int) -> list[NDArray[np.float32]]:
    """Returns test users' weights [N, D] after 0 .. `steps` interactions with known items."""
    space, users = problem.space, problem.split.test
    starts = space.prior_means(problem.user_vectors[users], config.prior.attribute_gain)
    policy = AdaptedPolicy(space.features, space.popularity, starts, config.inner, topics=problem.topics)
    population = LoggedUsers(problem.rewards, problem.rated)
    env = BatchEnv(population, torch.from_numpy(users), horizon=steps, seed=config.seed)
    weights: list[NDArray[np.float32]] = []
    play(env, policy, steps, generator(config.seed, "evaluate"), lambda *_: weights.append(policy.weights))
    return weights


def _rate(scores: NDArray[np.floating[Any]], rewards: NDArray[np.uint8], shown: int) -> NDArray[np.float64]:
    """Returns the mean reward [N] of each user's best `shown` items; one row of scores serves everybody."""
    top = np.argsort(-np.broadcast_to(scores, rewards.shape), axis=1, kind="stable")[:, :shown]
    return np.asarray(np.take_along_axis(rewards, top, axis=1).mean(axis=1), np.float64)


def report(settings: Settings, data: str, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played."""
    people = [user for part in played for user in part["users"]]
    rates = {name: np.concatenate([part["rates"][name] for part in played]) for name in played[0]["rates"]}
    rows, bars, verdict = [], [], []
    for name, values in rates.items():
        gap = by_user(people, rates[OURS] - values)
        paired, less = "", ""
        if name != OURS:
            paired = measured(gap, digits=4, sign=True)
            less = f"{100 * (rates[OURS] < values).mean():.1f} %"
        rows.append((name, measured(by_user(people, values), digits=4), paired, less))
        if name in (RANDOM, SAME, TUNED, UNADAPTED):
            bars.append(above(f"adapted above {name}", gap, digits=4))
            verdict.append(f"Adapted minus {name}: {paired}; {less} of episodes have less.")
    return ProtocolResult(
        protocol="cold-items",
        title=f"Items that nobody has rated, {data}",
        tested=[
            f"Splits 0 to {settings.splits - 1}: {settings.cold:.0%} of the items ({played[0]['items']} of them) are "
            "held out of everything: embedding, prior, popularity, adaptation. They are known by their attributes, "
            "from which the checkpoint's item encoder makes features and a popularity.",
            f"Test users ({len(set(people))} people) adapt on {settings.steps} interactions with the other items, as "
            f"in the cold start. Then each is shown the {settings.shown} cold items of greatest value; a reward is a "
            f"rating of at least {settings.run.threshold:g}, and what they did not rate is none.",
            DEFAULTS_SEEN,
            "Attribute popularity ranks by the same encoder's popularity, or by one whose ridge was tuned on "
            "validation users. True popularity is that of the held-out ratings of train users, which nobody has when "
            "an item is new.",
        ],
        verdict=verdict,
        bars=bars,
        tables=[
            Table(
                f"Reward rate of {settings.shown} cold items, mean over people ± standard error",
                ("policy", "reward rate", "adapted minus it", "have less"),
                rows,
                "Have less: share of episodes in which adapted has strictly fewer hits.",
                strong=(OURS,),
            )
        ],
        panels=[_panel(settings.shown, played, people, rates)],
        raw={"splits": played},
        context={"settings": settings.model_dump(mode="json")},
    )


def _panel(shown: int, played: list[dict[str, Any]], people: list[str], rates: dict[str, NDArray[np.float64]]) -> Panel:
    """Returns what every interaction adds."""
    adapted = np.concatenate([np.array(part["by step"], np.float64) for part in played])
    curves = []
    for name in (UNADAPTED, SAME, TUNED):
        means, errors = over_users(people, adapted - rates[name][:, None])
        curves.append(Curve(name, list(range(len(means))), means.tolist(), errors.tolist()))
    return Panel(f"{shown} cold items", "interactions with other items", "reward rate, adapted minus it", curves)
