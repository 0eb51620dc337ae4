"""Attributes of users or items from a table of any format: a column has one type, and what does not fit is reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from metarl_rec.atomic import AtomicFile
from metarl_rec.cells import as_id, as_number
from metarl_rec.dataset import AttributeValue, id_fault
from metarl_rec.errors import DataError
from metarl_rec.import_rows import AttributeRow, Rejection, Role
from metarl_rec.records import Row, detected_format, read_records

__all__ = ["AttributeRows", "Table", "read_attribute_file"]

Kind = Literal["number", "list", "text"]
Table = dict[str, dict[str, AttributeValue]]
_SEPARATOR = "|"


class AttributeRows:
    """Attributes of users or items, row by row; `table` gives every column its type once all are in.

    Args:
        part: whose attributes.
        splits: whether text with a `|` is a list, and text that is a number a number.
    """

    def __init__(self, part: Role, *, splits: bool = False) -> None:
        self.rejected: list[Rejection] = []
        self._part = part
        self._splits = splits
        self._rows: dict[str, dict[str, object]] = {}

    def reject(self, file: Path, line: int, reason: str) -> None:
        """Notes something that was left out."""
        self.rejected.append(Rejection(file, line, reason, self._part))

    def take(self, row: AttributeRow, *, updates: bool) -> None:
        """Takes a row; of an id that is there already it replaces what it names, or, unless it updates, is left out."""
        fault = "id is neither text nor a whole number" if row.key is None else id_fault(row.key)
        if fault or row.key is None:
            self.reject(row.file, row.line, str(fault))
        elif row.key in self._rows and not updates:
            self.reject(row.file, row.line, "id occurs twice; the first row counts")
        else:
            cells, faults = _cleaned(row.cells)
            self._rows.setdefault(row.key, {}).update(cells)
            for reason in faults:
                self.reject(row.file, row.line, reason)

    def table(self) -> Table:
        """Returns attributes by id. A column is numbers where every value is one, lists where one is, text else."""
        kinds = _kinds(self._rows.values(), splits=self._splits)
        return {
            key: {name: _converted(value, kinds[name]) for name, value in row.items()}
            for key, row in self._rows.items()
        }


def read_attribute_file(path: Path | None, role: Role, id_column: str) -> tuple[Table, list[Rejection]]:
    """Returns attributes by id, and what was left out; nothing for no path.

    Atomic files declare their types. Elsewhere a column is numbers where every value is one, lists where a value is a
    list or (in CSV) holds a `|`, and text otherwise. Empty cells are absent; of rows with the same id the first counts.

    Args:
        path: the file.
        role: whose attributes.
        id_column: name of the id's column; where it is missing, user_id or item_id, or id.

    Raises:
        DataError: the file cannot be read, or has no id column.
    """
    if path is None:
        return {}, []
    kind = detected_format(path)
    rows = AttributeRows(role, splits=kind == "csv")
    if kind == "atomic":
        file = AtomicFile.open(path)
        typed = file.records(id_column if id_column in dict(file.fields) else f"{role}_id")
        found: Iterable[tuple[int, str | None, Mapping[str, object]]] = ((n, key, dict(row)) for n, key, row in typed)
    else:
        found = _identified(path, read_records(path, kind), (id_column, f"{role}_id", "id"), rows)
    for line, key, cells in found:
        rows.take(AttributeRow(path, line, role, key, cells), updates=False)
    return rows.table(), sorted(rows.rejected)


def _identified(
    path: Path, records: Iterable[tuple[int, Row]], names: tuple[str, ...], out: AttributeRows
) -> Iterable[tuple[int, str | None, Mapping[str, object]]]:
    """Returns line, id and the other cells of every row that could be read."""
    rows: list[tuple[int, dict[str, object]]] = []
    for line, row in records:
        if isinstance(row, str):
            out.reject(path, line, row)
        else:
            rows.append((line, row))
    columns = {name for _, row in rows for name in row}
    column = next((name for name in names if name in columns), None)
    if rows and column is None:
        raise DataError(f"{path} has no id column: call it {' or '.join(dict.fromkeys(names))}")
    return ((line, as_id(row.get(column or "")), {k: v for k, v in row.items() if k != column}) for line, row in rows)


def _cleaned(row: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Returns the cells that hold something a data set can hold, and what is wrong with the others."""
    out: dict[str, object] = {}
    faults: list[str] = []
    for name, value in row.items():
        fault = None
        if isinstance(value, str):
            cell: object = value if value.strip() else None
        elif isinstance(value, (list, tuple)):
            cell = [_word(entry) for entry in value if entry not in (None, "")] or None
            if isinstance(cell, list) and None in cell:
                fault = "is a list of something else than text, numbers or booleans"
        elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            cell = as_number(value)
            if cell is None and not (isinstance(value, float) and math.isnan(value)):
                fault = "is not a finite number"
        elif value is None:
            cell = None
        else:
            cell = _word(value)
            fault = None if cell is not None else f"is a {type(value).__name__}"
        texts = [name, *(cell if isinstance(cell, list) else [cell])]
        if any(isinstance(text, str) and not _is_unicode(text) for text in texts):
            fault = "is not valid UTF-8"
        if not name or name in ("user_id", "item_id"):
            continue
        if fault:
            faults.append(f"attribute {name.encode('ascii', 'replace').decode()} {fault}")
        elif cell is not None:
            out[name] = cell
    return out, faults


def _kinds(rows: Iterable[dict[str, object]], *, splits: bool) -> dict[str, Kind]:
    """Returns each column's type; `splits`: text with a separator is a list."""
    kinds: dict[str, Kind] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, list) or (splits and isinstance(value, str) and _SEPARATOR in value):
                kinds[name] = "list"
            elif isinstance(value, float) or (splits and as_number(value) is not None):
                kinds.setdefault(name, "number")
            elif kinds.get(name) != "list":
                kinds[name] = "text"
    return kinds


def _converted(value: object, kind: Kind) -> AttributeValue:
    match kind:
        case "number":
            return float(value)  # type: ignore[arg-type]  # `_kinds` saw that every value of the column is a number
        case "list" if isinstance(value, list):
            return [str(entry) for entry in value]
        case "list":
            words = [word.strip() for word in _text(value).split(_SEPARATOR)]
            return [word for word in words if word] or [_SEPARATOR]
        case "text":
            return _text(value)


def _text(value: object) -> str:
    """Returns a number without a fraction as an integer, as it stood in most files."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _word(value: object) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value
        case int() | float() | Decimal():
            number = as_number(value)
            return None if number is None else _text(number)
        case date():
            return value.isoformat()
    return None


def _is_unicode(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
