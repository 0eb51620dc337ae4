"""Tabular MDPs of RL^2: a meta-learned planner against posterior sampling and the published learners."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metarl_rec.evolution import evolve
from metarl_rec.frozen import FrozenSettings
from metarl_rec.mdps.playing import oracle_rewards, planner_rewards, psrl_rewards
from metarl_rec.protocols.result import Bar, Curve, Panel, ProtocolResult, Table, Watch, above, mean_and_error, measured
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace

__all__ = ["Settings", "run"]

OURS, START_ROW, GREEDY = "meta-learned planner", "its start, not meta-trained", "certainty equivalence"
PSRL, ORACLE = "PSRL, run here", "oracle"
START: NDArray[np.float64] = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
"""The distribution's own prior (counts of 1, mean reward 1) with a bonus of about one spread, by hand."""
_NO_BONUS = np.array([0.0, 1.0, 0.0, 0.0, -30.0, 0.0, 0.0, 0.0])
_TRAINING_SEED = 1_000_003
_PRINTED = {10: {"PSRL": 138.1, "RL²": 156.2, "SNAIL": 159.1}, 25: {"PSRL": 408.8, "RL²": 445.7, "SNAIL": 447.2}}
_ORACLE = 21.84


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        seed: decides test tasks and meta-training.
        tasks: test MDPs.
        episodes: numbers of episodes in a trial.
        generations: outer updates.
        population: candidates in an update.
        train_tasks: MDPs that an update gives each candidate.
    """

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    tasks: int = Field(default=100_000, ge=2, le=10_000_000)
    episodes: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(10, 25), min_length=1)
    generations: int = Field(default=40, ge=1, le=10_000)
    population: int = Field(default=12, ge=4, le=1000)
    train_tasks: int = Field(default=1000, ge=2, le=1_000_000)


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; the workspace is not used, MDPs are drawn."""
    share_cores()
    bars, tables, panels, verdict, raw = [], [], [], [], {}
    total = len(settings.episodes) * settings.generations
    for number, episodes in enumerate(settings.episodes):
        name, done = f"{episodes} episodes", number * settings.generations

        def reward(coefficients: NDArray[np.float64], generation: int, episodes: int = episodes) -> float:
            first = generation * settings.train_tasks
            found = planner_rewards(coefficients, episodes, first, settings.train_tasks, _TRAINING_SEED + settings.seed)
            return float(found.mean())

        trained = evolve(
            reward, START, generations=settings.generations, population=settings.population, seed=settings.seed,
            on_generation=lambda g, name=name, done=done: watch(name, done + g, total),  # type: ignore[misc]
        )  # fmt: skip
        where = (episodes, 0, settings.tasks, settings.seed)
        rewards = {
            OURS: planner_rewards(trained.coefficients, *where),
            START_ROW: planner_rewards(START, *where),
            GREEDY: planner_rewards(_NO_BONUS, *where),
            PSRL: psrl_rewards(*where),
            ORACLE: oracle_rewards(*where),
        }
        tables.append(_table(name, episodes, rewards))
        bars += _bars(name, episodes, rewards)
        steps = list(range(1, len(trained.curve) + 1))
        panels.append(Panel(name, "outer update", "reward on training MDPs", [Curve(OURS, steps, trained.curve)]))
        gain, meta = (measured(rewards[OURS] - rewards[other], sign=True) for other in (PSRL, START_ROW))
        verdict.append(
            f"{name}: {measured(rewards[OURS])}; {gain} above PSRL and {meta} above its own start, paired; "
            f"{100 * (rewards[OURS] < rewards[PSRL]).mean():.0f} % of MDPs give less than under PSRL."
        )
        raw[name] = {
            "coefficients": trained.coefficients.tolist(),
            "training_curve": [round(value, 3) for value in trained.curve],
            # A hundred thousand rewards a policy are megabytes; the first thousand show their kind, all are summed up.
            "first_tasks": {each: np.round(values[:1000], 2).tolist() for each, values in rewards.items()},
            "mean_and_error": {each: mean_and_error(values) for each, values in rewards.items()},
            "paired_differences": {each: mean_and_error(rewards[OURS] - values) for each, values in rewards.items()},
        }
    return ProtocolResult(
        protocol="mdp",
        title="Tabular MDPs: exploring and planning in a task never seen",
        tested=[
            f"{settings.tasks:,} MDPs of 10 states and 5 actions: transitions ~ Dirichlet(1), mean rewards ~ N(1, 1), "
            "rewards with unit noise, episodes of 10 steps from state 0; total reward of a trial. Every policy plays "
            "the same MDPs, and the j-th use of an action in a state gives the same reward and next state to all.",
            "Ours: a task's fast weights are estimates of rewards and transitions, moved by one gradient step on each "
            "transition; before every action the rest of the episode is planned on them with a bonus for what was "
            "tried little. Eight coefficients (prior counts, the bonus as a function of counts and of the steps left "
            "in the trial) are meta-learned by evolution strategies on other MDPs.",
            "Published rows were measured on 1,000 tasks by their authors. PSRL, the planner's start and certainty "
            "equivalence all know the true prior; what meta-training adds is the gain over the start.",
        ],
        verdict=verdict,
        bars=bars,
        tables=tables,
        panels=panels,
        raw=raw,
        context={"settings": settings.model_dump(mode="json")},
    )


def _table(name: str, episodes: int, rewards: dict[str, NDArray[np.float64]]) -> Table:
    rows = []
    for each, values in rewards.items():
        gap = "" if each == OURS else measured(rewards[OURS] - values, sign=True)
        rows.append(
            (each, measured(values), gap, "" if each == OURS else f"{100 * (rewards[OURS] < values).mean():.1f} %")
        )
    rows += [(f"{each} (printed)", f"{value}", "", "") for each, value in _PRINTED.get(episodes, {}).items()]
    columns = ("learner", "total reward", "ours minus it", "ours has less")
    return Table(f"{name}: mean ± standard error over MDPs", columns, rows, strong=(OURS,))


def _bars(name: str, episodes: int, rewards: dict[str, NDArray[np.float64]]) -> list[Bar]:
    mean, _ = mean_and_error(rewards[OURS])
    best, spread = mean_and_error(rewards[ORACLE] / episodes)
    bars = [
        above(f"{name}: above PSRL run here", rewards[OURS] - rewards[PSRL]),
        Bar(
            f"{name}: oracle",
            f"{_ORACLE} an episode",
            f"{best:.3f} ± {spread:.3f}",
            abs(best - _ORACLE) < 3 * spread + 0.01,
        ),
    ]
    found = measured(rewards[OURS])
    for each, value in _PRINTED.get(episodes, {}).items():
        stretch = "" if each == "PSRL" else "stretch: "
        bars.append(Bar(f"{name}: {stretch}above {each} (printed)", f"> {value}", found, mean > value))
    return bars
