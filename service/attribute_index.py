"""Attributes by column, so that a filter is a few passes over arrays; a column is built when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AttributeIndex"]

AttributesOf = Callable[[int], Mapping[str, Any]]


class AttributeIndex:
    """Columns of n items' attributes, kept up to date item by item.

    Args:
        attributes_of: the attributes of an item by its number, {} where it has none; columns are built from it.
    """

    def __init__(self, attributes_of: AttributesOf) -> None:
        self._attributes_of = attributes_of
        self._columns: dict[str, _Column] = {}
        self._holders: dict[str, int] = {}
        self._size = 0

    def names(self) -> list[str]:
        """Returns the attributes that items have."""
        return [name for name, count in self._holders.items() if count]

    def put(self, number: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Takes over an item's changed attributes."""
        self._size = max(self._size, number + 1)
        for name in before:
            self._holders[name] -= 1
        for name in after:
            self._holders[name] = self._holders.get(name, 0) + 1
        for name, column in self._columns.items():
            if name in before or name in after:
                column.put(number, after.get(name))

    def having(self, name: str) -> NDArray[np.bool_]:
        """Returns which items have an attribute, [n] bool."""
        return self._column(name).having(self._size)

    def equal(self, name: str, value: str | float) -> NDArray[np.bool_]:
        """Returns whose attribute is a value, or has it as an entry, [n] bool."""
        column = self._column(name)
        if isinstance(value, str):
            found = np.zeros(self._size, np.bool_)
            found[column.holders(value)] = True
            return found
        return np.asarray(column.numbers(self._size) == value, np.bool_)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Returns an attribute's numbers [n], NaN where there is none."""
        return self._column(name).numbers(self._size)

    def _column(self, name: str) -> _Column:
        column = self._columns.get(name)
        if column is None:
            column = _Column()
            for number in range(self._size):
                value = self._attributes_of(number).get(name)
                if value is not None:
                    column.put(number, value)
            self._columns[name] = column
        return column


class _Column:
    """One attribute: numbers by item, and words as (item, word) entries, each item's side by side.

    An item that changes leaves dead entries behind (word -1); they are swept out when they are the greater part.
    """

    def __init__(self) -> None:
        self._numbers = np.full(1024, np.nan)
        self._begin = np.zeros(1024, np.int64)
        self._length = np.zeros(1024, np.int32)
        self._items = np.zeros(1024, np.int32)
        self._words = np.zeros(1024, np.int32)
        self._used = 0
        self._dead = 0
        self._codes: dict[str, int] = {}

    def put(self, number: int, value: Any) -> None:
        """Sets an item's value; None takes it away."""
        if number >= len(self._numbers):
            self._grow_items(number + 1)
        begin, length = int(self._begin[number]), int(self._length[number])
        self._words[begin : begin + length] = -1
        self._dead += length
        self._numbers[number], self._length[number] = np.nan, 0
        if value is None:
            return
        if isinstance(value, (int, float)):
            self._numbers[number] = value
            return
        words = list(dict.fromkeys([value] if isinstance(value, str) else value))
        if self._used + len(words) > len(self._words):
            self._make_room(len(words))
        self._begin[number], self._length[number] = self._used, len(words)
        end = self._used + len(words)
        self._items[self._used : end] = number
        self._words[self._used : end] = [self._codes.setdefault(word, len(self._codes)) for word in words]
        self._used = end

    def numbers(self, size: int) -> NDArray[np.float64]:
        """Returns [size] float64, NaN where an item has no number."""
        if size > len(self._numbers):
            self._grow_items(size)
        return self._numbers[:size]

    def having(self, size: int) -> NDArray[np.bool_]:
        """Returns [size] bool."""
        return np.asarray(~np.isnan(self.numbers(size)) | (self._length[:size] > 0), np.bool_)

    def holders(self, word: str) -> NDArray[np.int32]:
        """Returns the numbers of the items that have a word."""
        code = self._codes.get(word)
        if code is None:
            return np.zeros(0, np.int32)
        found: NDArray[np.int32] = self._items[: self._used][self._words[: self._used] == code]
        return found

    def _make_room(self, needed: int) -> None:
        if 2 * self._dead > self._used:
            live = np.flatnonzero(self._words[: self._used] >= 0)
            self._items[: len(live)], self._words[: len(live)] = self._items[live], self._words[live]
            self._used, self._dead = len(live), 0
            owners, first = np.unique(self._items[: self._used], return_index=True)
            self._begin[owners] = first
        capacity = max(2 * len(self._words), self._used + needed)
        if self._used + needed > len(self._words):
            self._items = np.concatenate([self._items, np.zeros(capacity - len(self._items), np.int32)])
            self._words = np.concatenate([self._words, np.zeros(capacity - len(self._words), np.int32)])

    def _grow_items(self, needed: int) -> None:
        extra = max(needed, 2 * len(self._numbers)) - len(self._numbers)
        self._numbers = np.concatenate([self._numbers, np.full(extra, np.nan)])
        self._begin = np.concatenate([self._begin, np.zeros(extra, np.int64)])
        self._length = np.concatenate([self._length, np.zeros(extra, np.int32)])
