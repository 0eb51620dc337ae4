"""Drawing slates under rules: pins, caps per category and diversity, inside the sequential sampler.

Every rule acts on who may stand at a position and on the logits there, given the positions before it. So a position's
log-propensity is that of the softmax that was really drawn from, and the rules need no correction afterwards.

References: Plackett, "The Analysis of Permutations", JRSS C 24 (1975), for the sequential softmax; Carbonell &
    Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998, for relevance less the greatest similarity to
    what was chosen; Celis, Straszak & Vishnoi, "Ranking with Fairness Constraints", ICALP 2018, arXiv:1704.06840, for
    upper bounds per category.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Rules", "draw_ruled_slate", "make_rules"]


@dataclass(frozen=True, eq=False)
class Rules:
    """What a slate over m candidates has to obey.

    Attributes:
        pinned: [k] int32, the candidate that stands at a position whatever its value, -1 for none; each one once.
        starts: [m + 1] int64, where each candidate's categories begin in `categories`.
        categories: [c] int32, the capped categories of all candidates, one after the other.
        room: [g] int32, how many items of each capped category a slate may hold.
        directions: [m, D] float32 rows of length 1 (or 0), whose cosine is two items' similarity; [m, 0] without
            diversity.
        diversity: in [0, 1]; 0 minds values alone, 1 similarity alone.
    """

    pinned: NDArray[np.int32]
    starts: NDArray[np.int64]
    categories: NDArray[np.int32]
    room: NDArray[np.int32]
    directions: NDArray[np.float32]
    diversity: float


def make_rules(
    candidates: int,
    length: int,
    *,
    pins: Mapping[int, int] | None = None,
    caps: Sequence[tuple[int, Sequence[Sequence[Hashable]]]] = (),
    diversity: float = 0.0,
    features: NDArray[np.float32] | None = None,
) -> Rules:
    """Returns the rules of a slate.

    Args:
        candidates: number m of candidates.
        length: number k of positions.
        pins: candidate by position, both from 0.
        caps: for each capped attribute the greatest number of items of one value, and each candidate's values of it.
        diversity: in [0, 1].
        features: [m, D] float32, needed where diversity > 0.

    Raises:
        ValueError: diversity without features.
    """
    pinned = np.full(length, -1, np.int32)
    for position, candidate in (pins or {}).items():
        pinned[position] = candidate
    codes: dict[tuple[int, Hashable], int] = {}
    room: list[int] = []
    rows: list[list[int]] = [[] for _ in range(candidates)]
    for number, (most, values) in enumerate(caps):
        for row, own in zip(rows, values, strict=True):
            for value in dict.fromkeys(own):
                code = codes.setdefault((number, value), len(codes))
                if code == len(room):
                    room.append(most)
                row.append(code)
    if diversity > 0:
        if features is None:
            raise ValueError("diversity needs features")
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        directions = np.ascontiguousarray(features / np.where(lengths > 0, lengths, 1), np.float32)
    else:
        directions = np.zeros((candidates, 0), np.float32)
    return Rules(
        pinned=pinned,
        starts=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        categories=np.array([code for row in rows for code in row], np.int32),
        room=np.array(room, np.int32),
        directions=directions,
        diversity=diversity,
    )


def draw_ruled_slate(
    values: NDArray[Any], temperature: float | None, uniforms: NDArray[np.float64], rules: Rules
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Draws a slate, position by position, from the candidates that the rules leave.

    A position's logits are ((1 - d) v_i - d r max_j cos(f_i, f_j)) / tau over the candidates i that are open, with j
    over the items above it, r the range of all candidates' values, and d the diversity. A pin has probability 1 and
    room is kept for it from the first position on. Where a category is capped, its other items close once it is full.

    Args:
        values: [m] float, one for each candidate.
        temperature: tau > 0, or None to take the best at every position.
        uniforms: [k] float64 in [0, 1), one for each position; they alone decide the draw.
        rules: of m candidates and k positions.

    Returns:
        candidates drawn [l] int32 and log-propensities [l] float64 in nats, l <= k; less where no candidate is open.
        With caps on one attribute of one value an item, l = k whenever k items obey them.
    """
    return _draw(
        values, 0.0 if temperature is None else temperature, uniforms, rules.pinned, rules.starts, rules.categories,
        rules.room.copy(), rules.directions, rules.diversity,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _draw(
    values: NDArray[Any],
    temperature: float,
    uniforms: NDArray[np.float64],
    pinned: NDArray[np.int32],
    starts: NDArray[np.int64],
    categories: NDArray[np.int32],
    room: NDArray[np.int32],
    directions: NDArray[np.float32],
    diversity: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    count, dim = directions.shape
    items = np.empty(pinned.shape[0], np.int32)
    log_propensities = np.zeros(pinned.shape[0], np.float64)
    open_ = np.ones(count, np.bool_)
    for pin in pinned:
        if pin >= 0:
            open_[pin] = False
            _fill(pin, starts, categories, room)
    _close_full(open_, starts, categories, room)
    spread = values.max() - values.min() if count > 0 else 0.0
    nearest = np.zeros(count, np.float64)
    logits = np.empty(count, np.float64)
    mass = np.empty(count, np.float64)
    length = 0
    for position in range(pinned.shape[0]):
        chosen = pinned[position]
        log_propensity = 0.0
        if chosen < 0:
            for i in range(count):
                logits[i] = (1.0 - diversity) * values[i] - diversity * spread * nearest[i]
            if temperature > 0.0:
                chosen, log_propensity = _sample(logits, open_, temperature, uniforms[position], mass)
            else:
                chosen = _best(logits, open_)
            if chosen < 0:
                continue
            open_[chosen] = False
            if _fill(chosen, starts, categories, room):
                _close_full(open_, starts, categories, room)
        items[length] = chosen
        log_propensities[length] = log_propensity
        length += 1
        if dim > 0:
            for i in range(count):
                likeness = 0.0
                for d in range(dim):
                    likeness += directions[i, d] * directions[chosen, d]
                nearest[i] = max(nearest[i], likeness)
    return items[:length].copy(), log_propensities[:length].copy()


@njit(cache=True, nogil=True)
def _fill(chosen: int, starts: NDArray[np.int64], categories: NDArray[np.int32], room: NDArray[np.int32]) -> bool:
    """Takes the room of one item; returns whether a category became full."""
    full = False
    for at in range(starts[chosen], starts[chosen + 1]):
        room[categories[at]] -= 1
        full |= room[categories[at]] <= 0
    return full


@njit(cache=True, nogil=True)
def _close_full(
    open_: NDArray[np.bool_], starts: NDArray[np.int64], categories: NDArray[np.int32], room: NDArray[np.int32]
) -> None:
    for i in range(open_.shape[0]):
        for at in range(starts[i], starts[i + 1]):
            if room[categories[at]] <= 0:
                open_[i] = False


@njit(cache=True, nogil=True)
def _best(logits: NDArray[np.float64], open_: NDArray[np.bool_]) -> int:
    best = -1
    for i in range(logits.shape[0]):
        if open_[i] and (best < 0 or logits[i] > logits[best]):
            best = i
    return best


@njit(cache=True, nogil=True)
def _sample(
    logits: NDArray[np.float64],
    open_: NDArray[np.bool_],
    temperature: float,
    uniform: float,
    mass: NDArray[np.float64],
) -> tuple[int, float]:
    """Returns a draw from softmax(logits / tau) over what is open and its log-probability; -1 where nothing is."""
    best = _best(logits, open_)
    if best < 0:
        return -1, 0.0
    total = 0.0
    for i in range(logits.shape[0]):
        mass[i] = math.exp((logits[i] - logits[best]) / temperature) if open_[i] else 0.0
        total += mass[i]
    target, running, chosen = uniform * total, 0.0, best
    for i in range(logits.shape[0]):
        if mass[i] > 0.0:
            running += mass[i]
            chosen = i
            if running > target:
                break
    return chosen, math.log(mass[chosen] / total)
