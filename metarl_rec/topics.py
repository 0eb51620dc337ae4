"""Topics of items: the rows that satiation, boredom and fatigue work with, from one list attribute of the items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from metarl_rec.errors import DataError

__all__ = ["TopicEncoder", "item_topics"]


class TopicEncoder(BaseModel):
    """Which attribute topics come from, and its words; part of a checkpoint, as JSON.

    Attributes:
        attribute: name of an item attribute whose values are lists of words.
        words: the T topics, sorted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    attribute: str
    words: tuple[str, ...]

    @classmethod
    def fit(cls, items: Sequence[Mapping[str, Any]], wanted: str | None = None) -> TopicEncoder | None:
        """Returns the encoder for `wanted`, or for the list attribute that most items have; None where there is none.

        Raises:
            DataError: `wanted` is not an attribute whose values are lists of words.
        """
        counts: dict[str, int] = {}
        for attributes in items:
            for name, value in attributes.items():
                if isinstance(value, (list, tuple)):
                    counts[name] = counts.get(name, 0) + 1
        if wanted is not None and wanted not in counts:
            raise DataError(
                f"topic_attribute {wanted} is not an item attribute with lists of words; "
                f"the data set has {', '.join(sorted(counts)) or 'none'}"
            )
        if not counts:
            return None
        name = wanted or max(sorted(counts), key=lambda each: counts[each])
        return cls(attribute=name, words=tuple(sorted({word for row in items for word in row.get(name, ())})))

    def rows(self, items: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Returns items' topic weights [N, T] float32: each row sums to 1, or to 0 where an item has no topic."""
        place = {word: position for position, word in enumerate(self.words)}
        out = np.zeros((len(items), len(self.words)), np.float32)
        for row, attributes in zip(out, items, strict=True):
            value = attributes.get(self.attribute, ())
            words: Iterable[Any] = value if isinstance(value, (list, tuple)) else ()
            row[[place[word] for word in words if word in place]] = 1
        shares: NDArray[np.float32] = out / np.maximum(out.sum(axis=1, keepdims=True), np.float32(1))
        return shares


def item_topics(items: Sequence[Mapping[str, Any]], wanted: str | None = None) -> NDArray[np.float32] | None:
    """Returns topic weights [n, T] float32 of all items, or None where no attribute is a list; see `TopicEncoder`."""
    encoder = TopicEncoder.fit(items, wanted)
    return None if encoder is None else encoder.rows(items)
