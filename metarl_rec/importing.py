"""Imports interactions from files as people have them: what can be used becomes a data set, the rest a report."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from metarl_rec.atomic import atomic_prefix, beside
from metarl_rec.attribute_files import AttributeRows, Table, read_attribute_file
from metarl_rec.dataset import Dataset
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.import_rows import AttributeRow, Ignored, ImportRow, Interaction, Rejection
from metarl_rec.interactions import interaction
from metarl_rec.migrations.registry import MigrationFormat, Source, detected_migration, migration_source
from metarl_rec.reading import Meter, Progress
from metarl_rec.records import Format, detected_format, read_records

__all__ = ["DEFAULT_COLUMNS", "ImportReport", "import_interactions"]

DEFAULT_COLUMNS = {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows.

    Attributes:
        accepted: ratings in the data set.
        superseded: usable rows with another row for the same user and item that counts instead.
        rejected: interactions that could not be used.
        rejected_items: rows or values of the item attributes that were left out.
        rejected_users: rows or values of the user attributes that were left out.
        ignored: number of events of every type that was to be ignored.
        not_read: files beside the others that hold nothing which a data set takes.
    """

    accepted: int
    superseded: int
    rejected: list[Rejection]
    rejected_items: list[Rejection]
    rejected_users: list[Rejection]
    ignored: Mapping[str, int] = field(default_factory=dict)
    not_read: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns the report as a JSON object, rejected rows as {file, line, reason}."""
        listed = {
            name: [{"file": each.file.name, "line": each.line, "reason": each.reason} for each in getattr(self, name)]
            for name in ("rejected", "rejected_items", "rejected_users")
        }
        counts = {"accepted": self.accepted, "superseded": self.superseded, "ignored": dict(self.ignored)}
        return json.dumps({**counts, "not_read": list(self.not_read), **listed}, indent=2)


def import_interactions(
    source: Path,
    *,
    format: Literal["auto"] | Format | MigrationFormat = "auto",
    columns: Mapping[str, str] | None = None,
    items: Path | None = None,
    users: Path | None = None,
    name: str | None = None,
    ratings: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[Dataset, ImportReport]:
    """Returns the data set of the usable rows, in file order, and a report of the others. Every file is read once.

    Of several rows with the same user and item, the one with the latest time counts; without times, the last. An event
    that says only that the item was seen gives way to any other.
    Times are seconds since 1970 or ISO 8601 (UTC unless they say otherwise); a source may have none at all.

    Args:
        source: a file; the directory or prefix of atomic files; the directory of another product's export.
        format: how it is written; auto goes by the suffix, the names in a directory, and a file's first line.
        columns: names of the columns for user, item, rating and timestamp; those left out keep their default
            user_id, item_id, rating, timestamp.
        items: item attributes: a file of any of the formats, its id in the item column or in item_id or id. For
            atomic sources NAME.item is the default; another product's export brings its own.
        users: user attributes, likewise.
        name: of the data set; None takes the source's.
        ratings: what types of events mean, for exports that hold events; see `event_ratings`.
        progress: told how far the reading is.

    Raises:
        DataError: a file cannot be read at all, a column is missing, or no row can be used.
        ConfigError: a rule for ratings cannot be read, or options do not go together.
    """
    unknown = set(columns or {}) - set(DEFAULT_COLUMNS)
    if unknown:
        raise DataError(f"unknown column role {', '.join(sorted(unknown))}; map {', '.join(DEFAULT_COLUMNS)}")
    roles = {**DEFAULT_COLUMNS, **(columns or {})}
    tabular = columns is not None or items is not None or users is not None
    kind: Format | MigrationFormat
    kind = format if format != "auto" else (None if tabular else detected_migration(source)) or detected_format(source)
    meter = Meter(progress)
    if kind in get_args(MigrationFormat):
        if tabular:
            raise ConfigError(f"a {kind} source names its columns, items and users itself; leave those options out")
        export = migration_source(source, kind, ratings)  # type: ignore[arg-type]  # `in` does not narrow
        found = _Found(export.read(meter))
        if not found.kept:
            raise _nothing(source, found)
        return found.dataset(name or export.title), found.report(export)
    if ratings:
        raise ConfigError(
            f"rules for ratings of events go with {', '.join(get_args(MigrationFormat))}, not with {kind}"
        )
    return _from_table(source, kind, roles, items, users, name, meter)  # type: ignore[arg-type]


def _from_table(
    source: Path,
    kind: Format,
    roles: Mapping[str, str],
    items: Path | None,
    users: Path | None,
    name: str | None,
    meter: Meter,
) -> tuple[Dataset, ImportReport]:
    file, title = source, Path(source.name.removesuffix(".gz")).stem
    if kind == "atomic":
        prefix = atomic_prefix(source)
        file, title = beside(prefix, ".inter"), prefix.name
        items = items or _if_there(beside(prefix, ".item"))
        users = users or _if_there(beside(prefix, ".user"))
    meter.expect([file])
    found = _Found(_table_rows(file, kind, roles, meter))
    if not found.kept:
        raise _nothing(file, found)
    user_attributes, rejected_users = read_attribute_file(users, "user", roles["user"])
    item_attributes, rejected_items = read_attribute_file(items, "item", roles["item"])
    report = ImportReport(len(found.kept), found.superseded, found.rejected, rejected_items, rejected_users)
    return found.dataset(name or title, user_attributes, item_attributes), report


class _Found:
    """Everything that a source holds.

    Args:
        rows: read once, to their end.
    """

    def __init__(self, rows: Iterable[ImportRow]) -> None:
        self.rejected: list[Rejection] = []
        self.ignored: Counter[str] = Counter()
        self.users, self.items = AttributeRows("user"), AttributeRows("item")
        usable: list[Interaction] = []
        for row in rows:
            match row:
                case Interaction():
                    usable.append(row)
                case AttributeRow():
                    (self.users if row.role == "user" else self.items).take(row, updates=True)
                case Ignored():
                    self.ignored[row.type] += 1
                case Rejection():
                    self._reject(row)
        if any(row.timestamp is not None for row in usable):
            without = [row for row in usable if row.timestamp is None]
            self.rejected += [Rejection(row.file, row.line, "missing timestamp") for row in without]
            usable = [row for row in usable if row.timestamp is not None]
        latest: dict[tuple[str, str], tuple[bool, float, int]] = {}
        for at, row in enumerate(usable):
            rank = (not row.merely_seen, row.timestamp or 0.0, at)
            latest[row.user, row.item] = max(rank, latest.get((row.user, row.item), rank))
        self.kept = [row for at, row in enumerate(usable) if latest[row.user, row.item][2] == at]
        self.superseded = len(usable) - len(self.kept)
        self.rejected.sort()

    def _reject(self, row: Rejection) -> None:
        match row.part:
            case "user":
                self.users.rejected.append(row)
            case "item":
                self.items.rejected.append(row)
            case "interaction":
                self.rejected.append(row)

    def dataset(self, title: str, users: Table | None = None, items: Table | None = None) -> Dataset:
        """Returns the data set, with attributes that came with the rows unless others are given."""
        times = [row.timestamp for row in self.kept if row.timestamp is not None]
        return Dataset.from_records(
            re.sub(r"[^A-Za-z0-9._-]|^[._-]", "-", title).lstrip("-")[:64] or "interactions",
            [row.user for row in self.kept],
            [row.item for row in self.kept],
            [row.rating for row in self.kept],
            times or None,
            self.users.table() if users is None else users,
            self.items.table() if items is None else items,
        )

    def report(self, export: Source) -> ImportReport:
        """Returns the report of another product's export."""
        return ImportReport(
            len(self.kept),
            self.superseded,
            self.rejected,
            sorted(self.items.rejected),
            sorted(self.users.rejected),
            dict(sorted(self.ignored.items())),
            export.not_read,
        )


def _nothing(file: Path, found: _Found) -> DataError:
    reasons = "; ".join(f"line {each.line}: {each.reason}" for each in found.rejected[:3]) or "it has no rows"
    return DataError(f"no row of {file} can be used ({reasons}); correct the file or the column names")


def _table_rows(file: Path, kind: Format, roles: Mapping[str, str], meter: Meter) -> Iterator[ImportRow]:
    columns: set[str] = set()
    for line, cells in read_records(file, kind, meter):
        if isinstance(cells, dict):
            columns.update(cells)
            user, item, rating, time = (cells.get(roles[role]) for role in ("user", "item", "rating", "timestamp"))
            yield interaction(file, line, user, item, rating, time)
        else:
            yield Rejection(file, line, cells)
    for role in ("user", "item", "rating"):
        if columns and roles[role] not in columns:
            raise DataError(
                f"{file} has no column {roles[role]} for the {role}, only {', '.join(sorted(columns)[:20])}; "
                "name the column that holds it"
            )


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
