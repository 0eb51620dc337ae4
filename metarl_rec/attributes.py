"""Attributes of users and items as vectors: categories one-hot, lists multi-hot, numbers by quantile bucket."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from metarl_rec.errors import DataError, UnknownAttributeError

__all__ = ["AttributeEncoder", "AttributeSpec"]

_WANTED = {"category": "a string", "multi": "a list of strings", "number": "a finite number", "text": "a string"}
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

    def check(self, value: Any) -> None:
        """Checks that a value is of this attribute's type.

        Raises:
            DataError: it is of another one.
        """
        match self.kind:
            case "category" | "text":
                fits = isinstance(value, str)
            case "multi":
                fits = isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
            case "number":
                fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not fits:
            raise DataError(f"attribute {self.name} must be {_WANTED[self.kind]}, not a {type(value).__name__}")

    def mark(self, at: Sequence[int], column: Sequence[Any], out: NDArray[np.float32]) -> None:
        """Sets to one what values stand for; a word outside the vocabulary says nothing, it is no error.

        Args:
            at: [M] rows of `out`.
            column: [M] values of the right type.
            out: [N, width], this attribute's entries.
        """
        if self.kind == "number":
            out[at, np.searchsorted(np.asarray(self.edges), np.asarray(column, np.float64), side="right")] = 1.0
            return
        places = {value: place for place, value in enumerate(self.values)}
        rows: list[int] = []
        columns: list[int] = []
        for row, value in zip(at, column, strict=True):
            for word in (value,) if isinstance(value, str) else value:
                place = places.get(word)
                if place is not None:
                    rows.append(row)
                    columns.append(place)
        out[rows, columns] = 1.0


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

    def check(self, attributes: Mapping[str, Any]) -> None:
        """Checks one user's or item's attributes.

        Raises:
            UnknownAttributeError: a name is not declared.
            DataError: a value has the wrong type.
        """
        for name, value in attributes.items():
            spec = self._by_name.get(name)
            if spec is None:
                raise UnknownAttributeError([each for each in attributes if each not in self._by_name], self.names)
            spec.check(value)

    @cached_property
    def _by_name(self) -> dict[str, AttributeSpec]:
        return {spec.name: spec for spec in self.specs}

    def encode(self, attributes: Mapping[str, Any]) -> NDArray[np.float32]:
        """Returns the vector [A] float32 of one user's or item's attributes; missing attributes stay zero.

        Raises:
            UnknownAttributeError: a name is not declared.
            DataError: a value has the wrong type.
        """
        vector: NDArray[np.float32] = self.encode_all([attributes])[0]
        return vector

    def encode_all(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Returns [N, A] float32, one `encode` a row.

        Raises:
            UnknownAttributeError: as `check` of the first row at fault.
            DataError: likewise.
        """
        for row in rows:
            self.check(row)
        out = np.zeros((len(rows), self.width), np.float32)
        offset = 0
        for spec in self.specs:
            at = [place for place, row in enumerate(rows) if spec.name in row] if spec.width else []
            spec.mark(at, [rows[place][spec.name] for place in at], out[:, offset : offset + spec.width])
            offset += spec.width
        return out
