"""The calibration report: a table, a JSON file with every figure, and plots of simulated beside real users."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from metarl_rec.calibration import Calibration, HeldOut

__all__ = ["BARS", "calibration_table", "plot_calibration", "verdicts", "write_calibration"]

BARS = {"deciles": 8, "spread": 0.15, "calibration_error": 0.03, "log_loss_errors": 2.0}
"""What counts as close: deciles that agree, relative gap of the spread, expected calibration error (rated-only), and
standard errors by which the log-loss is below item popularity's (unrated-zero)."""


def verdicts(result: Calibration, convention: str) -> dict[str, bool]:
    """Returns which of the bars hold that concern this convention."""
    real, simulated = result.spread
    out = {
        "deciles": sum(agrees for *_, agrees in result.deciles) >= BARS["deciles"],
        "spread": abs(simulated / real - 1) <= BARS["spread"],
    }
    if convention == "rated-only":
        out["calibration error"] = result.calibration_error <= BARS["calibration_error"]
    else:
        gain, error = result.log_loss_gain
        out["log-loss"] = gain > BARS["log_loss_errors"] * error
    return out


def calibration_table(results: Mapping[str, Calibration]) -> Table:
    """Returns the figures side by side, one column a convention."""
    table = Table(
        title="Simulated beside held-out real users (real / simulated)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for convention in results:
        table.add_column(convention, justify="right", no_wrap=True)

    def row(name: str, cells: list[str], bar: str | None = None) -> None:
        marks = []
        for cell, (convention, result) in zip(cells, results.items(), strict=True):
            held = verdicts(result, convention).get(bar) if bar else None
            marks.append(cell + ("" if held is None else "  yes" if held else "  [bold red]no[/]"))
        table.add_row(name, *marks)

    every = list(results.values())
    row("reward rate", [f"{r.rate[0]:.4f} / {r.rate[1]:.4f}" for r in every])
    for decile in range(len(every[0].deciles)):
        cells = [r.deciles[decile] for r in every]
        row(
            f"  decile {decile + 1}",
            [f"{real:.4f} / {sim:.4f} ±{error:.4f}{'' if ok else ' !'}" for real, sim, error, ok in cells],
        )
    row("deciles that agree", [str(sum(ok for *_, ok in r.deciles)) for r in every], "deciles")
    row(
        "spread of users",
        [f"{r.spread[0]:.4f} / {r.spread[1]:.4f} ({r.spread[1] / r.spread[0] - 1:+.0%})" for r in every],
        "spread",
    )
    row(
        "autocorrelation",
        ["-" if r.neighbours is None else f"{r.neighbours[0]:.3f} / {r.neighbours[1]:.3f}" for r in every],
    )
    row("calibration error", [f"{r.calibration_error:.4f}" for r in every], "calibration error")
    row("  of popularity", [f"{r.popularity_error:.4f}" for r in every])
    row("log-loss / of popul.", [f"{r.log_loss[0]:.4f} / {r.log_loss[1]:.4f}" for r in every])
    row(
        "  gain by user",
        [f"{r.log_loss_gain[0]:.4f} ±{r.log_loss_gain[1]:.4f}" for r in every],
        "log-loss",
    )
    return table


def write_calibration(
    path: Path, raw: Mapping[str, HeldOut], results: Mapping[str, Calibration], context: Mapping[str, Any]
) -> None:
    """Writes every figure, the verdicts, and each user's rewards, real and simulated."""
    payload = {
        "context": dict(context),
        "bars": BARS,
        "conventions": {
            name: {"verdicts": verdicts(result, name), **asdict(result)} for name, result in results.items()
        },
        "users": {
            name: {
                "user": held.users.tolist(),
                "interactions": held.shown.sum(axis=1).astype(int).tolist(),
                "real": held.real.sum(axis=1).astype(int).tolist(),
                "simulated": held.simulated.sum(axis=1).astype(int).tolist(),
            }
            for name, held in raw.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(payload, indent=1, allow_nan=False)
    # One line a list of numbers, else the file is mostly line breaks.
    path.write_text(_joined(text) + "\n", encoding="utf-8")


def _joined(text: str) -> str:
    out: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if out and (bare.lstrip("-")[:1].isdigit() or bare in ("]", "],")) and out[-1].rstrip()[-1] in "[,0123456789":
            out[-1] += bare
        else:
            out.append(line)
    return "\n".join(out)


def plot_calibration(path: Path, raw: Mapping[str, HeldOut], results: Mapping[str, Calibration], title: str) -> None:
    """Writes a PNG, one row a convention: rates by decile, reliability, users' rates, rates by interaction index."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 3.8 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(results), 4, squeeze=False)
    figure.suptitle(title)
    for (name, result), panels in zip(results.items(), grid, strict=True):
        deciles, reliability, users, index = panels
        at = np.arange(1, len(result.deciles) + 1)
        real, simulated, error, _ = map(np.array, zip(*result.deciles, strict=True))
        deciles.errorbar(at, real, 2 * error, fmt="o-", label="real (± 2 s.e. of the difference)", capsize=3)
        deciles.plot(at, simulated, "s--", label="simulated")
        deciles.set(xlabel="popularity decile", ylabel="reward rate", title=f"{name}: by item popularity")
        deciles.legend(frameon=False, fontsize=8)
        predicted, observed, _ = zip(*result.reliability, strict=True)
        top = max(*predicted, *observed)
        reliability.plot([0, top], [0, top], color="0.7", linewidth=1)
        reliability.plot(predicted, observed, "o-")
        reliability.set(
            xlabel="predicted P(like)",
            ylabel="observed share",
            title=f"reliability, calibration error {result.calibration_error:.3f}",
        )
        held = raw[name]
        shown = held.shown.sum(axis=1)
        bins = np.linspace(
            0, max((held.real.sum(axis=1) / shown).max(), (held.simulated.sum(axis=1) / shown).max()), 31
        )
        for label, rewards in (("real", held.real), ("simulated", held.simulated)):
            users.hist(rewards.sum(axis=1) / shown, bins=bins, histtype="step", linewidth=1.6, label=label)
        users.set(xlabel="a user's reward rate", ylabel="users", title="between users")
        users.legend(frameon=False, fontsize=8)
        if result.by_index:
            first, real_rate, simulated_rate = zip(*result.by_index, strict=True)
            index.plot(range(len(first)), real_rate, "o-", label="real")
            index.plot(range(len(first)), simulated_rate, "s--", label="simulated")
            index.set_xticks(range(len(first)), [f"{edge}+" for edge in first])
            index.legend(frameon=False, fontsize=8)
        else:
            index.text(0.5, 0.5, "no order in this convention or data", ha="center", transform=index.transAxes)
        index.set(xlabel="interaction", ylabel="reward rate", title="by interaction index")
        for panel in panels:
            panel.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
