"""What the play in moving worlds says: rewards, paired differences, bars, and curves by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.choosing import DEFAULTS_SEEN
from metarl_rec.protocols.drift_worlds import (
    FORGETTING,
    GREEDY,
    OURS,
    PARTS,
    POPULARITY,
    REMEMBERING,
    STATIONARY,
    TIRING,
    UNADAPTED,
    UNTRAINED,
    WORLDS,
    Settings,
)
from metarl_rec.protocols.limits import DRIFT_LIMITS, FATIGUE_BAR
from metarl_rec.protocols.moving import informed_bars, moving_bars
from metarl_rec.protocols.result import Curve, Panel, ProtocolResult, Table, measured

__all__ = ["report"]


def report(settings: Settings, data: str, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of what was played."""
    tables, bars, panels, verdict = [], [], [], []
    for world in settings.worlds:
        here = [part for part in played if part["world"] == world]
        totals = {name: np.array([part["totals"][name] for part in here]) for name in here[0]["totals"]}
        gaps = {name: totals[OURS] - table for name, table in totals.items() if name != OURS}
        rows = []
        for name, table in totals.items():
            gap = gaps.get(name)
            cells = ("", "") if gap is None else (measured(gap.ravel(), sign=True), f"{100 * (gap < 0).mean():.1f} %")
            rows.append((name, measured(table.ravel()), *cells))
        columns = ("policy", f"reward of {settings.steps} steps", "adapted minus it", "have less")
        note = " ".join(_what_shipped(part, gaps, index) for index, part in enumerate(here))
        tables.append(Table(f"World: {world} {WORLDS[world]}", columns, rows, note, strong=(OURS,)))
        stationary, forgetting = gaps[STATIONARY].ravel(), gaps[FORGETTING].ravel()
        bars += moving_bars(world, stationary, forgetting, float(totals[FORGETTING].mean()), DRIFT_LIMITS)
        if TIRING in gaps:
            bars += informed_bars(world, FATIGUE_BAR, gaps[TIRING].ravel(), float(totals[TIRING].mean()), DRIFT_LIMITS)
        unadapted, sampling = gaps[UNADAPTED].ravel(), gaps[GREEDY].ravel()
        verdict.append(
            f"{world}: adapted minus HB without forgetting {measured(stationary, sign=True)}, minus HB with tuned "
            f"forgetting {measured(forgetting, sign=True)}, minus no adaptation {measured(unadapted, sign=True)} "
            f"({100 * (unadapted < 0).mean():.1f} % of users have less than without), minus the same without sampling "
            f"{measured(sampling, sign=True)}; that one, greedy as HB is, minus HB without forgetting "
            f"{measured(stationary - sampling, sign=True)}, minus HB with tuned forgetting "
            f"{measured(forgetting - sampling, sign=True)}. "
            + "".join(
                f"What ships minus {name} {measured(gaps[name].ravel(), sign=True)}. "
                for name in (UNTRAINED, *PARTS, REMEMBERING)
                if name in gaps
            )
        )
        panels.append(_panel(world, here, settings.steps))
    return ProtocolResult(
        protocol="drift",
        title=f"Worlds that move, users drawn after {data}",
        tested=[
            f"Simulated users: {settings.users} for each of {settings.splits} splits, drawn from a prior fitted on the "
            "split's test users, of whom nothing was used for training; others, drawn from a prior fitted on its "
            "validation users, tuned the baselines and chose the iteration that counts.",
            DEFAULTS_SEEN,
            "Ours is meta-trained in the world: where tastes move, those who choose take the start's forgetting and "
            "noise from a grid, where showing has effects its noise and fatigue (discount .9), and the outer loop goes "
            "on from there. Parameters ship only where others who judge gain by them; below every table stands what "
            f"shipped, and '{UNTRAINED}' is the start.",
            "HB with forgetting is the Kalman filter of drifting tastes; with fatigue it minds what was shown as ours "
            "does, at a strength of the same grid. Its noise is chosen with its forgetting or fatigue, every pair, in "
            "the same world, by as many people and the same test as our start's, which takes its fatigue first and its "
            "noise with it. HB is greedy, and ours samples, as it is served. Everybody plays the same users with the "
            "same random numbers. The others are as in cold start, tuned on validation users' ratings; the oracle "
            "knows what everybody likes at that moment.",
            "Standard errors are over users; a split's training and tuning happen once, so the differences of every "
            "split are given besides. Have less: share of users with less reward than under the other policy.",
        ],
        verdict=verdict,
        bars=bars,
        tables=tables,
        panels=panels,
        raw={"parts": played},
        context={"settings": settings.model_dump(mode="json"), "worlds": {w: WORLDS[w] for w in settings.worlds}},
    )


def _what_shipped(part: dict[str, Any], gaps: dict[str, NDArray[np.float64]], index: int) -> str:
    """Returns what one split shipped and tuned, and by how much it differs from HB."""
    inner, updates = part["inner"], part["best_iteration"]
    shipped = f"parameters after {updates} updates" if updates else "the start that was chosen"
    minus = ", ".join(f"minus {name} {gaps[name][index].mean():+.2f}" for name in (STATIONARY, FORGETTING))
    hb = ", ".join(f"{name} {_options(options)}" for name, options in part["tuned"].items())
    fatigue = ", ".join(f"{h:.2f}" for h in inner["fatigue"])
    return (
        f"Split {part['split']} shipped {shipped}: forgetting {inner['forgetting']:.3f}, noise "
        f"{np.exp(-inner['value_weight'][0]):.2f}, fatigue {fatigue}; {hb}; ours {minus}."
    )


def _options(options: dict[str, Any]) -> str:
    """Returns a tuned policy's options; fatigue is the same in all memories."""
    return " ".join(
        f"{name} {value[0] if isinstance(value, list | tuple) else value}" for name, value in options.items()
    )


def _panel(world: str, here: list[dict[str, Any]], steps: int) -> Panel:
    curves = []
    for name in here[0]["above_popularity"]:
        if name != POPULARITY:
            means, errors = np.array([part["above_popularity"][name] for part in here]).transpose(1, 0, 2)
            error = np.sqrt(np.square(errors).sum(axis=0)) / len(here)
            curves.append(Curve(name, list(range(1, steps + 1)), means.mean(axis=0).tolist(), error.tolist()))
    return Panel(world, "interactions", "reward above popularity", curves)
