"""Metarank: item, user, ranking and interaction events as JSON Lines or one JSON array, plain or gzip.

Items of a ranking are merely seen; interactions mean what the rules say of their type. Who has no `user` is their
`session`. Times are milliseconds since 1970 or ISO 8601. Fields become attributes, later ones replace earlier ones.

Reference: Metarank's documentation, "Supported events" and "Timestamp formats".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metarl_rec.cells import as_id, as_number
from metarl_rec.errors import DataError
from metarl_rec.event_ratings import COMMON, EventRatings
from metarl_rec.import_rows import AttributeRow, ImportRow, Rejection, Role
from metarl_rec.migrations.events import flattened, rated
from metarl_rec.migrations.json_array import array_records
from metarl_rec.migrations.source import Source, beginning
from metarl_rec.reading import Meter
from metarl_rec.records import read_records

__all__ = ["is_metarank", "metarank_source"]

_EVENTS = ("item", "metadata", "user", "ranking", "interaction")
_SUFFIXES = (".json", ".jsonl", ".ndjson")


def is_metarank(path: Path) -> bool:
    """Returns whether a file, or the first one of a directory, begins with one of Metarank's events."""
    if path.is_dir():
        return any(is_metarank(each) for each in _files(path)[:1])
    text = beginning(path)
    if text.startswith(b"["):
        return any(b'"event"' in piece and b'"timestamp"' in piece for piece in text.split(b"}", 2)[:2])
    try:
        event = json.loads(text.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("event") in _EVENTS and "timestamp" in event


def metarank_source(path: Path, ratings: Sequence[str]) -> Source:
    """Returns the events in a file, or in the files of a directory by their names.

    Args:
        path: file or directory.
        ratings: rules for types of interactions, and for `ranking`, tried before the usual ones.

    Raises:
        ConfigError: a rule cannot be read.
        DataError: the directory holds no such file.
    """
    rules = EventRatings.of(ratings, COMMON)
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no file named {', '.join(_SUFFIXES)}; put the events into it")

    def rows(file: Path, meter: Meter) -> Iterator[ImportRow]:
        array = beginning(file).startswith(b"[")
        records = array_records(file, meter) if array else read_records(file, "jsonl", meter)
        for line, record in records:
            if isinstance(record, str):
                yield Rejection(file, line, record)
            else:
                yield from _rows(file, line, record, rules)

    not_read = tuple(sorted(each.name for each in path.iterdir() if each not in files)) if path.is_dir() else ()
    return Source(Path(path.name.removesuffix(".gz")).stem, tuple(files), rows, not_read)


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.name.removesuffix(".gz").endswith(_SUFFIXES))


def _rows(file: Path, line: int, row: Mapping[str, object], rules: EventRatings) -> Iterator[ImportRow]:
    match row.get("event"):
        case "item" | "metadata":
            yield from _attributes(file, line, "item", row)
        case "user":
            yield from _attributes(file, line, "user", row)
        case "ranking":
            yield from _ranking(file, line, row, rules)
        case "interaction":
            fields = _fields(row.get("fields"))[0]
            value = fields.get("value", fields.get("rating"))
            yield rated(file, line, row.get("type"), value, _user(row), row.get("item"), _time(row), rules)
        case _:
            yield Rejection(file, line, f"event is none of {', '.join(_EVENTS)}")


def _ranking(file: Path, line: int, row: Mapping[str, object], rules: EventRatings) -> Iterator[ImportRow]:
    items = row.get("items")
    if not isinstance(items, list) or not items:
        yield Rejection(file, line, "the ranking has no items")
        return
    for item in items:
        item_id = item.get("id") if isinstance(item, dict) else None
        yield rated(file, line, "ranking", None, _user(row), item_id, _time(row), rules)


def _attributes(file: Path, line: int, role: Role, row: Mapping[str, object]) -> Iterator[ImportRow]:
    found, faults = _fields(row.get("fields"))
    cells, more = flattened(found)
    yield AttributeRow(file, line, role, as_id(row.get(role)), cells)
    for reason in faults + more:
        yield Rejection(file, line, reason, role)


def _fields(fields: object) -> tuple[dict[str, object], list[str]]:
    """Returns values by name of a list of {name, value}, and what is wrong with the others."""
    if fields is None:
        return {}, []
    if not isinstance(fields, list):
        return {}, ["fields is not a list"]
    out: dict[str, object] = {}
    faults: list[str] = []
    for field in fields:
        if isinstance(field, dict) and isinstance(field.get("name"), str) and "value" in field:
            out[field["name"]] = field["value"]
        else:
            faults.append("a field has no name or no value")
    return out, faults


def _user(row: Mapping[str, object]) -> object:
    return row.get("session") if row.get("user") is None else row.get("user")


def _time(row: Mapping[str, object]) -> object:
    milliseconds = as_number(row.get("timestamp"))
    return row.get("timestamp") if milliseconds is None else milliseconds / 1000
