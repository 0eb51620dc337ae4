"""Evaluation results as files and pictures: JSON with raw rewards, a terminal table, a cold-start curve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from metarl_rec.errors import DataError
from metarl_rec.protocol import ADAPTED, HORIZONS
from metarl_rec.statistics import Episodes, compare, curve, summarize

__all__ = ["comparison_table", "hits_table", "plot_curve", "read_json", "write_json"]


def hits_table(episodes: Episodes) -> Table:
    """Returns hits by interaction count, mean and standard error over users, one row a policy; 80 columns suffice."""
    table = _table("Hits of held-out users by interaction count: mean ± standard error over users")
    for horizon in HORIZONS:
        table.add_column(f"@{horizon}", justify="right", no_wrap=True)
    for row in summarize(episodes):
        cells = [f"{row.hits[h]:.2f}±{row.standard_errors[h]:.2f}" for h in HORIZONS]
        table.add_row(row.policy, *cells, style="bold" if row.policy == ADAPTED else None)
    return table


def comparison_table(episodes: Episodes, policy: str = ADAPTED) -> Table:
    """Returns `policy` against every other one: paired difference at 20 and 40, and the share of users harmed at 40."""
    table = _table(f"{policy} minus the other, paired; harmed: share with strictly fewer hits")
    for title in ("@20", "@40", "@40 / s.e.", "harmed @40"):
        table.add_column(title, justify="right", no_wrap=True)
    for other in episodes.rewards:
        if other == policy:
            continue
        result = compare(episodes, policy, other)
        error = result.standard_errors[40]
        table.add_row(
            other,
            f"{result.difference[20]:+.2f}±{result.standard_errors[20]:.2f}",
            f"{result.difference[40]:+.2f}±{error:.2f}",
            f"{result.difference[40] / error:+.1f}" if error > 0 else "-",
            f"{100 * result.harmed[40]:.0f} %",
        )
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("policy", no_wrap=True)
    return table


def write_json(path: Path, episodes: Episodes, context: Mapping[str, Any]) -> None:
    """Writes every figure of the tables and the raw rewards of every episode.

    Args:
        path: file to write; its directory exists.
        episodes: raw results.
        context: seed, machine, data, configuration: whatever says how they came about.
    """
    policies = list(episodes.rewards)
    payload = {
        "context": dict(context),
        "horizons": HORIZONS,
        "policies": [asdict(row) for row in summarize(episodes)],
        "comparisons": [asdict(compare(episodes, ADAPTED, other)) for other in policies if other != ADAPTED],
        "episodes": {
            "user_ids": list(episodes.user_ids),
            "splits": list(episodes.splits),
            "rewards": {name: ["".join(map(_digit, row)) for row in episodes.rewards[name]] for name in policies},
        },
    }
    path.write_text(json.dumps(payload, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Episodes:
    """Returns the raw results that `write_json` wrote.

    Raises:
        DataError: the file is missing or is not such a report.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))["episodes"]
        rewards = {
            name: np.array([[int(digit) for digit in row] for row in rows], np.float32)
            for name, rows in raw["rewards"].items()
        }
        return Episodes(raw["user_ids"], raw["splits"], rewards)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); run metarl-rec evaluate first") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is not an evaluation report; run metarl-rec evaluate again") from None


def _digit(reward: np.float32) -> str:
    """Returns a 0/1 reward as one character: forty steps make a string of forty digits."""
    return "1" if reward > 0 else "0"


def plot_curve(path: Path, episodes: Episodes, title: str) -> None:
    """Writes the cold-start curve as PNG: mean hits above popularity by interaction count, with standard errors."""
    # pyplot keeps figures in a global list and picks a screen; the object interface does neither.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    total, gain = figure.subplots(1, 2)
    for index, name in enumerate(name for name in episodes.rewards if name != "oracle"):
        mean, _ = curve(episodes, name)
        steps = np.arange(1, len(mean) + 1)
        style: dict[str, Any] = {"color": f"C{index % 10}", "linewidth": 2.6 if name == ADAPTED else 1.3}
        total.plot(steps, mean, label=name, **style)
        if name not in ("random", "PPO from scratch"):
            above, error = curve(episodes, name, against="popularity")
            gain.plot(steps, above, **style)
            gain.fill_between(steps, above - error, above + error, color=style["color"], alpha=0.12)
    total.set(xlabel="interactions", ylabel="hits, mean over users", title=title)
    gain.set(
        xlabel="interactions", ylabel="hits above popularity, paired (± standard error)", title="what adaptation adds"
    )
    total.legend(fontsize=8, frameon=False)
    for axes in (total, gain):
        axes.grid(alpha=0.25)
        axes.set_xlim(1, None)
    figure.savefig(path, dpi=130)
