"""The live catalogue: items by their stable number; features, popularity and what is on offer, in growing arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from metarl_rec.checkpoint import Checkpoint
from metarl_rec.errors import DataError
from service.attribute_index import AttributeIndex
from service.filters import parse_filter

__all__ = ["ItemRecord", "LiveCatalogue", "item_record"]

_SELECTIONS = 64


class ItemRecord(TypedDict, total=False):
    """An item as Redis holds it, in JSON; times in seconds since 1970."""

    item_id: str
    attributes: Mapping[str, Any]
    available: bool
    published_at: float | None
    expires_at: float | None
    deleted: bool


def item_record(record: ItemRecord) -> bytes:
    """Returns a record's bytes."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode()


class LiveCatalogue:
    """One replica's view of the items; `apply` brings it up to date.

    A row's index is the item's number, which Redis assigns to an id once and for ever; so transitions keep their
    meaning under every checkpoint, and those of a deleted item are skipped.

    Args:
        checkpoint: features and popularity of the items it was trained on, and the encoder for all others.
        numbers: number of each of the checkpoint's items, in its order.
    """

    def __init__(self, checkpoint: Checkpoint, numbers: Sequence[int]) -> None:
        self._checkpoint = checkpoint
        self.changes = 0
        self._size = 0
        capacity = max(numbers, default=0) + 1024
        self._features = np.zeros((capacity, checkpoint.dim), np.float32)
        self._popularity = np.zeros(capacity, np.float32)
        words = len(checkpoint.topics.words) if checkpoint.topics else 0
        self._topics = np.zeros((capacity, words), np.float32)
        self._available = np.zeros(capacity, np.bool_)
        self._published = np.full(capacity, -np.inf)
        self._expires = np.full(capacity, np.inf)
        self._trained = np.zeros(capacity, np.bool_)
        self._used = np.zeros(capacity, np.bool_)
        self._ids: list[str | None] = [None] * capacity
        self._attributes: list[Mapping[str, Any]] = [{}] * capacity
        self._numbers: dict[str, int] = {}
        self._index = AttributeIndex(lambda number: self._attributes[number])
        self._selections: dict[str, NDArray[np.bool_]] = {}
        self._offer: tuple[float, float, NDArray[np.bool_]] | None = None
        for row, number in enumerate(numbers):
            item = checkpoint.items[row]
            self._put(number, {"item_id": item.item_id, "attributes": item.attributes, "available": True})
            self._features[number], self._popularity[number] = checkpoint.features[row], checkpoint.popularity[row]
            self._trained[number] = True

    @property
    def features(self) -> NDArray[np.float32]:
        """[n, D] float32, by number; zero where no item has the number."""
        return self._features[: self._size]

    @property
    def popularity(self) -> NDArray[np.float32]:
        """[n] float32."""
        return self._popularity[: self._size]

    @property
    def topics(self) -> NDArray[np.float32] | None:
        """[n, T] float32, topic weights; None where the checkpoint minds no topics."""
        return self._topics[: self._size] if self._checkpoint.topics else None

    @property
    def available(self) -> NDArray[np.bool_]:
        """[n] bool, items that are not withdrawn, whether or not their time has come."""
        return self._available[: self._size]

    def on_offer(self, now: float) -> NDArray[np.bool_]:
        """Returns the items [n] bool that may be shown: available, published and not expired. Not to be changed.

        Args:
            now: seconds since 1970.
        """
        if self._offer is None or not self._offer[0] <= now < self._offer[1]:
            published, expires = self._published[: self._size], self._expires[: self._size]
            mask = self.available & (published <= now) & (now < expires)
            later = np.concatenate([published[published > now], expires[expires > now]])
            self._offer = (now, float(later.min(initial=np.inf)), mask)
        return self._offer[2]

    def number(self, item_id: str) -> int | None:
        """Returns an item's number, or None for an unknown id."""
        return self._numbers.get(item_id)

    def item_id(self, number: int) -> str:
        """Returns the id of a known number."""
        item_id = self._ids[number]
        if item_id is None:
            raise KeyError(number)
        return item_id

    def knows(self, number: int) -> bool:
        """Returns whether an item has this number."""
        return number < self._size and self._ids[number] is not None

    def known(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns for each of some numbers [m] whether an item has it, bool [m]."""
        inside: NDArray[np.bool_] = numbers < self._size
        inside &= self._used[np.where(inside, numbers, 0)]
        return inside

    def following(self, after: int) -> NDArray[np.int64]:
        """Returns the numbers greater than `after` that items have, ascending."""
        found: NDArray[np.int64] = np.flatnonzero(self._used[after + 1 : self._size])
        return found + (after + 1)

    def attributes(self, number: int) -> Mapping[str, Any]:
        """Returns the attributes of a known number."""
        return self._attributes[number]

    def record(self, number: int) -> ItemRecord:
        """Returns a known item as it is stored."""
        published, expires = float(self._published[number]), float(self._expires[number])
        return {
            "item_id": self.item_id(number),
            "attributes": self._attributes[number],
            "available": bool(self._available[number]),
            "published_at": published if np.isfinite(published) else None,
            "expires_at": expires if np.isfinite(expires) else None,
        }

    def select(self, text: str) -> NDArray[np.bool_]:
        """Returns which items satisfy a filter expression, [n] bool. Not to be changed.

        Raises:
            FilterError: it cannot be read, or names an attribute that no item has.
        """
        found = self._selections.get(text)
        if found is None:
            found = parse_filter(text).mask(self) & self._used[: self._size]
            if len(self._selections) >= _SELECTIONS:
                del self._selections[next(iter(self._selections))]
            self._selections[text] = found
        return found

    def names(self) -> list[str]:
        """Returns the attributes that items have."""
        return self._index.names()

    def having(self, name: str) -> NDArray[np.bool_]:
        """Returns which items have an attribute, [n] bool."""
        return self._used[: self._size].copy() if name == "item_id" else self._index.having(name)

    def equal(self, name: str, value: str | float) -> NDArray[np.bool_]:
        """Returns whose attribute is a value, or has it as an entry, [n] bool."""
        if name != "item_id":
            return self._index.equal(name, value)
        found = np.zeros(self._size, np.bool_)
        number = self._numbers.get(value) if isinstance(value, str) else None
        if number is not None:
            found[number] = True
        return found

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Returns an attribute's numbers [n], NaN where there is none."""
        return np.full(self._size, np.nan) if name == "item_id" else self._index.numbers(name)

    def values(self, number: int, attribute: str) -> tuple[str | float, ...]:
        """Returns an item's values of an attribute: a list's entries, or the one word or number."""
        value = self._attributes[number].get(attribute)
        if value is None:
            return ()
        return tuple(value) if isinstance(value, (list, tuple)) else (value,)

    def apply(self, changes: int, records: Sequence[tuple[int, bytes]]) -> None:
        """Takes over changed items and the change counter that they lead to."""
        to_encode: list[int] = []
        for number, data in records:
            record: ItemRecord = json.loads(data)
            if record.get("deleted"):
                self._remove(number)
                continue
            self._put(number, record)
            if not self._trained[number]:
                to_encode.append(number)
        if to_encode:
            self._encode(to_encode)
        if records:
            self._selections.clear()
            self._offer = None
        self.changes = max(self.changes, changes)

    def _encode(self, numbers: list[int]) -> None:
        """Computes items' features from attributes; ones that this checkpoint does not declare say nothing."""
        checkpoint = self._checkpoint
        names = set(checkpoint.item_attributes.names)
        rows = np.zeros((len(numbers), checkpoint.item_attributes.width), np.float32)
        for row, number in zip(rows, numbers, strict=True):
            known = {name: value for name, value in self._attributes[number].items() if name in names}
            try:
                row[:] = checkpoint.item_attributes.encode(known)
            except DataError:
                # Stored under a checkpoint with another type for the attribute: an average item, not an outage.
                row[:] = 0
        encoded = checkpoint.item_encoder(rows)
        self._features[numbers] = encoded[:, :-1]
        self._popularity[numbers] = np.clip(encoded[:, -1], 0.0, 1.0)

    def _put(self, number: int, record: ItemRecord) -> None:
        if number >= len(self._ids):
            self._grow(number + 1)
        self._size = max(self._size, number + 1)
        attributes = record["attributes"]
        self._index.put(number, self._attributes[number], attributes)
        self._ids[number] = record["item_id"]
        self._used[number] = True
        self._attributes[number] = attributes
        self._available[number] = record["available"]
        published, expires = record.get("published_at"), record.get("expires_at")
        self._published[number] = -np.inf if published is None else published
        self._expires[number] = np.inf if expires is None else expires
        if self._checkpoint.topics:
            self._topics[number] = self._checkpoint.topics.row(attributes)
        self._numbers[record["item_id"]] = number

    def _remove(self, number: int) -> None:
        if not self.knows(number):
            return
        self._index.put(number, self._attributes[number], {})
        del self._numbers[self.item_id(number)]
        self._ids[number], self._attributes[number] = None, {}
        self._used[number] = self._available[number] = False

    def _grow(self, needed: int) -> None:
        extra = max(needed, 2 * len(self._ids)) - len(self._ids)
        self._features = np.concatenate([self._features, np.zeros((extra, self._features.shape[1]), np.float32)])
        self._popularity = np.concatenate([self._popularity, np.zeros(extra, np.float32)])
        self._topics = np.concatenate([self._topics, np.zeros((extra, self._topics.shape[1]), np.float32)])
        self._published = np.concatenate([self._published, np.full(extra, -np.inf)])
        self._expires = np.concatenate([self._expires, np.full(extra, np.inf)])
        for name in ("_available", "_trained", "_used"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(extra, np.bool_)]))
        self._ids += [None] * extra
        self._attributes += [{}] * extra
