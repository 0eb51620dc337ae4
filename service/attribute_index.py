"""Attributes by column, kept up to date with every change, so that a test in a filter is one pass over an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.attribute_column import Column

__all__ = ["MAX_ATTRIBUTES", "AttributeIndex"]

MAX_ATTRIBUTES: Final = 256
"""Attributes that one catalogue may have: each is a column of up to n entries."""

Mask = NDArray[np.bool_]


class AttributeIndex:
    """Columns of n items' attributes.

    Args:
        attributes_of: the attributes of an item by its number; asked where the index itself has forgotten a spelling.
    """

    def __init__(self, attributes_of: Callable[[int], Mapping[str, Any]]) -> None:
        self._attributes_of = attributes_of
        self._columns: dict[str, Column] = {}
        self._size = 0

    def names(self) -> list[str]:
        """Returns the attributes that items have."""
        return list(self._columns)

    def has_room(self, names: Sequence[str]) -> bool:
        """Returns whether items may have all of these attributes."""
        new = sum(name not in self._columns for name in names)
        return not new or len(self._columns) + new <= MAX_ATTRIBUTES

    @property
    def size_bytes(self) -> int:
        """Memory reserved for the columns."""
        return sum(column.size_bytes for column in self._columns.values())

    def put(self, numbers: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes over the attributes of items, each named once; beyond `MAX_ATTRIBUTES` names are left out."""
        at = np.array(numbers, np.int64)
        self._size = max(self._size, int(at.max(initial=-1)) + 1)
        for column in self._columns.values():
            column.clear(at)
        found: dict[str, tuple[list[int], list[Any]]] = {}
        for number, row in zip(numbers, rows, strict=True):
            for name, value in row.items():
                entries = found.get(name)
                if entries is None:
                    entries = found[name] = ([], [])
                entries[0].append(number)
                entries[1].append(value)
        for name, (items, values) in found.items():
            if name in self._columns or len(self._columns) < MAX_ATTRIBUTES:
                self._columns.setdefault(name, Column()).put(items, values, self._size)
        for name in [name for name, column in self._columns.items() if not column.count]:
            del self._columns[name]

    def having(self, name: str) -> Mask:
        """Returns which items have an attribute, [n] bool."""
        return self._column(name).having(self._size)

    def one_of(self, name: str, values: Sequence[str | float]) -> Mask:
        """Returns whose attribute is one of some values, or has one as an entry, [n] bool."""
        column, found = self._column(name), np.zeros(self._size, np.bool_)
        words = [value for value in values if isinstance(value, str)]
        if words:
            found[column.holders(words)] = True
        wanted = [value for value in values if not isinstance(value, str)]
        if wanted:
            numbers, present = column.numbers(self._size)
            found |= np.isin(numbers, wanted) & present
        return found

    def ordered(self, name: str, comparison: str, bound: float) -> Mask:
        """Returns whose attribute is a number on one side of a bound: <, <=, > or >=; [n] bool."""
        numbers, present = self._column(name).numbers(self._size)
        if comparison in ("<", "<="):
            side = numbers < bound if comparison == "<" else numbers <= bound
        else:
            side = numbers > bound if comparison == ">" else numbers >= bound
        return np.asarray(side & present, np.bool_)

    def values(self, number: int, name: str) -> tuple[str | float, ...]:
        """Returns an item's values of an attribute: a list's entries, each once, or the one word or number."""
        column = self._columns.get(name)
        found = () if column is None else column.value(number)
        if found is None:
            value = self._attributes_of(number)[name]
            return tuple(dict.fromkeys(value)) if isinstance(value, (list, tuple)) else (value,)
        return found if isinstance(found, tuple) else (found,)

    def _column(self, name: str) -> Column:
        return self._columns.get(name) or Column()
