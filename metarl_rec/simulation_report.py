"""A simulation's report: reward and regret by interaction count, leaving, coverage, harm; as table, JSON and plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from metarl_rec.simulation import REFERENCE, SimulationRun

__all__ = ["PolicyOutcome", "horizons", "outcomes", "plot_simulation", "simulation_table", "write_simulation"]


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """One policy's figures.

    Attributes:
        policy: its name.
        reward: mean cumulated reward of a user at each horizon.
        standard_errors: of these means, over users.
        regret: the oracle's expected reward minus the policy's at each horizon, mean over users; None without oracle.
        left: share of users who have left a session by the end of each horizon; None in a world without leaving.
        presence: share of steps at which users were there.
        coverage: share of the catalogue shown to anybody.
        harmed: share of users with strictly less reward than from the meta-policy without adaptation, at the end; None
            where that was not played.
    """

    policy: str
    reward: dict[int, float]
    standard_errors: dict[int, float]
    regret: dict[int, float] | None
    left: dict[int, float] | None
    presence: float
    coverage: float
    harmed: float | None


def horizons(steps: int) -> list[int]:
    """Returns interaction counts to report: 1, 5, 10, 20, 40, 80, ... and the last."""
    out = [1, 5, 10]
    while out[-1] < steps:
        out.append(out[-1] * 2)
    return [*(horizon for horizon in out if horizon < steps), steps]


def outcomes(run: SimulationRun) -> list[PolicyOutcome]:
    """Returns every policy's figures, in the order of play."""
    at = horizons(run.config.steps)
    best = run.expected["oracle"].cumsum(axis=1) if "oracle" in run.expected else None
    reference = run.rewards[REFERENCE].sum(axis=1) if REFERENCE in run.rewards else None
    out = []
    for name, rewards in run.rewards.items():
        totals = rewards.cumsum(axis=1, dtype=np.float64)
        expected = run.expected[name].cumsum(axis=1, dtype=np.float64)
        gone = np.maximum.accumulate(run.left[name], axis=1)
        out.append(
            PolicyOutcome(
                policy=name,
                reward={h: float(totals[:, h - 1].mean()) for h in at},
                standard_errors={h: float(totals[:, h - 1].std(ddof=1) / np.sqrt(len(totals))) for h in at},
                regret=None if best is None else {h: float((best - expected)[:, h - 1].mean()) for h in at},
                left={h: float(gone[:, h - 1].mean()) for h in at} if run.config.world.sessions else None,
                presence=float(run.present[name].mean()),
                coverage=float((run.shown[name] > 0).mean()),
                harmed=None if reference is None else float((totals[:, -1] < reference).mean()),
            )
        )
    return out


def simulation_table(run: SimulationRun) -> Table:
    """Returns one row a policy."""
    config = run.config
    at = horizons(config.steps)
    table = Table(
        title=f"{len(next(iter(run.rewards.values()))):,} {config.population} users: reward by interaction count, "
        "mean ± s.e.",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("policy", no_wrap=True)
    shown = at[-3:]
    for horizon in shown:
        table.add_column(f"@{horizon}", justify="right", no_wrap=True)
    results = outcomes(run)
    columns: dict[str, Callable[[PolicyOutcome], str | None]] = {
        "regret": lambda row: None if row.regret is None else f"{row.regret[at[-1]]:.2f}".replace("-0.00", "0.00"),
        "left": lambda row: None if row.left is None else f"{row.left[at[-1]]:.0%}",
        "cover": lambda row: f"{row.coverage:.0%}",
        "harm": lambda row: None if row.harmed is None or row.policy == REFERENCE else f"{row.harmed:.0%}",
    }
    kept = {title: read for title, read in columns.items() if any(read(row) is not None for row in results)}
    for title in kept:
        table.add_column(title, justify="right", no_wrap=True)
    for row in results:
        rewards = [f"{row.reward[h]:.2f}±{row.standard_errors[h]:.2f}".replace("±0.", "±.") for h in shown]
        table.add_row(row.policy, *rewards, *(read(row) or "-" for read in kept.values()))
    return table


def write_simulation(path: Path, run: SimulationRun, context: Mapping[str, Any]) -> None:
    """Writes every figure, and each user's reward at each step.

    Args:
        path: file to write; its directory is made.
        run: raw results.
        context: machine, data, policy version, agreement with a live service: whatever says how they came about.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = {
        "context": dict(context),
        "config": run.config.model_dump(mode="json"),
        "policies": [asdict(row) for row in outcomes(run)],
        # One character a step: the number of rewards in a slate, "." where the user was not there, "+" for over 9.
        "rewards": {
            name: [
                "".join("." if not here else str(int(r)) if r < 10 else "+" for r, here in zip(row, there, strict=True))
                for row, there in zip(rewards, run.present[name], strict=True)
            ]
            for name, rewards in run.rewards.items()
        },
    }
    path.write_text(json.dumps(payload, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def plot_simulation(path: Path, run: SimulationRun, title: str) -> None:
    """Writes a PNG: reward, regret, presence and catalogue coverage, by interaction count."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    reward, regret, presence, concentration = figure.subplots(1, 4)
    steps = np.arange(1, run.config.steps + 1)
    best = run.expected["oracle"].cumsum(axis=1).mean(axis=0) if "oracle" in run.expected else None
    for index, (name, rewards) in enumerate(run.rewards.items()):
        color = f"C{index % 10}"
        totals = rewards.cumsum(axis=1)
        mean, error = totals.mean(axis=0), totals.std(axis=0, ddof=1) / np.sqrt(len(totals))
        reward.plot(steps, mean, color=color, label=name)
        reward.fill_between(steps, mean - error, mean + error, color=color, alpha=0.15)
        if best is not None and name != "oracle":
            regret.plot(steps, best - run.expected[name].cumsum(axis=1).mean(axis=0), color=color)
        presence.plot(steps, run.present[name].mean(axis=0), color=color)
        share = np.sort(run.shown[name])[::-1].cumsum() / max(run.shown[name].sum(), 1)
        concentration.plot(np.arange(1, len(share) + 1) / len(share), share, color=color)
    reward.set(xlabel="interactions", ylabel="reward", title="cumulated reward (± standard error)")
    regret.set(xlabel="interactions", ylabel="regret against the oracle", title="cumulated regret")
    presence.set(xlabel="interactions", ylabel="share of users", title="who is there", ylim=(0, 1.03))
    concentration.set(xlabel="share of the catalogue", ylabel="share of what was shown", title="concentration")
    reward.legend(frameon=False, fontsize=8)
    for axes in (reward, regret, presence, concentration):
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
