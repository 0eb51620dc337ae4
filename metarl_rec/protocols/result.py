"""What every protocol returns: tables, curves, bars and raw figures, in one form that files and terminals show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "Bar",
    "Curve",
    "Panel",
    "ProtocolResult",
    "Table",
    "Watch",
    "above",
    "mean_and_error",
    "measured",
    "not_below",
]

Watch = Callable[[str, int, int], None]
"""Called as work proceeds: what is being done, how many parts of how many are done."""


@dataclass(frozen=True, slots=True)
class Table:
    """Figures as text.

    Attributes:
        title: what the rows are, on whom.
        columns: header; the first names the rows.
        rows: cells, as many as columns.
        note: how to read it.
        strong: labels (first cells) of rows that stand out.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    strong: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot.

    Attributes:
        label: in the legend.
        x: [T] positions.
        y: [T] means.
        error: [T] standard errors, or None.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot.

    Attributes:
        title: what it shows.
        x_label: with its unit.
        y_label: with its unit.
        curves: lines.
        log_x: whether x is logarithmic.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log_x: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing the protocol has to show, and what was found.

    Attributes:
        name: what is asked.
        asked: the bar, in words and figures.
        found: the figure, with its standard error.
        reached: whether it holds.
        remark: what limits it, where it does not.
    """

    name: str
    asked: str
    found: str
    reached: bool
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ProtocolResult:
    """One protocol's report.

    Attributes:
        protocol: its name on the command line.
        title: one line.
        tested: paragraphs: what was tested, on whom, how.
        verdict: sentences: what won, by how much, who was harmed.
        bars: what had to be shown.
        tables: figures.
        panels: curves.
        raw: raw results of every user or task, as JSON; what the figures are computed from.
        context: settings, seeds, data.
    """

    protocol: str
    title: str
    tested: Sequence[str]
    verdict: Sequence[str]
    bars: Sequence[Bar] = ()
    tables: Sequence[Table] = ()
    panels: Sequence[Panel] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


def mean_and_error(values: ArrayLike) -> tuple[float, float]:
    """Returns the mean of independent values [N] and its standard error, NaN for one value."""
    sample = np.asarray(values, np.float64)
    error = sample.std(ddof=1) / np.sqrt(len(sample)) if len(sample) > 1 else np.nan
    return float(sample.mean()), float(error)


def measured(values: ArrayLike, digits: int = 2, *, sign: bool = False) -> str:
    """Returns independent values [N] as text: mean ± standard error; `sign` for differences."""
    mean, error = mean_and_error(values)
    return f"{mean:{'+' if sign else ''}.{digits}f} ± {error:.{digits}f}"


def above(name: str, gaps: ArrayLike, digits: int = 2) -> Bar:
    """Returns the bar that independent paired differences [N] are above zero by more than 2 standard errors."""
    mean, error = mean_and_error(gaps)
    return Bar(name, "by more than 2 paired s.e.", measured(gaps, digits, sign=True), mean > 2 * error)


MARGIN = 0.01
"""Share of a level by which `not_below` lets anybody be below it, two standard errors taken off."""


def not_below(name: str, gaps: ArrayLike, level: float, digits: int = 2) -> Bar:
    """Returns the bar that independent paired differences [N] are not below zero by 2 standard errors or more.

    Few users do not suffice: 2 standard errors taken off, they may not be below minus a hundredth of the level.

    Args:
        name: the bar's.
        gaps: [N], ours minus theirs.
        level: their mean, in the units of the differences.
        digits: behind the point.
    """
    mean, error = mean_and_error(gaps)
    margin = MARGIN * level
    reached = mean > -2 * error and mean - 2 * error >= -margin
    asked = f"not below (2 paired s.e.), by {margin:.{digits}f} at most with them"
    return Bar(name, asked, measured(gaps, digits, sign=True), reached)
