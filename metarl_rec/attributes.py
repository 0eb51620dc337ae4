"""Attributes of users and items as vectors: categories one-hot, lists multi-hot, numbers by quantile bucket."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from metarl_rec.errors import DataError, UnknownAttributeError

__all__ = ["AttributeEncoder", "AttributeSpec"]

_BUCKETS = 7
_MAX_CATEGORIES = 64


class AttributeSpec(BaseModel):
    """One declared attribute.

    Attributes:
        name: the attribute's name.
        kind: category (a string), multi (a list of strings), number, or text (kept and returned, not encoded).
        values: vocabulary of a category or multi attribute, sorted.
        edges: inner bucket edges of a number, ascending.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    kind: Literal["category", "multi", "number", "text"]
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Number of vector entries that this attribute takes."""
        match self.kind:
            case "number":
                return len(self.edges) + 1
            case "text":
                return 0
            case _:
                return len(self.values)

    def active(self, value: Any) -> list[int]:
        """Returns the positions, within this attribute's entries, that `value` sets to one.

        A value outside the vocabulary sets none: an unheard-of genre says nothing, it is no error.

        Raises:
            DataError: the value is of another type than the attribute.
        """
        match self.kind:
            case "category" if isinstance(value, str):
                return [self.values.index(value)] if value in self.values else []
            case "multi" if isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value):
                return sorted({self.values.index(entry) for entry in value if entry in self.values})
            case "number" if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                return [int(np.searchsorted(np.asarray(self.edges), value, side="right"))]
            case "text" if isinstance(value, str):
                return []
        wanted = {"category": "a string", "multi": "a list of strings", "number": "a finite number", "text": "a string"}
        raise DataError(f"attribute {self.name} must be {wanted[self.kind]}, not a {type(value).__name__}")


class AttributeEncoder(BaseModel):
    """Declared attributes in a fixed order; part of a checkpoint, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    specs: tuple[AttributeSpec, ...] = ()

    @classmethod
    def fit(cls, rows: Sequence[Mapping[str, Any]]) -> AttributeEncoder:
        """Returns the encoder for the attributes that occur in `rows`, by the kind of their values.

        A string attribute with more than 64 distinct values is text. Numbers get seven buckets of about equal count.
        """
        specs = []
        for name in sorted({name for row in rows for name in row}):
            column = [row[name] for row in rows if name in row]
            if all(isinstance(value, (list, tuple)) for value in column):
                words = {entry for value in column for entry in value}
                specs.append(AttributeSpec(name=name, kind="multi", values=tuple(sorted(words))))
            elif all(isinstance(value, (int, float)) for value in column):
                inner = np.quantile(np.asarray(column, dtype=np.float64), np.linspace(0, 1, _BUCKETS + 1)[1:-1])
                specs.append(AttributeSpec(name=name, kind="number", edges=tuple(float(e) for e in np.unique(inner))))
            elif all(isinstance(value, str) for value in column):
                counts = Counter(column)
                if len(counts) > _MAX_CATEGORIES:
                    specs.append(AttributeSpec(name=name, kind="text"))
                else:
                    specs.append(AttributeSpec(name=name, kind="category", values=tuple(sorted(counts))))
            else:
                raise DataError(f"attribute {name} mixes kinds of values; give it strings, numbers or lists throughout")
        return cls(specs=tuple(specs))

    @property
    def width(self) -> int:
        """Length A of an encoded vector."""
        return sum(spec.width for spec in self.specs)

    @property
    def names(self) -> list[str]:
        """Declared names, in order."""
        return [spec.name for spec in self.specs]

    def encode(self, attributes: Mapping[str, Any]) -> NDArray[np.float32]:
        """Returns the vector [A] float32 of one user's or item's attributes; missing attributes stay zero.

        Raises:
            UnknownAttributeError: a name is not declared.
            DataError: a value has the wrong type.
        """
        unknown = [name for name in attributes if name not in self.names]
        if unknown:
            raise UnknownAttributeError(unknown, self.names)
        out = np.zeros(self.width, dtype=np.float32)
        offset = 0
        for spec in self.specs:
            if spec.name in attributes:
                for position in spec.active(attributes[spec.name]):
                    out[offset + position] = 1.0
            offset += spec.width
        return out

    def encode_all(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Returns [N, A] float32, one `encode` a row."""
        return np.stack([self.encode(row) for row in rows]) if rows else np.zeros((0, self.width), np.float32)
