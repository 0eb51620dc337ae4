"""What a service may learn from beside answers to its slates: what got no answer, and a history told beforehand."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.choosing import DEFAULTS_SEEN
from metarl_rec.config import RunConfig, decided
from metarl_rec.errors import DataError
from metarl_rec.frozen import FrozenSettings
from metarl_rec.partial_feedback import ClicksOnly, Warmed
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem
from metarl_rec.protocols.parts import kept_splits
from metarl_rec.protocols.result import Curve, Panel, ProtocolResult, Table, Watch, above, measured
from metarl_rec.protocols.untrained import UNTRAINED
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.statistics import by_user
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace
from simulator.env import BatchEnv
from simulator.population import LoggedUsers

__all__ = ["Settings", "run"]

CLICKS, EVERYTHING = "clicks alone", "clicks and non-clicks"
TOLD = (0, 5, 10, 20)
READ_AT = (5, 10, 20, 40)


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1; everybody starts at the empirical-Bayes initialization.
        slate_sizes: slates that users answer by clicking on some of the items, or on none.
        shown: items that everybody is shown in all in such slates; a multiple of every slate size.
        steps: single items that everybody is shown after a history; hits are first read after five.
        run: settings of prior and inner loop.
    """

    splits: int = Field(default=20, ge=1, le=1000)
    slate_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(5, 10), min_length=1)
    shown: int = Field(default=100, ge=10, le=1000)
    steps: int = Field(default=40, ge=READ_AT[0], le=1000)
    run: Annotated[RunConfig, AfterValidator(decided({"seed": "splits", **UNTRAINED}))] = RunConfig()

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if uneven := [size for size in self.slate_sizes if self.shown % size]:
            raise ValueError(
                f"slate_sizes has {uneven[0]}, and shown={self.shown} items are no whole number of such slates; set "
                "shown to a multiple of every slate size"
            )
        return self


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings are read again.

    Raises:
        DataError: too few items for `shown` or `steps`, or a split without test users who have a history to tell.
    """
    share_cores()
    played = kept_splits(
        "signals",
        workspace,
        settings.run,
        settings.splits,
        [settings.slate_sizes, settings.shown, settings.steps],
        partial(_part, settings, workspace),
        watch,
    )
    return report(settings, dataset_store.load(workspace.dataset).name, played)


def _part(settings: Settings, workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    problem = split_problem(workspace, config)
    users = _judged(problem, settings, config.seed)
    space = problem.space
    starts = space.prior_means(problem.user_vectors[users], config.prior.attribute_gain)
    parts = (space.features, space.popularity, starts, config.inner)

    def hits(policy: AdaptedPolicy, steps: int, slate_size: int = 1) -> list[list[int]]:
        population = LoggedUsers(problem.rewards, problem.rated)
        env = BatchEnv(
            population, torch.from_numpy(users), horizon=steps, slate_size=slate_size, seed=config.seed
        )  # fmt: skip
        rollout = play(env, policy, steps, generator(config.seed, "evaluate"))
        found: list[list[int]] = rollout.rewards.sum(axis=2).astype(int).tolist()
        return found

    told, rewards, closed = _histories(problem, users, config.seed)
    return {
        "split": config.seed,
        "users": [problem.dataset.user_ids[user] for user in users],
        "answers": {
            str(size): {
                name: hits(kind(*parts, topics=problem.topics), settings.shown // size, size)
                for name, kind in ((CLICKS, ClicksOnly), (EVERYTHING, AdaptedPolicy))
            }
            for size in settings.slate_sizes
        },
        "warm-up": {
            str(count): hits(
                Warmed(told[:, :count], rewards[:, :count], closed, *parts, topics=problem.topics), settings.steps
            )
            for count in TOLD
        },
    }


def _judged(problem: Problem, settings: Settings, seed: int) -> NDArray[np.int64]:
    """Returns the test users who have as many ratings as the longest history tells.

    Raises:
        DataError: there is none, or there are fewer items than `shown`, or than the longest history and `steps` need.
    """
    users, count, most = problem.split.test, len(problem.dataset.item_ids), max(TOLD)
    for name, needed in (("shown", settings.shown), ("steps", most + settings.steps)):
        if needed > count:
            raise DataError(f"{count} items are too few for {name}, {needed} are needed; lower it or import more")
    enough: NDArray[np.int64] = users[problem.rated[users].sum(axis=1) >= most]
    if len(enough) == 0:
        raise DataError(
            f"no test user of split {seed} has {most} ratings to be told beforehand; raise run.min_ratings to {most} "
            "or import more data"
        )
    return enough


def _histories(
    problem: Problem, users: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
    """Returns the first ratings in time of every user (drawn where there are no times), as items and rewards.

    Everybody is barred from all of them, also who is told of fewer: the same items are left for all to be found.
    """
    data, most = problem.dataset, max(TOLD)
    told = np.zeros((len(users), most), np.int32)
    if data.timestamp is None:
        order = generator(seed, "history").permutation(len(data.rating))
    else:
        order = np.argsort(data.timestamp, kind="stable")
    for row, user in enumerate(users):
        own = order[data.user_index[order] == user]
        told[row] = data.item_index[own[:most]]
    closed = np.zeros((len(users), len(data.item_ids)), np.bool_)
    np.put_along_axis(closed, told.astype(np.int64), True, axis=1)
    rewards = np.take_along_axis(problem.rewards[users], told.astype(np.int64), axis=1)
    return told, rewards.astype(np.float32), closed


def report(settings: Settings, data: str, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played."""
    people = [user for part in played for user in part["users"]]
    tables, bars, panels, verdict = [], [], [], []
    for size in map(str, settings.slate_sizes):
        rewards = {name: _joined(played, "answers", size, name) for name in (CLICKS, EVERYTHING)}
        gap = by_user(people, (rewards[EVERYTHING] - rewards[CLICKS]).sum(axis=1))
        rows = [(name, measured(by_user(people, hits.sum(axis=1)))) for name, hits in rewards.items()]
        harmed = 100 * (rewards[EVERYTHING].sum(axis=1) < rewards[CLICKS].sum(axis=1)).mean()
        found = measured(gap, sign=True)
        note = f"Learning from non-clicks: {found} hits; {harmed:.1f} % of episodes have fewer hits with it."
        tables.append(Table(f"Slates of {size}", ("learns from", f"hits in {settings.shown} shown"), rows, note))
        bars.append(above(f"slates of {size}: non-clicks help", gap))
        verdict.append(f"Slates of {size}: learning from non-clicks, too, is worth {found} of {settings.shown} shown.")
        steps = [int(size) * (step + 1) for step in range(rewards[CLICKS].shape[1])]
        gained = (rewards[EVERYTHING] - rewards[CLICKS]).cumsum(axis=1).mean(axis=0).tolist()
        curves = [Curve(EVERYTHING, steps, gained)]
        panels.append(Panel(f"slates of {size}", "items shown", "hits above clicks alone", curves))
    warm = {count: _joined(played, "warm-up", str(count)).cumsum(axis=1) for count in TOLD}
    read_at = [h for h in READ_AT if h <= settings.steps]
    table: list[tuple[str, ...]] = []
    for count in TOLD:
        if count == 0:
            table.append(("nothing (hits)", *(measured(by_user(people, warm[0][:, h - 1])) for h in read_at)))
            continue
        gaps = [by_user(people, warm[count][:, h - 1] - warm[0][:, h - 1]) for h in read_at]
        cells = [measured(gap, sign=True) for gap in gaps]
        table.append((f"{count} ratings", *cells))
        bars.append(above(f"a warm-up of {count} ratings helps at {read_at[-1]}", gaps[-1]))
    verdict.append(f"A warm-up of {TOLD[-1]} ratings is worth {table[-1][-1]} hits at {read_at[-1]}.")
    note = f"Nobody is shown what is in their first {max(TOLD)} ratings, whether or not the policy was told of them."
    title = "Warm-up: hits, and what a history told beforehand adds"
    tables.append(Table(title, ("told", *(f"@{h}" for h in read_at)), table, note))
    curves = [
        Curve(f"{count} ratings", list(range(1, settings.steps + 1)), (warm[count] - warm[0]).mean(axis=0).tolist())
        for count in TOLD[1:]
    ]
    panels.append(Panel("warm-up", "interactions", "hits above no warm-up", curves))
    return ProtocolResult(
        protocol="signals",
        title=f"What is worth learning from, {data}",
        tested=[
            f"Test users of splits 0 to {settings.splits - 1} with at least {max(TOLD)} ratings, the longest history "
            f"that is told ({len(set(people))} people, {len(people)} episodes); those with fewer are left out of "
            "everything. The full catalogue, never one item twice; everybody starts from the empirical-Bayes prior, "
            "sampled as served.",
            DEFAULTS_SEEN,
            "Non-clicks: slates in which a user clicks on what they rated at least "
            f"{settings.run.threshold:g}. One policy learns from the clicks alone, the other also that the rest got "
            "none (reward 0), as a service does once the reward window has passed.",
            "Warm-up: a user's first ratings in time are told to the policy as events without a recommendation. "
            "Differences are paired by person, standard errors over people.",
        ],
        verdict=verdict,
        bars=bars,
        tables=tables,
        panels=panels,
        raw={"splits": played},
        context={"settings": settings.model_dump(mode="json")},
    )


def _joined(played: list[dict[str, Any]], *keys: str) -> NDArray[np.float64]:
    tables = []
    for part in played:
        found: Any = part
        for key in keys:
            found = found[key]
        tables.append(np.array(found, np.float64))
    return np.concatenate(tables)
