"""One attribute of all items as arrays: numbers by item, words as (item, word) entries, each item's side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column"]

T = TypeVar("T", bound=np.generic)
_NUMBER: Final = 1
_WORDS: Final = 2
_DEAD: Final = -1
_SPELLED: Final = 65_536
_FEW: Final = 16


class Column:
    """Values of one attribute by item number; an item has a number, or words, or nothing.

    A word is kept as Python's 64-bit hash of it, under the process's own key: a million titles cost 12 bytes each, and
    two words of one column meet with a probability of 1e-7 even then. The spelling of the first 65,536 words is kept
    as well; `words` says where it is not. An item that changes leaves dead entries behind, which are swept out once
    they are the greater part. Arrays begin as zeros, so that what no item has reached takes no memory.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kinds = np.zeros(0, np.uint8)
        self._numbers = np.zeros(0, np.float64)
        self._begin = np.zeros(0, np.int32)
        self._items = np.zeros(0, np.int32)
        self._hashes = np.zeros(0, np.int64)
        self._used = 0
        self._dead = 0
        self._spelling: dict[int, str] = {}

    @property
    def size_bytes(self) -> int:
        """Memory reserved for the arrays; the spellings come on top."""
        return sum(a.nbytes for a in (self._kinds, self._numbers, self._begin, self._items, self._hashes))

    def clear(self, items: NDArray[np.int64]) -> None:
        """Takes away the values of items, each named once."""
        items = items[items < len(self._kinds)]
        kinds = self._kinds[items]
        self.count -= int(np.count_nonzero(kinds))
        owners = items[kinds == _WORDS]
        at = self._begin[owners].astype(np.int64)
        while len(at):
            self._items[at] = _DEAD
            self._dead += len(at)
            at += 1
            inside = at < self._used
            at, owners = at[inside], owners[inside]
            same = self._items[at] == owners
            at, owners = at[same], owners[same]
        self._kinds[items] = 0

    def put(self, items: Sequence[int], values: Sequence[Any], size: int) -> None:
        """Sets values of items that have none, each named once; what is no number, word or list of words is left out.

        Args:
            items: item numbers below `size`.
            values: their values.
            size: number n of items.
        """
        numbered: list[int] = []
        numbers: list[float] = []
        owners: list[int] = []
        hashes: list[int] = []
        for item, value in zip(items, values, strict=True):
            if isinstance(value, str):
                owners.append(item)
                hashes.append(self._hash(value))
            elif isinstance(value, (list, tuple)):
                words = [self._hash(word) for word in dict.fromkeys(value) if isinstance(word, str)]
                owners += [item] * len(words)
                hashes += words
            elif isinstance(value, (int, float)) and value == value:
                numbered.append(item)
                numbers.append(value)
        self._kinds = _reaching(self._kinds, size)
        if numbered:
            self._numbers = _reaching(self._numbers, size)
            self._numbers[numbered] = numbers
            self._kinds[numbered] = _NUMBER
            self.count += len(numbered)
        if owners:
            self._put_words(np.array(owners, np.int32), hashes, size)

    def _put_words(self, owners: NDArray[np.int32], hashes: list[int], size: int) -> None:
        self._begin = _reaching(self._begin, size)
        self._make_room(len(owners))
        end = self._used + len(owners)
        self._items[self._used : end] = owners
        self._hashes[self._used : end] = hashes
        first = np.flatnonzero(np.diff(owners, prepend=_DEAD))
        self._begin[owners[first]] = self._used + first
        self._kinds[owners[first]] = _WORDS
        self.count += len(first)
        self._used = end

    def having(self, size: int) -> NDArray[np.bool_]:
        """Returns which items have a value, [size] bool."""
        self._kinds = _reaching(self._kinds, size)
        return np.asarray(self._kinds[:size] != 0, np.bool_)

    def numbers(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns numbers [size] float64, and whose they are, [size] bool: zero says nothing about all the others."""
        self._kinds, self._numbers = _reaching(self._kinds, size), _reaching(self._numbers, size)
        return self._numbers[:size], self._kinds[:size] == _NUMBER

    def holders(self, words: Sequence[str]) -> NDArray[np.int32]:
        """Returns the items that have one of some words; an item that has several may come several times."""
        wanted = np.unique(np.array([hash(word) for word in words], np.int64))
        hashes = self._hashes[: self._used]
        if len(wanted) <= _FEW:
            hit = np.zeros(len(hashes), np.bool_)
            for each in wanted:
                hit |= hashes == each
        else:
            hit = wanted[np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)] == hashes
        found = self._items[: self._used][hit]
        return np.asarray(found[found != _DEAD], np.int32)

    def value(self, item: int) -> float | tuple[str, ...] | None:
        """Returns an item's number or words, () where it has none, and None where a word's spelling is not kept."""
        kind = self._kinds.item(item) if item < len(self._kinds) else 0
        if kind == _NUMBER:
            return self._numbers.item(item)
        words: list[str] = []
        at = self._begin.item(item) if kind == _WORDS else self._used
        while at < self._used and self._items.item(at) == item:
            word = self._spelling.get(self._hashes.item(at))
            if word is None:
                return None
            words.append(word)
            at += 1
        return tuple(words)

    def _hash(self, word: str) -> int:
        code = hash(word)
        if len(self._spelling) < _SPELLED:
            self._spelling.setdefault(code, word)
        return code

    def _make_room(self, needed: int) -> None:
        if 2 * self._dead > self._used:
            live = np.flatnonzero(self._items[: self._used] != _DEAD)
            owners = self._items[live]
            self._items[: len(live)], self._hashes[: len(live)] = owners, self._hashes[live]
            self._used, self._dead = len(live), 0
            first = np.flatnonzero(np.diff(owners, prepend=_DEAD))
            self._begin[owners[first]] = first
        self._items = _reaching(self._items, self._used + needed)
        self._hashes = _reaching(self._hashes, self._used + needed)


def _reaching(array: NDArray[T], size: int) -> NDArray[T]:
    """Returns the array, or a longer copy with zeros at its end, so that it has at least `size` entries."""
    if size <= len(array):
        return array
    longer = np.zeros(max(size, len(array) * 3 // 2, 1024), array.dtype)
    longer[: len(array)] = array
    return longer
