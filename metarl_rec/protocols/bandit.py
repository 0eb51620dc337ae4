"""Bernoulli bandits of RL^2: what meta-learned exploration is worth, in nine cells of arms and pulls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from metarl_rec.bandits.playing import N_COEFFICIENTS, index_rewards, thompson_rewards, ucb_rewards
from metarl_rec.config import names_of
from metarl_rec.evolution import Evolved, evolve
from metarl_rec.frozen import FrozenSettings
from metarl_rec.protocols.result import Bar, Curve, Panel, ProtocolResult, Table, Watch, mean_and_error, measured
from metarl_rec.threads import share_cores
from metarl_rec.workspace import Workspace

__all__ = ["Settings", "run"]

OURS, START_ROW = "meta-learned index", "its start, not meta-trained"
UCB, THOMPSON, GREEDY = "UCB, tuned", "Thompson sampling", "greedy posterior mean"
_RIVALS = (START_ROW, UCB, THOMPSON, GREEDY)

START: NDArray[np.float64] = np.zeros(N_COEFFICIENTS)
"""A flat prior's estimate with a bonus of about one spread: where the search begins, by hand."""

_WIDTHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_TRAINING_SEED, _TUNING_SEED = 1_000_003, 2_000_003


@dataclass(frozen=True, slots=True)
class _Cell:
    """Printed figures of one cell: Duan et al., 2016, arXiv:1611.02779, table 1; Mishra et al., 2018, arXiv:1707.03141.

    Attributes:
        printed: in the order of `_PRINTED`.
        ceiling: of what any policy can earn, and its standard error.
        bar: what ours has to reach.
        stretch: what it would like to.
    """

    pulls: int
    arms: int
    printed: tuple[float, ...]
    ceiling: tuple[float, float]
    bar: float
    stretch: float


_PRINTED = ("Thompson", "UCB1", "Gittins", "RL²", "SNAIL")
_PULLS, _ARMS = (10, 100, 500), (5, 10, 50)
_CELLS = (
    _Cell(10, 5, (5.7, 6.7, 6.6, 6.7, 6.6), (6.660, 0.0), 6.660 * 0.99, 6.660),
    _Cell(10, 10, (5.5, 6.7, 6.6, 6.7, 6.7), (6.714, 0.0), 6.714 * 0.99, 6.714),
    _Cell(10, 50, (5.2, 6.6, 6.5, 6.8, 6.7), (6.714, 0.0), 6.714 * 0.99, 6.714),
    _Cell(100, 5, (74.7, 78.0, 78.3, 78.7, 79.1), (78.62, 0.03), 78.3, 78.52),
    _Cell(100, 10, (76.7, 82.4, 82.8, 83.5, 83.5), (83.77, 0.02), 83.5, 83.67),
    _Cell(100, 50, (64.5, 84.3, 85.2, 84.9, 85.1), (85.58, 0.014), 84.9, 85.48),
    _Cell(500, 5, (402.0, 405.8, 405.8, 401.6, 408.1), (408.5, 0.24), 405.0, 408.0),
    _Cell(500, 10, (429.5, 437.1, 437.8, 432.5, 432.4), (442.1, 0.15), 438.0, 441.0),
    _Cell(500, 50, (427.2, 457.6, 463.7, 438.9, 442.6), (465.1, 0.07), 460.0, 464.0),
)


class Settings(FrozenSettings):
    """The protocol's settings.

    Attributes:
        seed: decides test tasks and meta-training.
        tasks: test tasks a cell.
        thompson_tasks: test tasks that Thompson sampling plays, the first of them; its draws are slow.
        pulls: which horizons; cells are all pairs of a horizon and a number of arms.
        arms: which numbers of arms.
        generations: outer updates.
        population: candidates in an update.
        train_pulls: pulls of training tasks an update gives each candidate: tasks times horizon.
    """

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    tasks: int = Field(default=100_000, ge=2, le=10_000_000)
    thompson_tasks: int = Field(default=10_000, ge=2, le=10_000_000)
    pulls: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(names_of("horizon", _PULLS))] = _PULLS
    arms: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(names_of("number of arms", _ARMS))] = _ARMS
    generations: int = Field(default=60, ge=1, le=10_000)
    population: int = Field(default=16, ge=4, le=1000)
    train_pulls: int = Field(default=2_000_000, ge=1000)


def run(settings: Settings, workspace: Workspace, watch: Watch) -> ProtocolResult:
    """Returns the report; the workspace is not used, tasks are drawn."""
    share_cores()
    cells = [cell for cell in _CELLS if cell.pulls in settings.pulls and cell.arms in settings.arms]
    total = len(cells) * settings.generations
    rows, less, bars, panels, verdict, raw = [], [], [], [], [], {}
    for number, cell in enumerate(cells):
        name = f"n={cell.pulls}, k={cell.arms}"
        done = number * settings.generations
        trained = _trained(settings, cell, lambda g, name=name, done=done: watch(name, done + g, total))  # type: ignore[misc]
        tuning = (cell.arms, cell.pulls, 0, min(settings.tasks, 5000), _TUNING_SEED + settings.seed)
        width = max(_WIDTHS, key=lambda width, tuning=tuning: float(ucb_rewards(width, *tuning).mean()))  # type: ignore[misc]
        where = (cell.arms, cell.pulls, 0, settings.tasks, settings.seed)
        few = (cell.arms, cell.pulls, 0, min(settings.tasks, settings.thompson_tasks), settings.seed)
        rewards = {
            OURS: index_rewards(trained.coefficients, *where),
            START_ROW: index_rewards(START, *where),
            UCB: ucb_rewards(width, *where),
            THOMPSON: thompson_rewards(*few),
            GREEDY: ucb_rewards(0.0, *where),
        }
        rows.append(_row(name, cell, rewards))
        less.append(_less(name, rewards))
        bars += _bars(name, cell, rewards[OURS])
        panels.append(Panel(name, "outer update", "reward on training tasks", [_curve(trained.curve)]))
        gap, meta = (measured(rewards[OURS] - rewards[other], sign=True) for other in (UCB, START_ROW))
        verdict.append(
            f"{name}: {measured(rewards[OURS])}; {gap} above tuned UCB, {meta} above its own start, paired; "
            f"ceiling {cell.ceiling[0]}."
        )
        raw[name] = {
            "coefficients": trained.coefficients.tolist(),
            "ucb_width": width,
            "training_curve": [round(value, 4) for value in trained.curve],
            # Every task's reward would be a hundred megabytes; how many tasks had how much says the same.
            "tasks_by_reward": {each: _counts(values, cell.pulls) for each, values in rewards.items()},
            "paired_differences": {
                each: mean_and_error(rewards[OURS][: len(values)] - values) for each, values in rewards.items()
            },
            "ours_has_less": dict(zip(_RIVALS, less[-1][1:], strict=True)),
        }
    return ProtocolResult(
        protocol="bandit",
        title="Bernoulli bandits: what meta-learned exploration is worth",
        tested=[
            f"k arms with P(reward) uniform in [0, 1], n pulls, total reward, {settings.tasks:,} test tasks a cell "
            f"({min(settings.tasks, settings.thompson_tasks):,} for Thompson sampling). Every policy plays the same "
            "tasks with the same answers: the j-th pull of an arm gives the same reward to all.",
            "Ours: a task's fast weights are one estimate an arm, moved by one gradient step on every reward; the arm "
            "of the greatest estimate plus bonus is pulled. Eight coefficients (the step size's prior count, the "
            "initial estimate, the bonus as a function of an arm's count and of the pulls left) are meta-learned by "
            "evolution strategies, anew in each cell, on tasks that no test plays.",
            "The start, Thompson sampling and the greedy policy all know that arms are uniform; what meta-training "
            "adds is the gain over the start.",
            "Printed rows were measured on 1,000 tasks by their authors; MAML's is left out, as nobody could look it "
            "up. Ceilings: exact for n=10, else what any policy can earn, with a standard error. Gains over others are "
            "paired over tasks. Exploring costs many tasks a little and gives others a lot: who explores may have less "
            "than the greedy policy in half of them, and more on average.",
        ],
        verdict=verdict,
        bars=bars,
        tables=[
            Table(
                "Total reward: mean ± standard error over tasks",
                ("cell", OURS, *_RIVALS, *(f"{each} (printed)" for each in _PRINTED), "ceiling"),
                rows,
            ),
            Table("Share of tasks in which ours has less", ("cell", *_RIVALS), less),
        ],
        panels=panels,
        raw=raw,
        context={"settings": settings.model_dump(mode="json")},
    )  # fmt: skip


def _trained(settings: Settings, cell: _Cell, on_generation: Callable[[int], None]) -> Evolved:
    tasks = max(2, settings.train_pulls // cell.pulls)

    def reward(coefficients: NDArray[np.float64], generation: int) -> float:
        where = (cell.arms, cell.pulls, generation * tasks, tasks, _TRAINING_SEED + settings.seed)
        return float(index_rewards(coefficients, *where).mean())

    return evolve(
        reward, START, generations=settings.generations, population=settings.population, seed=settings.seed,
        on_generation=on_generation,
    )  # fmt: skip


def _row(name: str, cell: _Cell, rewards: dict[str, NDArray[np.float64]]) -> tuple[str, ...]:
    digits = 3 if cell.pulls == 10 else 2
    ours = [measured(values, digits) for values in rewards.values()]
    error = f" ± {cell.ceiling[1]}" if cell.ceiling[1] else ""
    return (name, *ours, *map(str, cell.printed), f"{cell.ceiling[0]}{error}")


def _less(name: str, rewards: dict[str, NDArray[np.float64]]) -> tuple[str, ...]:
    """Returns in how many of the tasks that both played ours has less than each rival."""
    shares = [(rewards[OURS][: len(rewards[each])] < rewards[each]).mean() for each in _RIVALS]
    return (name, *(f"{100 * share:.1f} %" for share in shares))


def _bars(name: str, cell: _Cell, ours: NDArray[np.float64]) -> list[Bar]:
    mean, error = mean_and_error(ours)
    found = measured(ours, 3 if cell.pulls == 10 else 2)
    exact = cell.ceiling[1] == 0
    top = cell.ceiling[0] + 3 * float(np.hypot(cell.ceiling[1], error))
    return [
        Bar(f"{name}", f">= {cell.bar:.4g}", found, mean >= cell.bar),
        # At ten pulls the stretch is the exact ceiling, which half of all samples of the best policy fall short of.
        Bar(
            f"{name}, stretch",
            f">= {cell.stretch:.5g}" + (" within 2 standard errors" if exact else ""),
            found,
            mean >= cell.stretch - (2 * error if exact else 0.0),
        ),
        Bar(f"{name}, no bug", f"<= {top:.5g}, the ceiling and three standard errors", found, mean <= top),
    ]


def _curve(values: list[float]) -> Curve:
    return Curve(OURS, list(range(1, len(values) + 1)), values)


def _counts(values: NDArray[np.float64], most: int) -> list[int]:
    return [int(count) for count in np.bincount(values.astype(np.int64), minlength=most + 1)]
