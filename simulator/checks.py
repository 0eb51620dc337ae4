"""Range checks at the boundary: each raises one line that names the field, its value and the remedy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulator.errors import SimulatorError

__all__ = ["at_least", "between", "probability", "rows_sum_to_one", "users_of"]


def between(name: str, value: float, low: float, high: float) -> None:
    """Refuses a number outside [low, high], or one that is not finite."""
    if not (math.isfinite(value) and low <= value <= high):
        raise SimulatorError(f"{name} is {value:g}; give a number from {low:g} to {high:g}")


def probability(name: str, value: float) -> None:
    """Refuses what is not a probability."""
    between(name, value, 0.0, 1.0)


def at_least(name: str, value: float, low: float) -> None:
    """Refuses a number below `low`, or one that is not finite."""
    if not (math.isfinite(value) and value >= low):
        raise SimulatorError(f"{name} is {value:g}; give a number of at least {low:g}")


def rows_sum_to_one(name: str, rows: Tensor) -> None:
    """Refuses rows [R, C] that are not distributions."""
    if not bool(torch.isfinite(rows).all()) or bool((rows < 0).any()):
        raise SimulatorError(f"{name} holds a negative or infinite number; give probabilities")
    worst = (rows.sum(dim=-1) - 1).abs()
    if float(worst.max()) > 1e-4:
        row = int(worst.argmax())
        raise SimulatorError(f"{name}: row {row} sums to {float(rows[row].sum()):g}; divide it by its sum")


def users_of(users: Tensor, n_users: int) -> None:
    """Refuses users [N] that are not users of a population of `n_users`."""
    if users.ndim != 1 or len(users) == 0:
        raise SimulatorError(f"users must be a vector with at least one user, not {tuple(users.shape)}")
    low, high = int(users.min()), int(users.max())
    if low < 0 or high >= n_users:
        raise SimulatorError(f"users holds {low if low < 0 else high}; the population has users 0..{n_users - 1}")
