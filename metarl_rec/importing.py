"""Imports interactions from files as people have them: what can be used becomes a data set, the rest a report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metarl_rec.atomic import atomic_prefix, beside
from metarl_rec.attribute_files import read_attribute_file
from metarl_rec.cells import as_id, as_number, as_seconds
from metarl_rec.dataset import MAX_RATING, Dataset, id_fault
from metarl_rec.errors import DataError
from metarl_rec.records import Format, Row, detected_format, read_records

__all__ = ["ImportReport", "import_interactions"]

Rejected = list[tuple[int, str]]

_DEFAULT_COLUMNS = {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows.

    Attributes:
        accepted: ratings in the data set.
        superseded: usable rows with a later row for the same user and item.
        rejected: (line, reason) of every row that could not be used.
        rejected_items: (line, reason) of rows or values of the item attributes that were left out.
        rejected_users: (line, reason) of rows or values of the user attributes that were left out.
    """

    accepted: int
    superseded: int
    rejected: Rejected
    rejected_items: Rejected
    rejected_users: Rejected

    def to_json(self) -> str:
        """Returns the report as a JSON object, rejected rows as {line, reason}."""
        listed = {
            name: [{"line": line, "reason": reason} for line, reason in getattr(self, name)]
            for name in ("rejected", "rejected_items", "rejected_users")
        }
        return json.dumps({"accepted": self.accepted, "superseded": self.superseded, **listed}, indent=2)


@dataclass(frozen=True, slots=True)
class _Interaction:
    user: str
    item: str
    rating: float
    timestamp: float | None


def import_interactions(
    source: Path,
    *,
    format: Literal["auto"] | Format = "auto",
    columns: Mapping[str, str] | None = None,
    items: Path | None = None,
    users: Path | None = None,
    name: str | None = None,
) -> tuple[Dataset, ImportReport]:
    """Returns the data set of the usable rows, in file order, and a report of the others.

    Of several rows with the same user and item, the one with the latest time counts; without times, the last.
    Times are seconds since 1970 or ISO 8601 (UTC unless they say otherwise); a source may have none at all.

    Args:
        source: a file, or the directory or prefix of atomic files.
        format: how it is written; auto goes by the suffix.
        columns: names of the columns for user, item, rating and timestamp; those left out keep their default
            user_id, item_id, rating, timestamp.
        items: item attributes: a file of any of the formats, its id in the item column or in item_id or id. For
            atomic sources NAME.item is the default.
        users: user attributes, likewise.
        name: of the data set; None takes the source's.

    Raises:
        DataError: a file cannot be read at all, a column is missing, or no row can be used.
    """
    unknown = set(columns or {}) - set(_DEFAULT_COLUMNS)
    if unknown:
        raise DataError(f"unknown column role {', '.join(sorted(unknown))}; map {', '.join(_DEFAULT_COLUMNS)}")
    roles = {**_DEFAULT_COLUMNS, **(columns or {})}
    kind = detected_format(source) if format == "auto" else format
    file, title = source, source.stem
    if kind == "atomic":
        prefix = atomic_prefix(source)
        file, title = beside(prefix, ".inter"), prefix.name
        items = items or _if_there(beside(prefix, ".item"))
        users = users or _if_there(beside(prefix, ".user"))
    kept, superseded, rejected = _interactions(file, kind, roles)
    if not kept:
        reasons = "; ".join(f"line {line}: {reason}" for line, reason in rejected[:3]) or "it has no rows"
        raise DataError(f"no row of {file} can be used ({reasons}); correct the file or the column names")
    user_attributes, rejected_users = read_attribute_file(users, "user", roles["user"])
    item_attributes, rejected_items = read_attribute_file(items, "item", roles["item"])
    times = [row.timestamp for row in kept if row.timestamp is not None]
    dataset = Dataset.from_records(
        name or re.sub(r"[^A-Za-z0-9._-]|^[._-]", "-", title).lstrip("-")[:64] or "interactions",
        [row.user for row in kept],
        [row.item for row in kept],
        [row.rating for row in kept],
        times or None,
        user_attributes,
        item_attributes,
    )
    return dataset, ImportReport(len(kept), superseded, rejected, rejected_items, rejected_users)


def _interactions(file: Path, kind: Format, roles: Mapping[str, str]) -> tuple[list[_Interaction], int, Rejected]:
    """Returns the rows that count, in file order, the number superseded, and those rejected."""
    usable: list[tuple[int, _Interaction]] = []
    rejected: Rejected = []
    columns: set[str] = set()
    for line, cells in read_records(file, kind):
        if isinstance(cells, dict):
            columns.update(cells)
        result = _interaction(cells, roles)
        if isinstance(result, str):
            rejected.append((line, result))
        else:
            usable.append((line, result))
    for role in ("user", "item", "rating"):
        if columns and roles[role] not in columns:
            raise DataError(
                f"{file} has no column {roles[role]} for the {role}, only {', '.join(sorted(columns)[:20])}; "
                "name the column that holds it"
            )
    if any(row.timestamp is not None for _, row in usable):
        rejected += [(line, "missing timestamp") for line, row in usable if row.timestamp is None]
        usable = [(line, row) for line, row in usable if row.timestamp is not None]
    latest: dict[tuple[str, str], tuple[float, int]] = {}
    for line, row in usable:
        rank = (row.timestamp or 0.0, line)
        latest[row.user, row.item] = max(rank, latest.get((row.user, row.item), rank))
    kept = [row for line, row in usable if latest[row.user, row.item][1] == line]
    return kept, len(usable) - len(kept), sorted(rejected)


def _interaction(row: Row, roles: Mapping[str, str]) -> _Interaction | str:
    """Returns the interaction in a row, or why there is none."""
    if isinstance(row, str):
        return row
    user, item = as_id(row.get(roles["user"])), as_id(row.get(roles["item"]))
    for role, value in (("user", user), ("item", item)):
        fault = "id is neither text nor a whole number" if value is None else id_fault(value)
        if fault:
            return f"{role}: {fault}"
    rating = as_number(row.get(roles["rating"]))
    if rating is None or abs(rating) > MAX_RATING:
        return "rating is not a finite number"
    try:
        time = as_seconds(row.get(roles["timestamp"]))
    except (ValueError, OverflowError) as error:
        return str(error)
    return _Interaction(str(user), str(item), rating, time)


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
