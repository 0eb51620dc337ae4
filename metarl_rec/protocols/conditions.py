"""Sequential use as in production: slates of one and of ten, late and missing answers, sampled and greedy."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from metarl_rec.config import RunConfig, decided
from metarl_rec.dataset import Dataset
from metarl_rec.lineup import Lineup
from metarl_rec.policies import FixedPolicy
from metarl_rec.preparing import prepared, split_problem
from metarl_rec.protocol import ADAPTED
from metarl_rec.protocols.parts import kept_splits
from metarl_rec.protocols.result import Curve, Panel, ProtocolResult, Table, Watch, mean_and_error, measured
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.statistics import by_user
from metarl_rec.threads import share_cores
from metarl_rec.train import start_of
from metarl_rec.workspace import Workspace
from metarl_rec.worlds import WorldConfig, make_env
from simulator.population import LoggedUsers

__all__ = ["CONDITIONS", "Settings", "run"]

UNADAPTED = "meta-policy"
POLICIES = (UNADAPTED, "HB linear, Thompson", "HB linear, greedy", ADAPTED, "adapted, greedy")
CONDITIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "slates of 1, answers at once": (1, {}),
    "slates of 1, up to 5 steps late": (1, {"feedback": {"max_delay": 5}}),
    "slates of 1, 30 % missing": (1, {"feedback": {"missing": 0.3}}),
    "slates of 10, answers at once": (10, {}),
    "slates of 10, up to 5 steps late, 30 % missing": (10, {"feedback": {"max_delay": 5, "missing": 0.3}}),
}
"""Slate size and world of each."""
_NOTE = "Have less: share of episodes with strictly fewer hits under the adapted policy."


class Settings(BaseModel):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1; every user starts at the empirical-Bayes initialization.
        shown: items that everybody is shown in all; slates of ten make a tenth as many steps.
        run: settings of prior and inner loop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: int = Field(default=10, ge=1, le=1000)
    shown: int = Field(default=100, ge=10, le=1000)
    run: Annotated[RunConfig, AfterValidator(decided({"seed": "splits"}))] = RunConfig()


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings are read again."""
    share_cores()
    played = kept_splits(
        "conditions",
        workspace,
        settings.run,
        settings.splits,
        [settings.shown],
        partial(_part, settings, workspace),
        watch,
    )
    dataset, _ = prepared(workspace, settings.run)
    return report(settings, dataset, played)


def _part(settings: Settings, workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    problem = split_problem(workspace, config)
    users = problem.split
    lineup = Lineup(problem, start_of(problem, config), config)
    vectors, nobody = problem.user_vectors[users.test], FixedPolicy(np.zeros((0, 0), np.float32))
    rewards: dict[str, dict[str, Any]] = {}
    for name, (size, world) in CONDITIONS.items():
        for policy in POLICIES:
            env = make_env(
                WorldConfig.model_validate(world), LoggedUsers(problem.rewards, problem.rated), None, users.test,
                session_length=settings.shown, discount=0.0, slate_size=size, seed=config.seed,
            )  # fmt: skip
            player = lineup.policy(policy, vectors, nobody)
            rollout = play(env, player, settings.shown // size, generator(config.seed, "evaluate"))
            rewards.setdefault(name, {})[policy] = rollout.rewards.sum(axis=2).astype(int).tolist()
    return {"split": config.seed, "users": [problem.dataset.user_ids[user] for user in users.test], "rewards": rewards}


def report(settings: Settings, dataset: Dataset, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played; the filtered data set says on how many users and items."""
    tables, panels, verdict = [], [], []
    people = [user for part in played for user in part["users"]]
    for name, (size, _) in CONDITIONS.items():
        rewards = {
            policy: np.concatenate([np.array(part["rewards"][name][policy], np.float64) for part in played])
            for policy in POLICIES
        }
        rows = []
        hits = {policy: table.sum(axis=1) for policy, table in rewards.items()}
        gaps = {policy: hits[ADAPTED] - others for policy, others in hits.items()}
        paired = {policy: measured(by_user(people, gap), sign=True) for policy, gap in gaps.items()}
        harmed = {policy: f"{100 * (gap < 0).mean():.1f} %" for policy, gap in gaps.items()}
        for policy, own in hits.items():
            _, error = mean_and_error(by_user(people, own))
            compared = ("", "") if policy == ADAPTED else (paired[policy], harmed[policy])
            rows.append((policy, f"{own.mean():.2f} ± {error:.2f}", *compared))
        columns = ("policy", f"hits in {settings.shown} shown", "adapted minus it", "have less")
        tables.append(Table(name, columns, rows, _NOTE, strong=(ADAPTED,)))
        verdict.append(
            f"{name}: adapting is worth {paired[UNADAPTED]} hits in {settings.shown} shown, and {harmed[UNADAPTED]} of "
            f"episodes have fewer hits than without it; sampled minus greedy {paired['adapted, greedy']} hits."
        )
        base = rewards[UNADAPTED].cumsum(axis=1)
        steps = [size * (step + 1) for step in range(settings.shown // size)]
        curves = [
            Curve(policy, steps, (table.cumsum(axis=1) - base).mean(axis=0).tolist())
            for policy, table in rewards.items()
            if policy != UNADAPTED
        ]
        panels.append(Panel(name, "items shown", "hits above no adaptation", curves))
    return ProtocolResult(
        protocol="conditions",
        title=f"Slates, late and missing answers, cold start on {dataset.name}",
        tested=[
            f"{dataset.name}: {len(dataset.user_ids):,} users, {len(dataset.item_ids):,} items; test users of splits 0 "
            f"to {settings.splits - 1}: {len(people):,} episodes of {len(set(people)):,} people, none of whom had any "
            "part in fitting or choosing within their split.",
            f"Each is shown {settings.shown} items of the full catalogue, never one twice, one or ten at a time, and "
            "policies adapt whenever an answer arrives. A hit is an item that the person rated at least "
            f"{settings.run.threshold:g}, and what they did not rate is no hit. Late: an answer comes 0 to 5 steps "
            "after its slate. Missing: 30 % of the answers never come; the hit counts all the same.",
            "All policies start from the empirical-Bayes prior with the same random numbers.",
            "Hits are means over episodes. Differences are paired and averaged over a person's splits first, then over "
            "people; so are all standard errors. Have less: share of episodes with strictly fewer hits under "
            f"{ADAPTED} than under the policy compared with.",
        ],
        verdict=verdict,
        tables=tables,
        panels=panels,
        raw={"splits": played},
        context={"settings": settings.model_dump(mode="json"), "conditions": CONDITIONS},
    )
