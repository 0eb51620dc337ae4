"""The live catalogue: items by their stable number, with features, popularity and availability, in arrays that grow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.checkpoint import Checkpoint
from metarl_rec.errors import DataError

__all__ = ["LiveCatalogue", "item_record"]


def item_record(item_id: str, attributes: Mapping[str, Any], available: bool) -> bytes:
    """Returns an item's record as Redis holds it."""
    content = {"item_id": item_id, "attributes": dict(attributes), "available": available}
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


class LiveCatalogue:
    """One replica's view of the items; `apply` brings it up to date.

    A row's index is the item's number, which Redis assigns once and never reuses; so transitions keep their meaning
    under every checkpoint.

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
        self._trained = np.zeros(capacity, np.bool_)
        self._used = np.zeros(capacity, np.bool_)
        self._ids: list[str | None] = [None] * capacity
        self._attributes: list[Mapping[str, Any]] = [{}] * capacity
        self._numbers: dict[str, int] = {}
        for row, number in enumerate(numbers):
            item = checkpoint.items[row]
            self._put(number, item.item_id, item.attributes, True)
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
        """[n] bool, items on offer."""
        return self._available[: self._size]

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

    def attributes(self, number: int) -> Mapping[str, Any]:
        """Returns the attributes of a known number."""
        return self._attributes[number]

    def is_available(self, number: int) -> bool:
        """Returns whether a known item is on offer."""
        return bool(self._available[number])

    def apply(self, changes: int, records: Sequence[tuple[int, bytes]]) -> None:
        """Takes over changed items and the change counter that they lead to."""
        for number, data in records:
            record = json.loads(data)
            self._put(number, record["item_id"], record["attributes"], record["available"])
            if not self._trained[number]:
                self._encode(number, record["attributes"])
        self.changes = max(self.changes, changes)

    def _encode(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Computes an item's features from attributes; ones that this checkpoint does not declare say nothing."""
        known = {name: value for name, value in attributes.items() if name in self._checkpoint.item_attributes.names}
        try:
            self._features[number], self._popularity[number] = self._checkpoint.encode_item(known)
        except DataError:
            # Stored under a checkpoint with another type for the attribute: an average item, not an outage.
            self._features[number], self._popularity[number] = self._checkpoint.encode_item({})

    def _put(self, number: int, item_id: str, attributes: Mapping[str, Any], available: bool) -> None:
        if number >= len(self._ids):
            self._grow(number + 1)
        self._size = max(self._size, number + 1)
        self._ids[number] = item_id
        self._used[number] = True
        self._attributes[number] = attributes
        self._available[number] = available
        if self._checkpoint.topics:
            self._topics[number] = self._checkpoint.topics.row(attributes)
        self._numbers[item_id] = number

    def _grow(self, needed: int) -> None:
        extra = max(needed, 2 * len(self._ids)) - len(self._ids)
        self._features = np.concatenate([self._features, np.zeros((extra, self._features.shape[1]), np.float32)])
        self._popularity = np.concatenate([self._popularity, np.zeros(extra, np.float32)])
        self._topics = np.concatenate([self._topics, np.zeros((extra, self._topics.shape[1]), np.float32)])
        self._available = np.concatenate([self._available, np.zeros(extra, np.bool_)])
        self._trained = np.concatenate([self._trained, np.zeros(extra, np.bool_)])
        self._used = np.concatenate([self._used, np.zeros(extra, np.bool_)])
        self._ids += [None] * extra
        self._attributes += [{}] * extra
