"""The live catalogue: items by their stable number; features, popularity and what is on offer, in growing arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from metarl_rec.checkpoint import Checkpoint
from metarl_rec.errors import DataError
from service.attribute_index import AttributeIndex
from service.item_rows import ItemRows
from service.selections import Selections

__all__ = ["ItemRecord", "LiveCatalogue", "RenumberedError", "item_record"]


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
    return to_json(record)


class RenumberedError(Exception):
    """A record belongs to a number that another item has here, or the other way round: Redis has begun anew."""


class LiveCatalogue:
    """One replica's view of the items; `apply` brings it up to date.

    A row's index is the item's number, which Redis assigns to an id once and for ever; so transitions keep their
    meaning under every checkpoint, and those of a deleted item are skipped. Records stay the bytes that Redis gave, and
    are parsed again where one is shown: a million parsed ones would take three times the memory, and the garbage
    collector's time.

    Args:
        checkpoint: features and popularity of the items it was trained on, and the encoder for all others.
        numbers: number of each of the checkpoint's items, in its order; empty leaves them out.
    """

    def __init__(self, checkpoint: Checkpoint, numbers: Sequence[int]) -> None:
        self._checkpoint = checkpoint
        self._declared = frozenset(checkpoint.item_attributes.names)
        self.changes = 0
        self._rows = ItemRows(checkpoint.dim, len(checkpoint.topics.words) if checkpoint.topics else 0)
        self._ids: list[str | None] = []
        self._records: list[bytes | Mapping[str, Any]] = []
        self._numbers: dict[str, int] = {}
        self._index = AttributeIndex(self.attributes)
        self._selections = Selections(self._index, self.number, checkpoint.item_attributes.names)
        if len(numbers):
            records: list[ItemRecord] = [
                {"item_id": item.item_id, "attributes": item.attributes, "available": True} for item in checkpoint.items
            ]
            self._put(list(numbers), records, [item.attributes for item in checkpoint.items])
            at = np.array(numbers, np.int64)
            if np.array_equal(at, np.arange(len(checkpoint.items))):
                self._rows.share(checkpoint.features, checkpoint.popularity)
            else:
                self._rows.encode(at, checkpoint.features, checkpoint.popularity)
            self._rows["trained"][at] = True

    @property
    def features(self) -> NDArray[np.float32]:
        """[n, D] float32, by number; without meaning where no item has the number."""
        return self._rows["features"]

    @property
    def lengths(self) -> NDArray[np.float32]:
        """[n] float32, Euclidean length of each item's features."""
        return self._rows["lengths"]

    @property
    def popularity(self) -> NDArray[np.float32]:
        """[n] float32."""
        return self._rows["popularity"]

    @property
    def topics(self) -> NDArray[np.float32] | None:
        """[n, T] float32, topic weights; None where the checkpoint minds no topics."""
        return self._rows["topics"] if self._checkpoint.topics else None

    @property
    def available(self) -> NDArray[np.bool_]:
        """[n] bool, items that are not withdrawn, whether or not their time has come."""
        return self._rows["available"]

    @property
    def size_bytes(self) -> dict[str, int]:
        """Memory of the arrays, by part; ids and records come on top."""
        return {"rows": self._rows.size_bytes, "attribute_index": self._index.size_bytes}

    def on_offer(self, now: float) -> NDArray[np.bool_]:
        """Returns the items [n] bool that may be shown at a time in seconds since 1970; see `ItemRows.on_offer`."""
        return self._rows.on_offer(now)

    def number(self, item_id: str) -> int | None:
        """Returns an item's number, or None for an unknown id."""
        return self._numbers.get(item_id)

    def item_id(self, number: int) -> str:
        """Returns the id of a known number."""
        item_id = self._ids[number]
        if item_id is None:
            raise KeyError(number)
        return item_id

    def _id_of(self, number: int) -> str | None:
        return self._ids[number] if number < self._rows.size else None

    def knows(self, number: int) -> bool:
        """Returns whether an item has this number."""
        return number < self._rows.size and self._ids[number] is not None

    def known(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns for each of some numbers [m] whether an item has it, bool [m]."""
        inside: NDArray[np.bool_] = numbers < self._rows.size
        inside &= self._rows["used"][np.where(inside, numbers, 0)] if self._rows.size else False
        return inside

    def following(self, after: int, selected: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Returns the numbers greater than `after` that items have, ascending; of `selected` [n] ones where given."""
        used = self._rows["used"][after + 1 :]
        found: NDArray[np.int64] = np.flatnonzero(used if selected is None else used & selected[after + 1 :])
        return found + (after + 1)

    def attributes(self, number: int) -> Mapping[str, Any]:
        """Returns the attributes of a known number."""
        record = self._records[number]
        found: Mapping[str, Any] = from_json(record)["attributes"] if isinstance(record, bytes) else record
        return found

    def stored(self, number: int) -> bytes:
        """Returns a known item's record as Redis holds it; b"" for one that only the checkpoint knows."""
        record = self._records[number]
        return record if isinstance(record, bytes) else b""

    def record(self, number: int) -> ItemRecord:
        """Returns a known item as it is stored."""
        published, expires = (float(self._rows[name][number]) for name in ("published", "expires"))
        return {
            "item_id": self.item_id(number),
            "attributes": self.attributes(number),
            "available": bool(self.available[number]),
            "published_at": published if np.isfinite(published) else None,
            "expires_at": expires if np.isfinite(expires) else None,
        }

    def has_room(self, names: Sequence[str]) -> bool:
        """Returns whether items may have all of these attributes; a catalogue has a bounded number of them."""
        return self._index.has_room(names)

    def select(self, text: str) -> NDArray[np.bool_]:
        """Returns which items satisfy a filter expression, [n] bool, read-only; the same again costs nothing.

        Raises:
            FilterError: it cannot be read, or names an attribute that neither an item nor the checkpoint has.
        """
        return self._selections.select(text, self._rows["used"])

    def equal(self, name: str, value: str | float) -> NDArray[np.bool_]:
        """Returns whose attribute is a value, or has it as an entry, [n] bool."""
        return self._index.one_of(name, [value])

    def values(self, number: int, attribute: str) -> tuple[str | float, ...]:
        """Returns an item's values of an attribute: a list's entries, each once, or the one word or number."""
        return self._index.values(number, attribute)

    def apply(self, changes: int, records: Sequence[tuple[int, bytes]]) -> None:
        """Takes over changed items and the change counter that they lead to.

        Raises:
            RenumberedError: items have other numbers than here; nothing was taken over.
        """
        numbers: list[int] = []
        rows: list[ItemRecord] = []
        stored: list[bytes] = []
        removed: list[int] = []
        for number, data in dict(records).items():
            row: ItemRecord = from_json(data)
            if row.get("deleted"):
                removed.append(number)
            else:
                numbers.append(number)
                rows.append(row)
                stored.append(data)
            if self._numbers.get(row["item_id"], number) != number or self._id_of(number) not in (None, row["item_id"]):
                raise RenumberedError(number)
        if numbers:
            self._put(numbers, rows, stored)
            trained = self._rows["trained"]
            self._encode([(n, row["attributes"]) for n, row in zip(numbers, rows, strict=True) if not trained[n]])
        if removed:
            self._remove([number for number in removed if self.knows(number)])
        if records:
            self._selections.forget()
        self.changes = max(self.changes, changes)

    def _encode(self, items: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Computes items' features from attributes; ones that this checkpoint does not declare say nothing."""
        if not items:
            return
        names = self._declared
        rows = [
            row if row.keys() <= names else {name: value for name, value in row.items() if name in names}
            for _, row in items
        ]
        try:
            features, popularity = self._checkpoint.encode_items(rows)
        except DataError:
            # Stored under a checkpoint with another type for the attribute: an average item, not an outage.
            features, popularity = self._checkpoint.encode_items([self._readable(row) for row in rows])
        self._rows.encode(np.array([number for number, _ in items], np.int64), features, popularity)

    def _readable(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            self._checkpoint.item_attributes.check(row)
        except DataError:
            return {}
        return row

    def _put(
        self, numbers: list[int], records: Sequence[ItemRecord], stored: Sequence[bytes | Mapping[str, Any]]
    ) -> None:
        self._rows.extend(max(numbers) + 1)
        self._ids += [None] * (self._rows.size - len(self._ids))
        self._records += [b""] * (self._rows.size - len(self._records))
        for number, record, data in zip(numbers, records, stored, strict=True):
            self._ids[number] = item_id = record["item_id"]
            self._numbers[item_id] = number
            self._records[number] = data
        at, attributes = np.array(numbers, np.int64), [record["attributes"] for record in records]
        self._rows.put(at, records)
        self._index.put(numbers, attributes)
        if self._checkpoint.topics:
            self._rows["topics"][at] = self._checkpoint.topics.rows(attributes)

    def _remove(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._numbers[self.item_id(number)]
            self._ids[number], self._records[number] = None, b""
        self._rows.remove(np.array(numbers, np.int64))
        self._index.put(numbers, [{}] * len(numbers))
