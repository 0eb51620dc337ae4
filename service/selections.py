"""Masks of filter expressions over one catalogue; asked again before anything has changed, a filter costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.attribute_index import AttributeIndex
from service.filters import parse_filter

__all__ = ["Selections"]

Mask = NDArray[np.bool_]
_MEMORY_BYTES: Final = 64 * 1024 * 1024
_MOST: Final = 1024


class Selections:
    """What filters are evaluated on, and the masks that they gave.

    Args:
        index: attributes by column.
        number_of: number of an item id, None for an unknown one.
        declared: attributes that may be named although no item has them now.
    """

    def __init__(self, index: AttributeIndex, number_of: Callable[[str], int | None], declared: Sequence[str]) -> None:
        self._index = index
        self._number_of = number_of
        self._declared = declared
        self._used: Mask = np.zeros(0, np.bool_)
        self._masks: dict[str, Mask] = {}

    def forget(self) -> None:
        """Drops all masks: items have changed."""
        self._masks.clear()

    def select(self, text: str, used: Mask) -> Mask:
        """Returns which items satisfy an expression, [n] bool, read-only.

        Args:
            text: the expression.
            used: [n] bool, numbers that items have.

        Raises:
            FilterError: it cannot be read, or names an attribute that neither an item nor the checkpoint has.
        """
        found = self._masks.pop(text, None)
        if found is None:
            self._used = used
            found = parse_filter(text).mask(self) & used
            found.flags.writeable = False
            if len(self._masks) >= min(_MOST, max(1, _MEMORY_BYTES // max(len(used), 1))):
                del self._masks[next(iter(self._masks))]
        # The oldest stands first: a mask that is asked for moves to the end.
        self._masks[text] = found
        return found

    def names(self) -> list[str]:
        """Returns the attributes that items have, or that the checkpoint declares."""
        return sorted({*self._index.names(), *self._declared})

    def having(self, name: str) -> Mask:
        """Returns which items have an attribute, [n] bool."""
        return self._used if name == "item_id" else self._index.having(name)

    def one_of(self, name: str, values: Sequence[str | float]) -> Mask:
        """Returns whose attribute is one of some values, or has one as an entry, [n] bool."""
        if name != "item_id":
            return self._index.one_of(name, values)
        found = np.zeros(len(self._used), np.bool_)
        for value in values:
            number = self._number_of(value) if isinstance(value, str) else None
            if number is not None:
                found[number] = True
        return found

    def ordered(self, name: str, comparison: str, bound: float) -> Mask:
        """Returns whose attribute is a number on one side of a bound, [n] bool."""
        return (
            np.zeros(len(self._used), np.bool_) if name == "item_id" else self._index.ordered(name, comparison, bound)
        )
