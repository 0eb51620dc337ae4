"""What each part is worth: one thing changed at a time, on the same held-out people, paired.

Outer loops are compared without the gate: what is played are the parameters after the last update, whether or not they
validated better than the start. The other arms leave meta-training out, so that nothing but the named part differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec import dataset_store
from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.choosing import DEFAULTS_SEEN
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import STARTS, RunConfig, assigned, decided, names_of, validated
from metarl_rec.frozen import FrozenSettings
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import FixedPolicy
from metarl_rec.preparing import split_problem
from metarl_rec.problem import Problem, build_problem
from metarl_rec.protocols.ablation_arms import (
    ARMS,
    DEFAULT,
    LOOPS,
    ORIGINS,
    PARTS,
    START,
    TERMS,
    UNADAPTED,
    Arm,
    named,
)
from metarl_rec.protocols.limits import FROM_SCRATCH, ITS_START, remarked
from metarl_rec.protocols.parts import Part, kept_parts
from metarl_rec.protocols.result import (
    Bar,
    Curve,
    Panel,
    ProtocolResult,
    Table,
    Watch,
    above,
    mean_and_error,
    measured,
    not_below,
)
from metarl_rec.statistics import Episodes, by_user, curve
from metarl_rec.threads import share_cores
from metarl_rec.train import meta_train, start_of
from metarl_rec.workspace import Workspace

__all__ = ["Settings", "config_of", "report", "run"]

_DECIDED = {
    "seed": "splits",
    "train.algorithm": "arms",
    "train.iterations": "iterations",
    "train.evaluate_every": "",
    "train.validation_repeats": "",
    "train.validation_users": "",
    "train.jury_users": "",
    "train.harm_cost": "",
} | {f"train.{name}": "" for name in STARTS}
"""What the protocol decides, with its own setting for it: nobody chooses a start, and nobody judges what ships."""


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        splits: splits 0 .. splits - 1.
        iterations: outer updates of the arms that are meta-trained.
        arms: names of arms to play; all when empty. The default is always played, and so are the starts of the outer
            loops that are named.
        run: settings that every arm changes.
    """

    splits: int = Field(default=20, ge=1, le=1000)
    iterations: int = Field(default=120, ge=1, le=10_000)
    arms: Annotated[tuple[str, ...], AfterValidator(names_of("arm", [arm.name for arm in ARMS]))] = ()
    run: Annotated[RunConfig, AfterValidator(decided(_DECIDED))] = RunConfig()


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; splits that were played before with the same settings are read again."""
    share_cores()
    arms = _chosen(settings.arms)
    data = dataset_store.load(workspace.dataset)

    # No arm changes the split's data and embedding: they are made once, where an arm is still to be played.
    @lru_cache(maxsize=1)
    def base(split: int) -> Problem:
        return split_problem(workspace, settings.run.model_copy(update={"seed": split}))

    wanted = [(split, arm) for split in range(settings.splits) for arm in arms]
    parts = [_part(settings, base, data.digest, arm, split) for split, arm in wanted]
    found = kept_parts(workspace.evaluation / "ablation" / "parts", parts, watch)
    played = [{"split": split, "arm": arm.name, **part} for (split, arm), part in zip(wanted, found, strict=True)]
    return report(settings, data.name, arms, played)


def _chosen(names: Sequence[str]) -> list[Arm]:
    """Returns the arms named, all for none, with the default and the starts that they are compared with."""
    origins = {"prior", *(arm.origin for arm in ARMS if arm.name in names)}
    starts = [named(what, origin) for what in (UNADAPTED, START) for origin in origins]
    return [arm for arm in ARMS if not names or arm.name in (*starts, *names)]


def config_of(settings: Settings, arm: Arm, split: int) -> RunConfig:
    """Returns an arm's settings."""
    raw = assigned(settings.run.model_dump(mode="json"), arm.changes)
    raw["seed"] = split
    raw["inner"]["policy_coef"] *= arm.policy_factor
    raw["train"]["iterations"] = raw["train"]["evaluate_every"] = settings.iterations
    config = validated(RunConfig, raw, "metarl-rec evaluate --help")
    return config.model_copy(update={"train": config.train.ungated()})


def _part(settings: Settings, base: Callable[[int], Problem], digest: str, arm: Arm, split: int) -> Part:
    config = config_of(settings, arm, split)

    def make() -> dict[str, Any]:
        given = base(split)
        problem = build_problem(given.dataset, given.split, given.embeddings, config)
        meta = meta_train(problem, config).last if arm.trained else start_of(problem, config)
        return _played(problem, meta, config, arm)

    asked = [digest, config.model_dump(mode="json"), arm.trained, arm.adapted, arm.greedy]
    return Part(str(split), f"split {split}: {arm.name}", asked, make)


def _played(problem: Problem, meta: MetaParams, config: RunConfig, arm: Arm) -> dict[str, Any]:
    """Returns every test user's rewards, forty digits of 0 and 1, and what the last adaptation did."""
    users, space = problem.split.test, meta.scaled(problem.space)
    starts = space.starts(problem.user_vectors[users], meta.initialization.numpy(), float(meta.attribute_gain))
    inner = meta.inner_params(config.inner)
    policy = (
        AdaptedPolicy(space.features, space.popularity, starts, inner, greedy=arm.greedy, topics=problem.topics)
        if arm.adapted
        else FixedPolicy(space.popularity + starts @ space.features.T, inner.temperature)
    )
    rewards = cold_start_rewards(problem, policy, users, config.seed, "evaluate")
    return {
        "users": [problem.dataset.user_ids[user] for user in users],
        "rewards": ["".join(str(int(reward)) for reward in row) for row in rewards],
        "inner": inner.model_dump(mode="json"),
        **(policy.effect() if isinstance(policy, AdaptedPolicy) else {}),
    }


def report(settings: Settings, data: str, arms: list[Arm], played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played."""
    parts = {arm.name: [part for part in played if part["arm"] == arm.name] for arm in arms}
    people = [user for part in parts[DEFAULT] for user in part["users"]]
    episodes = Episodes(
        people,
        [part["split"] for part in parts[DEFAULT] for _ in part["users"]],
        {
            name: np.array([[int(digit) for digit in row] for part in own for row in part["rewards"]], np.float32)
            for name, own in parts.items()
        },
    )
    effects = {name: _effect_of(own) for name, own in parts.items()}
    return ProtocolResult(
        protocol="ablation",
        title=f"What each part is worth, cold start on {data}",
        tested=[
            f"The cold-start protocol's test users of {data}, the first {settings.splits} split(s): {len(people)} "
            f"episodes of {len(set(people))} people, 40 steps, the same random numbers for every arm. The default "
            f"({DEFAULT}) is the empirical-Bayes start with five epochs, sampled as served, its noise as in the "
            "settings.",
            DEFAULTS_SEEN,
            "Hits: mean over episodes. Differences are paired by person, a person's splits averaged first, standard "
            "errors over people. Fewer than default: share of episodes with strictly fewer hits at 40. Of "
            f"{len(arms) - 1} changes one in twenty is beyond two errors by chance.",
            f"Outer loops: the parameters after {settings.iterations} updates, whatever they validated at, adapted as "
            "every start is. Flat features: the embedding's directions with one common scale, item attributes beside "
            "them; outer loops may change the scale of each. Random ones: of items nothing is known but how popular "
            "they are; outer loops learn every feature.",
            "Ratios clipped: share of the ratios of the last adaptation (all epochs) that clip or bound silenced; "
            "KL: of the adapted policy to the initialization after 40 steps. The policy-gradient term alone: the value "
            "term counts next to nothing, the pull to the initialization stays.",
        ],
        verdict=_verdict(episodes, effects),
        bars=_bars(episodes),
        tables=[_outer_loops_compared(episodes), _every_arm(episodes, effects)],
        panels=_panels(episodes),
        raw={"parts": played},
        context={"settings": settings.model_dump(mode="json")},
    )


_DIFFERENCES = (
    ("MAML minus FOMAML: second order", "maml ({})", "fomaml ({})"),
    ("MAML minus joint training", "maml ({})", "joint ({})"),
    ("start minus the prior's start", "start ({})", DEFAULT),
    ("MAML minus the prior's start", "maml ({})", DEFAULT),
)


def _outer_loops_compared(episodes: Episodes) -> Table:
    """Returns the outer loops from every origin that was played, each above its own start, and against each other."""
    origins = [origin for origin in ORIGINS if named(START, origin) in episodes.rewards]
    rows = []
    for what, label in {UNADAPTED: UNADAPTED, START: START, **LOOPS}.items():
        cells = []
        for origin in origins:
            arm = named(what, origin)
            level = f"{_hits(episodes, arm).mean():.2f}" if arm in episodes.rewards else ""
            cells += [level, _gap(episodes, arm, named(START, origin))]
        rows.append((label, *cells))
    for label, one, other in _DIFFERENCES:
        gaps = [_gap(episodes, one.format(origin), other.format(origin)) for origin in origins]
        rows.append((label, *(cell for gap in gaps for cell in ("", gap))))
    columns = ("outer loop, from", *(each for origin in origins for each in (ORIGINS[origin], "minus its start")))
    title = "What meta-learning itself is worth: outer loops, hits at 40"
    note = "The last rows are paired differences between what they name."
    return Table(title, columns, rows, note, strong=(LOOPS["maml"],))


def _every_arm(episodes: Episodes, effects: dict[str, tuple[str, str]]) -> Table:
    base = _hits(episodes, DEFAULT)
    rows = []
    for arm in episodes.rewards:
        hits = _hits(episodes, arm)
        fewer = "" if arm == DEFAULT else f"{100 * (hits < base).mean():.1f} %"
        gaps = (_gap(episodes, arm, DEFAULT, steps) for steps in (20, 40))
        rows.append((arm, f"{hits.mean():.2f}", *gaps, fewer, *effects[arm]))
    columns = ("change", "hits @40", "minus default @20", "@40", "fewer than default", "ratios clipped", "KL, nats")
    return Table("Every change, against the default", columns, rows, strong=(DEFAULT,))


_BARS = (
    (not_below, f"from the prior, MAML {ITS_START}", "maml (prior)", DEFAULT),
    (not_below, f"from the prior, FOMAML {ITS_START}", "fomaml (prior)", DEFAULT),
    (not_below, f"from the prior, Reptile {ITS_START}", "reptile (prior)", DEFAULT),
    (above, "from flat features, MAML above its start", "maml (flat)", "start (flat)"),
    (above, "from random features, MAML above its start", "maml (random)", "start (random)"),
    (not_below, f"from flat features, {FROM_SCRATCH}", "maml (flat)", DEFAULT),
    (not_below, f"from random features, {FROM_SCRATCH}", "maml (random)", DEFAULT),
    (above, "second order: from flat features, MAML above FOMAML", "maml (flat)", "fomaml (flat)"),
)
"""What meta-learning has to show: each outer loop good from the prior, and MAML finding its geometry (science.md,
section 7), each with the arms compared."""


def _bars(episodes: Episodes) -> list[Bar]:
    return remarked(
        [
            above(name, gaps) if check is above else not_below(name, gaps, float(_hits(episodes, other).mean()))
            for check, name, one, other in _BARS
            if {one, other} <= episodes.rewards.keys()
            for gaps in [_gaps(episodes, one, other)]
        ]
    )


def _verdict(episodes: Episodes, effects: dict[str, tuple[str, str]]) -> list[str]:
    played, verdict = episodes.rewards, []
    for origin, given in ORIGINS.items():
        gaps = {LOOPS[loop]: _gap(episodes, named(loop, origin), named(START, origin)) for loop in LOOPS}
        if worth := ", ".join(f"{label} {gap}" for label, gap in gaps.items() if gap):
            second = _gap(episodes, named("maml", origin), named("fomaml", origin))
            verdict.append(
                f"From {given}, hits at 40 minus the start's: {worth}{second and f'; second order {second}'}."
            )
    clipped, kl = effects[DEFAULT]
    unadapted = _gap(episodes, named(UNADAPTED, "prior"), DEFAULT)
    terms = [f"{arm.name} {_gap(episodes, arm.name, DEFAULT)}" for arm in TERMS if arm.name in played]
    verdict.append(
        f"Clip or bound silence {clipped} of the default's ratios, and 40 steps bring it {kl} nats from its "
        "initialization; hits at 40 minus the default's: "
        f"no adaptation {unadapted}{''.join(f', {term}' for term in terms)}."
    )
    for arm in (arm.name for arm in PARTS if arm.name in played):
        mean, error = mean_and_error(_gaps(episodes, arm, DEFAULT))
        if abs(mean) > 2 * error:
            verdict.append(f"{arm}: {_gap(episodes, arm, DEFAULT)} against the default, more than two errors.")
    return verdict


def _panels(episodes: Episodes) -> list[Panel]:
    panels = []
    for origin, given in ORIGINS.items():
        curves = []
        for what, label in {START: START, **LOOPS}.items():
            if (arm := named(what, origin)) in episodes.rewards:
                mean, error = curve(episodes, arm, against=named(UNADAPTED, origin))
                curves.append(Curve(label, list(range(1, len(mean) + 1)), mean.tolist(), error.tolist()))
        if curves:
            panels.append(Panel(f"from {given}", "interactions", "hits above the unadapted start", curves))
    return panels


def _hits(episodes: Episodes, arm: str, steps: int = 40) -> NDArray[np.float64]:
    """Returns every episode's hits [E]."""
    return np.asarray(episodes.rewards[arm][:, :steps].sum(axis=1), np.float64)


def _gaps(episodes: Episodes, arm: str, other: str, steps: int = 40) -> NDArray[np.float64]:
    """Returns each person's difference in hits, their splits averaged first."""
    return by_user(episodes.user_ids, _hits(episodes, arm, steps) - _hits(episodes, other, steps))


def _gap(episodes: Episodes, arm: str, other: str, steps: int = 40) -> str:
    """Returns the paired difference as text; none where one was not played, or both are the same."""
    if arm == other or not {arm, other} <= episodes.rewards.keys():
        return ""
    return measured(_gaps(episodes, arm, other, steps), sign=True)


def _effect_of(parts: list[dict[str, Any]]) -> tuple[str, str]:
    """Returns the share of an arm's ratios that clip or bound silenced, and its KL to the initialization, nats."""
    ratios, clipped, kl = (
        [each for part in parts for each in part.get(key, ())] for key in ("ratios", "clipped", "kl_nats")
    )
    share = f"{100 * sum(clipped) / sum(ratios):.0f} %" if sum(ratios) else "no ratios"
    return share, f"{np.mean(kl):.2f}" if kl else "not adapted"
