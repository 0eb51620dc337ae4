"""Gorse: users, items and feedback as JSON Lines (dashboard export, bulk import) or as `gorse-cli dump` writes them.

Every line tells by its fields what it is: FeedbackType, else ItemId, else UserId. Labels become attributes, those of
nested objects as `outer.inner`; categories, comments and the time of an item too; a hidden item gets `hidden: true`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metarl_rec.cells import as_id, as_number, as_seconds
from metarl_rec.errors import DataError
from metarl_rec.event_ratings import COMMON, EventRatings
from metarl_rec.import_rows import AttributeRow, ImportRow, Part, Rejection
from metarl_rec.migrations.events import flattened, rated
from metarl_rec.migrations.gorse_dump import dump_records, is_dump
from metarl_rec.migrations.source import Source, first_line
from metarl_rec.reading import Meter
from metarl_rec.records import read_records

__all__ = ["gorse_source", "is_gorse"]

RULES = ("read>=3=5", *COMMON)
"""Gorse's own default takes three reads for a like."""

_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) ([+-]\d{4})(?: \w+)?", re.ASCII)
_NAMES = ("feedback.jsonl", "items.jsonl", "users.jsonl")


def is_gorse(path: Path) -> bool:
    """Returns whether a file's first line, or the names in a directory, are Gorse's."""
    if path.is_dir():
        return any((path / name).is_file() or (path / f"{name}.gz").is_file() for name in _NAMES)
    if is_dump(path):
        return True
    try:
        fields = {name.lower() for name in json.loads(first_line(path))}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
    return "feedbacktype" in fields or bool(fields & {"userid", "itemid"} and fields & {"labels", "ishidden"})


def gorse_source(path: Path, ratings: Sequence[str]) -> Source:
    """Returns the export in a file, or in the .jsonl files of a directory.

    Args:
        path: file or directory.
        ratings: rules for types of feedback, tried before the usual ones.

    Raises:
        ConfigError: a rule cannot be read.
        DataError: the directory holds no such file.
    """
    rules = EventRatings.of(ratings, RULES)
    files = [path]
    not_read: list[str] = []
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")))
        not_read = sorted(each.name for each in path.iterdir() if each not in files)
    if not files:
        raise DataError(f"{path} holds no .jsonl file; export users, items and feedback into it")

    def rows(file: Path, meter: Meter) -> Iterator[ImportRow]:
        records = dump_records(file, meter) if is_dump(file) else read_records(file, "jsonl", meter)
        for line, record in records:
            if isinstance(record, str):
                yield Rejection(file, line, record)
            else:
                yield from _rows(file, line, {str(name).lower(): value for name, value in record.items()}, rules)

    return Source(Path(path.name.removesuffix(".gz")).stem, tuple(files), rows, tuple(not_read))


def _rows(file: Path, line: int, row: Mapping[str, object], rules: EventRatings) -> Iterator[ImportRow]:
    if "feedbacktype" in row:
        # Gorse leaves a value of 0 out of what it reads, never out of what it writes.
        value = row.get("value") if row.get("value") is not None else 0
        try:
            time = _seconds(row.get("timestamp"))
        except (ValueError, OverflowError) as error:
            yield Rejection(file, line, str(error))
            return
        yield rated(file, line, row["feedbacktype"], value, row.get("userid"), row.get("itemid"), time, rules)
        return
    part: Part | None = "item" if "itemid" in row else "user" if "userid" in row else None
    if part is None or part == "interaction":
        yield Rejection(file, line, "neither FeedbackType nor ItemId nor UserId: this is not Gorse's")
        return
    labels = row.get("labels")
    cells, faults = flattened(labels if isinstance(labels, Mapping) else {"labels": _listed(labels)})
    own: dict[str, object] = {name: row[name] for name in ("comment", "categories", "subscribe") if row.get(name)}
    if row.get("ishidden") is True:
        own["hidden"] = "true"
    try:
        own["added_at"] = _seconds(row.get("timestamp"))
    except (ValueError, OverflowError) as error:
        faults.append(str(error))
    # A label of the same name as a field of Gorse's keeps its value under another.
    cells = {f"labels.{name}" if name in own else name: value for name, value in cells.items()}
    yield AttributeRow(file, line, part, as_id(row["itemid" if part == "item" else "userid"]), {**cells, **own})
    for reason in faults:
        yield Rejection(file, line, reason, part)


def _listed(labels: object) -> object:
    return [labels] if isinstance(labels, str) and labels else labels


def _seconds(value: object) -> float | None:
    """Returns the time of a Go timestamp, None for its zero (year 1), which stands for no time.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and (found := _GO_TIME.fullmatch(value.strip())):
        value = f"{found[1]}T{found[2]}{found[3]}"
    seconds = as_seconds(value)
    return None if seconds is None or (as_number(value) is None and seconds < -62_000_000_000) else seconds
