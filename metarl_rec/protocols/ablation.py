"""What each part is worth: one thing changed at a time, on the same held-out people, paired with the default.

Outer loops are compared without the gate: what is played are the parameters after the last update, whether or not they
validated better than the start. The other arms leave meta-training out, so that nothing but the named part differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig, assigned, decided, names_of, validated
from metarl_rec.divergence import policy_kl
from metarl_rec.meta_params import MetaParams
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem, build_problem
from metarl_rec.protocols.parts import kept
from metarl_rec.protocols.result import ProtocolResult, Table, Watch, mean_and_error
from metarl_rec.statistics import by_user
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train, start_of
from metarl_rec.workspace import Workspace

__all__ = ["ARMS", "Arm", "Settings", "run"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One change.

    Attributes:
        name: what is changed.
        group: table that it stands in.
        changes: settings, as `--set` takes them.
        trained: whether the outer loop runs.
        greedy: whether the best items are shown instead of sampled ones.
    """

    name: str
    group: str
    changes: tuple[str, ...] = ()
    trained: bool = False
    greedy: bool = False


_PRIOR, _FLAT, _PARTS = "outer loops, from the prior", "outer loops, from flat features", "parts of the adaptation"
_RANDOM = "outer loops, from random features"
_FROM_FLAT = ("prior.features=flat", "train.scale_rate=0.2")
_FROM_RANDOM = ("prior.features=random", "prior.max_rank=32", "train.feature_rate=0.002")
DEFAULT = "empirical-Bayes start"
_LOOPS = ("maml", "fomaml", "reptile", "joint")
ARMS = (
    Arm(DEFAULT, _PRIOR),
    *(Arm(each, _PRIOR, (f"train.algorithm={each}",), trained=True) for each in _LOOPS),
    Arm("flat start", _FLAT, _FROM_FLAT),
    *(Arm(f"{each}, flat", _FLAT, (*_FROM_FLAT, f"train.algorithm={each}"), trained=True) for each in _LOOPS),
    Arm("random start", _RANDOM, _FROM_RANDOM),
    *(Arm(f"{each}, random", _RANDOM, (*_FROM_RANDOM, f"train.algorithm={each}"), trained=True) for each in _LOOPS),
    Arm("greedy instead of sampled", _PARTS, greedy=True),
    Arm("value term only", _PARTS, ("inner.policy_coef=0",)),
    Arm("policy-gradient term x 10", _PARTS, ("inner.policy_coef=0.001",)),
    Arm("policy-gradient term x 100", _PARTS, ("inner.policy_coef=0.01",)),
    Arm("entropy bonus .0001", _PARTS, ("inner.entropy_coef=0.0001",)),
    Arm(
        "scalar step size",
        _PARTS,
        ("inner.preconditioner=scalar", f"inner.step_sizes={[1.5] * 5}", "inner.value_weight=[1.609,0,0,0]"),
    ),
    Arm("noise .2", _PARTS, ("inner.value_weight=[1.609,0,0,0]",)),
    Arm("noise .15", _PARTS, ("inner.value_weight=[1.897,0,0,0]",)),
    Arm("one epoch", _PARTS, ("inner.step_sizes=[1.0]",)),
    Arm("half steps", _PARTS, (f"inner.step_sizes={[0.5] * 5}",)),
    Arm("ten epochs", _PARTS, (f"inner.step_sizes={[1.0] * 10}",)),
    Arm("temperature .02", _PARTS, ("inner.temperature=0.02",)),
    Arm("caution 2", _PARTS, ("inner.caution=2",)),
    Arm("forgetting .02", _PARTS, ("inner.forgetting=0.02",)),
    Arm("no user attributes", _PARTS, ("prior.attribute_gain=0",)),
    Arm("no item attributes", _PARTS, ("prior.item_attribute_scale=0",)),
    Arm("no attributes at all", _PARTS, ("prior.attribute_gain=0", "prior.item_attribute_scale=0")),
    Arm("no soft threshold", _PARTS, ("prior.shrinkage=0",)),
    Arm("rank 10", _PARTS, ("prior.max_rank=10",)),
)


_DECIDED = {
    "seed": "splits",
    "train.iterations": "iterations",
    "train.evaluate_every": "",
    "train.validation_repeats": "",
    "train.jury_users": "",
    "train.start_noises": "",
    "train.start_forgettings": "",
}
"""What the protocol decides, with its own setting for it."""


class Settings(BaseModel):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1.
        iterations: outer updates of the arms that are meta-trained.
        arms: names of arms to play; all when empty. The default is always played.
        run: settings that every arm changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: int = Field(default=20, ge=1, le=1000)
    iterations: int = Field(default=120, ge=1, le=10_000)
    arms: Annotated[tuple[str, ...], AfterValidator(names_of("arm", [arm.name for arm in ARMS]))] = ()
    run: Annotated[RunConfig, AfterValidator(decided(_DECIDED))] = RunConfig()


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings are read again."""
    share_cores()
    arms = [arm for arm in ARMS if not settings.arms or arm.name in (DEFAULT, *settings.arms)]
    parts = workspace.evaluation / "ablation" / "parts"
    data = dataset_store.load(workspace.dataset)
    played: list[dict[str, Any]] = []
    total = settings.splits * len(arms)
    for split in range(settings.splits):
        # No arm changes the split's data and embedding: they are made once, where an arm is still to be played.
        base = cache(partial(split_problem, workspace, settings.run.model_copy(update={"seed": split})))
        for arm in arms:
            watch(f"split {split}: {arm.name}", len(played), total)
            played.append(_part(settings, base, parts, data.digest, arm, split))
    watch("report", total, total)
    return report(settings, data.name, arms, played)


def config_of(settings: Settings, arm: Arm, split: int) -> RunConfig:
    """Returns an arm's settings."""
    raw = assigned(settings.run.model_dump(mode="json"), arm.changes)
    raw["seed"] = split
    raw["train"]["iterations"] = raw["train"]["evaluate_every"] = settings.iterations
    # What validates is not asked: the last update's parameters are played.
    raw["train"]["validation_repeats"], raw["train"]["jury_users"] = 1, 0
    raw["train"]["start_noises"] = raw["train"]["start_forgettings"] = []
    return validated(RunConfig, raw, "metarl-rec evaluate --help")


def _part(
    settings: Settings, base: Callable[[], Problem], parts: Path, digest: str, arm: Arm, split: int
) -> dict[str, Any]:
    config = config_of(settings, arm, split)
    asked = [digest, config.model_dump(mode="json"), arm.trained, arm.greedy]

    def make() -> dict[str, Any]:
        given = base()
        problem = build_problem(given.dataset, given.split, given.embeddings, config)
        meta = meta_train(problem, config).last if arm.trained else start_of(problem, config)
        return _played(problem, meta, config, arm)

    return {"split": split, "arm": arm.name, **kept(parts, str(split), asked, make)}


def _played(problem: Problem, meta: MetaParams, config: RunConfig, arm: Arm) -> dict[str, Any]:
    """Returns every test user's hits at 20 and 40, and what the last adaptation did."""
    users, space = problem.split.test, meta.scaled(problem.space)
    starts = space.starts(problem.user_vectors[users], meta.initialization.numpy(), float(meta.attribute_gain))
    inner = meta.inner_params(config.inner)
    policy = AdaptedPolicy(space.features, space.popularity, starts, inner, greedy=arm.greedy, topics=problem.topics)
    rewards = cold_start_rewards(problem, policy, users, config.seed, "evaluate")
    before, after = (space.popularity + weights @ space.features.T for weights in (starts, policy.weights))
    if policy.history is None:
        raise RuntimeError("a roll-out has at least one step")
    rest = policy.history.candidates.copy()
    np.put_along_axis(rest, policy.history.shown.astype(np.int64), False, axis=1)
    return {
        "users": [problem.dataset.user_ids[user] for user in users],
        "hits20": rewards[:, :20].sum(axis=1).tolist(),
        "hits40": rewards.sum(axis=1).tolist(),
        "ratios": policy.stats[:, 0].tolist(),
        "clipped": policy.stats[:, 1].tolist(),
        "kl_nats": [
            round(policy_kl(after[user], before[user], rest[user], inner.temperature), 4) for user in range(len(users))
        ],
        "inner": inner.model_dump(mode="json"),
    }


_COLUMNS = (
    "change",
    "hits @40",
    "minus default @20",
    "@40",
    "fewer than default",
    "minus own start @40",
    "ratios clipped",
    "KL to start, nats",
)


def report(settings: Settings, data: str, arms: list[Arm], played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played."""
    of = {arm.name: [part for part in played if part["arm"] == arm.name] for arm in arms}
    base = of[DEFAULT]
    tables, verdict = [], []
    for group in dict.fromkeys(arm.group for arm in arms):
        members = [arm for arm in arms if arm.group == group]
        # Where features are not the default's, what an outer loop is worth is seen against the start that it had.
        own = next(
            (of[arm.name] for arm in members if not arm.trained and arm.name != DEFAULT and group != _PARTS), None
        )
        rows = []
        for arm in members:
            mine = of[arm.name]
            gap40 = _paired(mine, base, "hits40")
            hits = float(np.concatenate([part["hits40"] for part in mine]).mean())
            ratios, clipped = (sum(sum(part[key]) for part in mine) for key in ("ratios", "clipped"))
            kl = float(np.concatenate([part["kl_nats"] for part in mine]).mean())
            share = f"{100 * clipped / ratios:.0f} %" if ratios else "no ratios"
            compared = ("", "", "")
            if arm.name != DEFAULT:
                compared = (_text(_paired(mine, base, "hits20")), _text(gap40), f"{100 * _fewer(mine, base):.1f} %")
            to_own = _text(_paired(mine, own, "hits40")) if own is not None and mine is not own else ""
            rows.append((arm.name, f"{hits:.2f}", *compared, to_own, share, f"{kl:.2f}"))
            if abs(gap40[0]) > 2 * gap40[1] and arm.name != DEFAULT:
                verdict.append(f"{arm.name}: {_text(gap40)} hits at 40 against the default, more than two errors.")
        tables.append(Table(group, _COLUMNS, rows, strong=(DEFAULT,)))
    people = np.concatenate([part["users"] for part in base])
    return ProtocolResult(
        protocol="ablation",
        title=f"What each part is worth, cold start on {data}",
        tested=[
            f"The cold-start protocol's test users of {data}, the first {settings.splits} split(s): {len(people)} "
            f"episodes of {len(set(people))} people, 40 steps, the same random numbers for every arm. The default is "
            "the empirical-Bayes start with five epochs, sampled as served, its noise as in the settings.",
            "Hits: mean over episodes. Differences are paired by person, a person's splits averaged first, standard "
            "errors over people. Fewer than default: share of episodes with strictly fewer hits at 40. Of "
            f"{len(arms) - 1} changes one in twenty is beyond two errors by chance.",
            f"Outer loops: the parameters after {settings.iterations} updates, whatever they validated at. Flat "
            "features: the embedding's directions with one common scale, item attributes beside them; outer loops may "
            "change the scale of each. Random ones: of items nothing is known but how popular they are; outer loops "
            "learn every feature.",
            "Ratios clipped: share of the ratios of the last adaptation (all epochs) that clip or bound silenced; "
            "KL: of the adapted policy to the initialization after 40 steps.",
        ],
        verdict=verdict or ["No change differs from the default by more than two standard errors."],
        tables=tables,
        raw={"parts": played},
        context={"settings": settings.model_dump(mode="json")},
    )


def _paired(arm: list[dict[str, Any]], base: list[dict[str, Any]], key: str) -> tuple[float, float]:
    """Returns mean and standard error of the difference, a person's splits averaged first."""
    people = np.concatenate([part["users"] for part in arm])
    mine, theirs = (np.concatenate([part[key] for part in parts]) for parts in (arm, base))
    return mean_and_error(by_user(people, mine - theirs))


def _fewer(arm: list[dict[str, Any]], base: list[dict[str, Any]]) -> float:
    """Returns the share of episodes with strictly fewer hits at 40."""
    mine, theirs = (np.concatenate([part["hits40"] for part in parts]) for parts in (arm, base))
    return float((mine < theirs).mean())


def _text(gap: tuple[float, float]) -> str:
    return f"{gap[0]:+.2f} ± {gap[1]:.2f}"
