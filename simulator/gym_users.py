"""Who plays next in a Gymnasium environment: the user that `reset` was asked for, or one drawn from its seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import SimulatorError

__all__ = ["first_users", "next_user"]


def next_user(n_users: int, random: np.random.Generator, options: dict[str, Any] | None) -> int:
    """Returns the user that `options["user"]` asks for, or any.

    Raises:
        SimulatorError: there is no such user.
    """
    if options is None or "user" not in options:
        return int(random.integers(n_users))
    user = int(options["user"])
    if not 0 <= user < n_users:
        raise SimulatorError(f"options: user is {user}; the population has users 0..{n_users - 1}")
    return user


def first_users(
    n_users: int, n_places: int, random: np.random.Generator, options: dict[str, Any] | None
) -> NDArray[np.int64]:
    """Returns the users [N] that `options["user"]` asks for, or any.

    Raises:
        SimulatorError: there is no such user, or not one for each of the N places.
    """
    if options is None or "user" not in options:
        return random.integers(n_users, size=n_places)
    asked = np.atleast_1d(options["user"])
    if len(asked) != n_places:
        raise SimulatorError(f"options: user holds {len(asked)} users; give {n_places}, one for each place")
    return np.array([next_user(n_users, random, {"user": user}) for user in asked])
