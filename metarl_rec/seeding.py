"""One integer seed, many independent named generators: the same names give the same stream, whatever else was drawn."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["generator"]


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Returns the generator that belongs to `seed` and the names, for example `generator(0, "rollout", iteration)`.

    Args:
        seed: non-negative integer.
        names: what the numbers are for; order matters.
    """
    digest = hashlib.sha256(repr(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4")
    return np.random.default_rng([seed, *(int(word) for word in words)])
