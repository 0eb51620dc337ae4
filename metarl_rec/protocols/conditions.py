"""Sequential use as in production: slates of one and of ten, late and missing answers, sampled and greedy."""

from __future__ import annotations

from functools import partial
from math import lcm
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec.choosing import CHOSEN_WITHIN, ChoosingSettings, choices_of, chosen_problem, chosen_text
from metarl_rec.config import STARTS, RunConfig, TrainConfig, decided
from metarl_rec.dataset import Dataset
from metarl_rec.errors import ConfigError
from metarl_rec.lineup import Lineup
from metarl_rec.policies import FixedPolicy
from metarl_rec.preparing import prepared
from metarl_rec.protocol import ADAPTED, STEPS
from metarl_rec.protocols.limits import AGAINST_HB, remarked
from metarl_rec.protocols.parts import kept_splits
from metarl_rec.protocols.result import Bar, Curve, Panel, ProtocolResult, Table, Watch, above, measured
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.statistics import Episodes, by_user, curve, over_episodes
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train
from metarl_rec.workspace import Workspace
from metarl_rec.worlds import WorldConfig, make_env
from simulator.population import LoggedUsers

__all__ = ["CONDITIONS", "Settings", "run"]

UNADAPTED, GREEDY, TUNED = "meta-policy", "adapted, greedy", "HB linear, greedy"
POLICIES = (UNADAPTED, "HB linear, Thompson", TUNED, ADAPTED, GREEDY)
AT_ONCE = "slates of 1, answers at once"
CONDITIONS: dict[str, tuple[int, dict[str, Any]]] = {
    AT_ONCE: (1, {}),
    "slates of 1, up to 5 steps late": (1, {"feedback": {"max_delay": 5}}),
    "slates of 1, 30 % missing": (1, {"feedback": {"missing": 0.3}}),
    "slates of 10, answers at once": (10, {}),
    "slates of 10, up to 5 steps late": (10, {"feedback": {"max_delay": 5}}),
    "slates of 10, 30 % missing": (10, {"feedback": {"missing": 0.3}}),
    "slates of 10, up to 5 steps late, 30 % missing": (10, {"feedback": {"max_delay": 5, "missing": 0.3}}),
}
"""Slate size and world of each."""
_CHOOSING = ("horizon", "folds", "validation_repeats", "jury_users", "harm_cost", *STARTS)
"""What of the training's settings chooses a start: nothing is trained, and whoever chooses lives in a still world."""
_DECIDED = {"seed": "splits"} | {f"train.{name}": "" for name in TrainConfig.model_fields if name not in _CHOOSING}
_NOTE = "Have less: share of episodes with strictly fewer hits under the adapted policy."


class Settings(ChoosingSettings):
    """The protocol's settings, beside what its splits choose.

    Attributes:
        splits: splits 0 .. splits - 1; every user starts at the empirical-Bayes initialization.
        shown: items that everybody is shown in all, whole slates of every size and no more than there are; slates of
            ten make a tenth as many steps.
        run: settings of prior and inner loop, and of who chooses the start.
    """

    splits: int = Field(default=10, ge=1, le=1000)
    shown: int = Field(default=100, ge=10, le=1000, multiple_of=lcm(*(size for size, _ in CONDITIONS.values())))
    run: Annotated[RunConfig, AfterValidator(decided(_DECIDED))] = RunConfig()


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings are read again.

    Raises:
        ConfigError: more items were to be shown than there are.
    """
    share_cores()
    dataset, _ = prepared(workspace, settings.run)
    if settings.shown > len(dataset.item_ids):
        raise ConfigError(
            f"setting shown: {settings.shown} items cannot be shown of {len(dataset.item_ids)}, none twice; "
            "set fewer or import more"
        )
    played = kept_splits(
        "conditions",
        workspace,
        settings.run,
        settings.splits,
        [settings.shown, settings.choose.model_dump(mode="json")],
        partial(_part, settings, workspace),
        watch,
    )
    return report(settings, dataset, played)


def _part(settings: Settings, workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    problem, config = chosen_problem(workspace, config, settings.choose)
    users = problem.split
    # Without updates meta-training is the choice of the start, by the people who tune HB.
    train = config.train.model_copy(update={"iterations": 0})
    meta = meta_train(problem, config.model_copy(update={"train": train})).meta
    lineup = Lineup(problem, meta, config)
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
    return {
        "split": config.seed,
        "users": [problem.dataset.user_ids[user] for user in users.test],
        "rewards": rewards,
        "inner": meta.inner_params(config.inner).model_dump(mode="json"),
        "chosen": choices_of(config),
        "baselines": lineup.choices(),
    }


def report(settings: Settings, dataset: Dataset, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played; the filtered data set says on how many users and items."""
    tables, bars, panels, verdict = [], [], [], []
    people = [user for part in played for user in part["users"]]
    splits = [part["split"] for part in played for _ in part["users"]]
    for name, (size, _) in CONDITIONS.items():
        rewards = {
            policy: np.concatenate([np.array(part["rewards"][name][policy], np.float32) for part in played])
            for policy in POLICIES
        }
        rows = []
        hits = {policy: table.sum(axis=1, dtype=np.float64) for policy, table in rewards.items()}
        gaps = {policy: hits[ADAPTED] - others for policy, others in hits.items()}
        paired = {policy: measured(by_user(people, gap), sign=True) for policy, gap in gaps.items()}
        harmed = {policy: f"{100 * (gap < 0).mean():.1f} %" for policy, gap in gaps.items()}
        for policy, own in hits.items():
            level, error = over_episodes(people, own[:, None])
            compared = ("", "") if policy == ADAPTED else (paired[policy], harmed[policy])
            rows.append((policy, f"{level[0]:.2f} ± {error[0]:.2f}", *compared))
        columns = ("policy", f"hits in {settings.shown} shown", "adapted minus it", "have less")
        tables.append(Table(name, columns, rows, _NOTE, strong=(ADAPTED,)))
        bars.append(above(f"{name}: adapted above {UNADAPTED}", by_user(people, gaps[UNADAPTED])))
        if name == AT_ONCE and settings.shown >= STEPS:
            bars += _cold_start_bars(name, people, rewards)
        verdict.append(
            f"{name}: adapting is worth {paired[UNADAPTED]} hits in {settings.shown} shown, and {harmed[UNADAPTED]} of "
            f"episodes have fewer hits than without it; sampled minus greedy {paired[GREEDY]} hits."
        )
        episodes = Episodes(people, splits, rewards)
        steps = [size * (step + 1) for step in range(settings.shown // size)]
        curves = []
        for policy in rewards:
            if policy != UNADAPTED:
                mean, error = curve(episodes, policy, against=UNADAPTED)
                curves.append(Curve(policy, steps, mean.tolist(), error.tolist()))
        panels.append(Panel(name, "items shown", "hits above no adaptation", curves))
    return ProtocolResult(
        protocol="conditions",
        title=f"Slates, late and missing answers, cold start on {dataset.name}",
        tested=[
            f"{dataset.name}: {len(dataset.user_ids):,} users, {len(dataset.item_ids):,} items; test users of splits 0 "
            f"to {settings.splits - 1}: {len(people):,} episodes of {len(set(people)):,} people, none of whom had any "
            "part in fitting or choosing within their split.",
            CHOSEN_WITHIN,
            f"Each is shown {settings.shown} items of the full catalogue, never one twice, one or ten at a time, and "
            "policies adapt whenever an answer arrives. A hit is an item that the person rated at least "
            f"{settings.run.threshold:g}, and what they did not rate is no hit. Late: an answer comes 0 to 5 steps "
            "after its slate. Missing: 30 % of the answers never come; the hit counts all the same.",
            "All policies start from the empirical-Bayes prior with the same random numbers. Ours is what would ship "
            "without meta-training: the start that validation users and cross-fitted train users choose, the people "
            "by whom HB is tuned, each one item at a time and answered at once.",
            "Hits are means over episodes, their standard errors clustered by person. Differences are paired and "
            "averaged over a person's splits first, then over people. Have less: share of episodes with strictly fewer "
            f"hits under {ADAPTED} than under the policy compared with.",
        ],
        verdict=[*verdict, chosen_text(played)],
        bars=remarked(bars),
        tables=tables,
        panels=panels,
        raw={"splits": played},
        context={"settings": settings.model_dump(mode="json"), "conditions": CONDITIONS},
    )


def _cold_start_bars(name: str, people: list[str], rewards: dict[str, NDArray[np.float32]]) -> list[Bar]:
    """Returns cold start's own bars, over its number of steps: the price of sampling, and what is lost to tuned HB."""
    hits = {policy: table[:, :STEPS].sum(axis=1, dtype=np.float64) for policy, table in rewards.items()}
    sampling, behind = (by_user(people, hits[one] - hits[other]) for one, other in ((ADAPTED, GREEDY), (GREEDY, TUNED)))
    return [
        Bar(
            f"{name}: sampled against greedy, {STEPS} shown",
            "not below by more than .2",
            measured(sampling, sign=True),
            float(sampling.mean()) >= -0.2,
        ),
        Bar(
            f"{name}: {AGAINST_HB}, {STEPS} shown",
            "not below by more than .1",
            measured(behind, sign=True),
            float(behind.mean()) >= -0.1,
        ),
    ]
