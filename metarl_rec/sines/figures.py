"""Errors of tasks as figures: text for tables, curves for plots, numbers for raw results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metarl_rec.protocols.result import Curve, measured

__all__ = ["error_curve", "error_text", "median_text", "over_seeds", "raw_errors", "span_text", "worse_text"]

_LOST = 100.0
"""A mean error this large on sines of amplitude 5 is that of weights that diverge."""


def over_seeds(errors: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Returns every task's error after `step`, averaged over training seeds, from [seeds, N, steps + 1]: [N]."""
    return np.asarray(errors[:, :, step].mean(axis=0), np.float64)


def _lost(values: NDArray[np.float64]) -> bool:
    return not bool(values.mean() < _LOST)


def error_text(errors: NDArray[np.float64], step: int, digits: int = 3) -> str:
    """Returns the mean error over tasks ± its standard error over tasks, or that weights diverge."""
    values = over_seeds(errors, step)
    return "diverges" if _lost(values) else measured(values, digits)


def median_text(errors: NDArray[np.float64], step: int, digits: int = 3) -> str:
    """Returns the median over tasks, averaged over training seeds."""
    medians = np.median(errors[:, :, step], axis=1)
    return "diverges" if _lost(medians) else f"{medians.mean():.{digits}f}"


def span_text(errors: NDArray[np.float64], step: int, digits: int = 3) -> str:
    """Returns the lowest and the highest mean error of a training seed."""
    if _lost(over_seeds(errors, step)):
        return "diverges"
    means = errors[:, :, step].mean(axis=1)
    return f"{means.min():.{digits}f}" if len(means) == 1 else f"{means.min():.{digits}f} to {means.max():.{digits}f}"


def worse_text(errors: NDArray[np.float64], step: int) -> str:
    """Returns the share of tasks (of every training seed) with a larger error after `step` than before adapting."""
    return f"{(errors[:, :, step] > errors[:, :, 0]).mean():.1%}"


def error_curve(label: str, errors: NDArray[np.float64], start: int = 0) -> Curve:
    """Returns mean error by inner step from `start` on; it ends where it would leave twice the unadapted error."""
    limit = 2 * over_seeds(errors, 0).mean()
    x: list[float] = []
    y: list[float] = []
    spread: list[float] = []
    for step in range(start, errors.shape[2]):
        values = over_seeds(errors, step)
        if not values.mean() <= limit:
            break
        x.append(float(step))
        y.append(float(values.mean()))
        spread.append(float(values.std(ddof=1) / np.sqrt(len(values))))
    return Curve(label, x, y, spread)


def raw_errors(errors: NDArray[np.float64], steps: Sequence[int]) -> dict[str, list[list[float | None]]]:
    """Returns errors by inner step, for each training seed and task; None where weights diverged."""
    return {
        str(step): [[float(f"{v:.5g}") if np.isfinite(v) else None for v in seed] for seed in errors[:, :, step]]
        for step in steps
    }
