"""Which items may stand in a slate, and what the request takes off or adds to their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.catalogue import LiveCatalogue
from service.errors import ApiError
from service.filters import FilterError
from service.schemas import Boost, Cap, RecommendationRequest
from service.store.codec import UserState

__all__ = ["FULL_CATALOGUE", "POOL", "allowed", "boosted", "pool_of", "selected"]

FULL_CATALOGUE = 4096
"""Up to this many allowed items a slate is drawn from all of them; beyond, from the best of them."""

POOL = 512
"""How many of the best allowed items a slate is drawn from where there are more than `FULL_CATALOGUE`."""


def allowed(
    catalogue: LiveCatalogue, state: UserState, request: RecommendationRequest, on_offer: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Returns the items [n] bool that may be drawn, and the candidates that are unknown.

    Raises:
        ApiError: 422 for a filter that cannot be read.
    """
    mask = on_offer.copy()
    ignored: list[str] = []
    if request.candidates is not None:
        offered = np.zeros_like(mask)
        for candidate in request.candidates:
            number = catalogue.number(candidate.item_id)
            if number is None:
                ignored.append(candidate.item_id)
            else:
                offered[number] = True
        mask &= offered
    if request.filter is not None:
        mask &= selected(catalogue, request.filter, "filter")
    if request.exclude_seen is not False:
        seen = state.seen if request.exclude_seen is True else state.seen_by(request.exclude_seen)
        mask[seen[seen < len(mask)]] = False
    for item_id in request.exclude_item_ids:
        number = catalogue.number(item_id)
        if number is not None:
            mask[number] = False
    return mask, ignored


def boosted(catalogue: LiveCatalogue, boosts: Sequence[Boost]) -> NDArray[np.float32] | None:
    """Returns what boosts add to every item's value [n] float32, or None without any.

    Raises:
        ApiError: 422 for a filter that cannot be read.
    """
    if not boosts:
        return None
    added = np.zeros(len(catalogue.popularity), np.float32)
    for index, boost in enumerate(boosts):
        added[selected(catalogue, boost.filter, f"boosts.{index}.filter")] += np.float32(boost.value)
    return added


def selected(catalogue: LiveCatalogue, text: str, field: str) -> NDArray[np.bool_]:
    """Returns which items satisfy a filter expression, [n] bool, not to be changed.

    Raises:
        ApiError: 422 that names the field whose expression cannot be read.
    """
    try:
        return catalogue.select(text)
    except FilterError as error:
        raise ApiError(422, "invalid_field", f"{field}: {error}") from None


def pool_of(
    catalogue: LiveCatalogue, values: NDArray[np.float32], mask: NDArray[np.bool_], caps: Sequence[Cap], length: int
) -> NDArray[np.int64]:
    """Returns the numbers of the items that a slate is drawn from, ascending: all allowed ones, or the best of many.

    The best alone may share their categories. Then the best list that obeys the caps joins them, so that a slate is
    full wherever that list is: with one value an item, caps are a partition matroid, and whatever is drawn first can be
    completed to as many items as the longest list has.

    Args:
        catalogue: items.
        values: [n] float32.
        mask: [n] bool, allowed items.
        caps: upper bounds per category.
        length: k.
    """
    numbers = np.flatnonzero(mask)
    if len(numbers) <= FULL_CATALOGUE:
        return numbers
    best = numbers[np.argpartition(-values[numbers], POOL)[:POOL]]
    if caps:
        best = np.union1d(best, _longest(catalogue, values, mask, caps, length))
    return np.sort(best)


def _longest(
    catalogue: LiveCatalogue, values: NDArray[np.float32], mask: NDArray[np.bool_], caps: Sequence[Cap], length: int
) -> list[int]:
    """Returns the best allowed items that obey the caps, taken one by one."""
    left = np.where(mask, values, -np.inf)
    held: Counter[tuple[str, str | float]] = Counter()
    chosen: list[int] = []
    while len(chosen) < length and left[number := int(left.argmax())] > -np.inf:
        chosen.append(number)
        left[number] = -np.inf
        for cap in caps:
            for value in catalogue.values(number, cap.attribute):
                held[cap.attribute, value] += 1
                if held[cap.attribute, value] >= cap.max:
                    left[catalogue.equal(cap.attribute, value)] = -np.inf
    return chosen
