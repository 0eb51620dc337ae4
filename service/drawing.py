"""From a user's weights and a request to a slate: score, apply the request's rules, draw with exact propensities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metarl_rec.kernels import score_items
from metarl_rec.ruled_slates import draw_ruled_slate, make_rules
from metarl_rec.slates import greedy_slate, sample_slate
from service.candidates import FULL_CATALOGUE, allowed, boosted, pool_of
from service.engine import Engine, Standing
from service.fatigue import fatigue_of
from service.schemas import RecommendationRequest
from service.store.codec import UserState

__all__ = ["DrawnSlate", "draw"]


@dataclass(frozen=True, slots=True)
class DrawnSlate:
    """A slate, and what led to it.

    Attributes:
        items: [k] item numbers, top first.
        log_propensities: [k] nats, each given the positions before it.
        values: [n] float32, every item's value with its boost and fatigue.
        boost: [n] float32, what boosts added, or None.
        fatigue: [n] float32, what fatigue took off, or None.
        pinned: numbers of the pinned items.
        ignored: candidates and pins that are unknown or not on offer.
        usable: whether adaptation may form ratios: drawn from the candidates that `adapter.support_of` rebuilds, by
            values alone.
    """

    items: NDArray[np.int32]
    log_propensities: NDArray[np.float64]
    values: NDArray[np.float32]
    boost: NDArray[np.float32] | None
    fatigue: NDArray[np.float32] | None
    pinned: frozenset[int]
    ignored: list[str]
    usable: bool


def draw(engine: Engine, state: UserState, standing: Standing, request: RecommendationRequest) -> DrawnSlate:
    """Returns a slate for one user.

    Raises:
        ApiError: 422 for a filter that cannot be read.
    """
    catalogue, settings, now = engine.catalogue, engine.settings, engine.now()
    on_offer = catalogue.on_offer(now)
    mask, ignored = allowed(catalogue, state, request, on_offer)
    values = np.empty(len(mask), np.float32)
    score_items(catalogue.features, catalogue.popularity, standing.weights, values)
    boost = boosted(catalogue, request.boosts)
    if boost is not None:
        values += boost
    fatigue = fatigue_of(state, catalogue, engine.checkpoint.inner, now=now, session_gap_s=settings.session_gap_s)
    if fatigue is not None:
        values -= fatigue
    pins: dict[int, int] = {}
    for pin in request.pins:
        number = catalogue.number(pin.item_id)
        if number is None or not on_offer[number]:
            ignored.append(pin.item_id)
        else:
            pins[pin.rank - 1] = number
    explores, own = request.exploration.enabled, request.exploration.temperature
    temperature = (own or engine.checkpoint.inner.temperature) if explores else None
    ruled = bool(pins or request.caps or request.diversity)
    whole = int(np.count_nonzero(mask)) <= FULL_CATALOGUE
    if whole and not ruled:
        items, log_propensities = _plain(engine, values, mask, temperature, request.k)
    else:
        items, log_propensities = _ruled(engine, values, mask, temperature, request, pins)
    restricted = (
        request.candidates is not None
        or request.filter is not None
        or bool(request.exclude_item_ids)
        or request.exclude_seen is not True
    )
    by_values = boost is None and fatigue is None and not ruled
    return DrawnSlate(
        items=items,
        log_propensities=log_propensities,
        values=values,
        boost=boost,
        fatigue=fatigue,
        pinned=frozenset(pins.values()),
        ignored=ignored,
        usable=explores and whole and by_values and not restricted,
    )


def _plain(
    engine: Engine, values: NDArray[np.float32], mask: NDArray[np.bool_], temperature: float | None, length: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    if temperature is None:
        items = greedy_slate(values, mask, length)
        return items, np.zeros(len(items))
    return sample_slate(values, mask, temperature, engine.rng.random(length))


def _ruled(
    engine: Engine,
    values: NDArray[np.float32],
    mask: NDArray[np.bool_],
    temperature: float | None,
    request: RecommendationRequest,
    pins: dict[int, int],
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    catalogue = engine.catalogue
    pool = pool_of(catalogue, values, mask, request.caps, request.k)
    numbers = np.union1d(pool, np.array(list(pins.values()), np.int64)) if pins else pool
    # A pin is on offer, but it need not be allowed: it must not be drawn at any other rank, and is closed for that.
    place = {int(number): at for at, number in enumerate(numbers)}
    rules = make_rules(
        len(numbers),
        request.k,
        pins={position: place[number] for position, number in pins.items()},
        caps=[(cap.max, [catalogue.values(int(number), cap.attribute) for number in numbers]) for cap in request.caps],
        diversity=request.diversity,
        features=catalogue.features[numbers] if request.diversity else None,
    )
    drawn, log_propensities = draw_ruled_slate(values[numbers], temperature, engine.rng.random(request.k), rules)
    return numbers[drawn].astype(np.int32), log_propensities
