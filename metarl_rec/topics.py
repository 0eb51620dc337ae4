"""Topics of items: the rows that satiation, boredom and fatigue work with, from one list attribute of the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import DataError

__all__ = ["item_topics", "topic_attribute"]


def topic_attribute(item_attributes: Sequence[Mapping[str, Any]], wanted: str | None = None) -> str | None:
    """Returns the name of the list attribute to take topics from: `wanted`, or the one that most items have.

    Raises:
        DataError: `wanted` is not an attribute whose values are lists of words.
    """
    counts: dict[str, int] = {}
    for attributes in item_attributes:
        for name, value in attributes.items():
            if isinstance(value, (list, tuple)):
                counts[name] = counts.get(name, 0) + 1
    if wanted is None:
        return max(sorted(counts), key=lambda name: counts[name], default=None)
    if wanted not in counts:
        raise DataError(
            f"topic_attribute {wanted} is not an item attribute with lists of words; "
            f"the data set has {', '.join(sorted(counts)) or 'none'}"
        )
    return wanted


def item_topics(item_attributes: Sequence[Mapping[str, Any]], wanted: str | None = None) -> NDArray[np.float32] | None:
    """Returns topic weights [n, T] float32, one column a word; rows sum to 1, or to 0 where an item has no topic.

    Args:
        item_attributes: of all n items.
        wanted: which attribute; chosen by `topic_attribute` when absent. None comes back where there is none.
    """
    name = topic_attribute(item_attributes, wanted)
    if name is None:
        return None
    words = sorted({word for attributes in item_attributes for word in attributes.get(name, ())})
    column = {word: at for at, word in enumerate(words)}
    out = np.zeros((len(item_attributes), len(words)), np.float32)
    for item, attributes in enumerate(item_attributes):
        out[item, [column[word] for word in attributes.get(name, ())]] = 1
    totals = out.sum(axis=1, keepdims=True)
    return np.divide(out, totals, out=np.zeros_like(out), where=totals > 0)
