"""RecBole's atomic files, as RecBole and its data sets write them: tab separated, header `field:type`."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metarl_rec.dataset import MAX_RATING, AttributeValue, Dataset, id_fault
from metarl_rec.errors import DataError

__all__ = ["AtomicFile", "atomic_prefix", "beside", "bundled_ml_100k", "read_atomic", "read_attributes", "read_ratings"]

Kind = Literal["text", "list", "number"]
Renames = Mapping[str, tuple[str, Kind] | None]

# How known fields of public data sets are read; None leaves a field out. Others go by their declared type.
_FIELDS: Renames = {
    "age": ("age", "number"),
    "class": ("genres", "list"),
    "movie_title": ("title", "text"),
    "release_year": ("year", "number"),
    "zip_code": None,
}
# No attribute is a list of numbers, so float_seq columns are left out.
_KINDS: dict[str, Kind | None] = {"token": "text", "token_seq": "list", "float": "number", "float_seq": None}


@dataclass(frozen=True, slots=True)
class AtomicFile:
    """One atomic file whose header has been read.

    Attributes:
        path: the file.
        fields: (name, type) of every column; the type is token, token_seq, float or float_seq.
    """

    path: Path
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def open(cls, path: Path) -> AtomicFile:
        """Reads the header.

        Raises:
            DataError: the file cannot be read, or its header is not `field:type`, tab separated.
        """
        try:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
                header = lines.readline().rstrip("\r\n")
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); check the path") from error
        fields = []
        for column in header.split("\t"):
            name, _, kind = column.rpartition(":")
            if not name or kind not in _KINDS:
                raise DataError(
                    f"{path}, line 1: column {column[:60]!r} is not `field:type` with type {', '.join(_KINDS)}; "
                    "this is not an atomic file"
                )
            fields.append((name, kind))
        return cls(path, tuple(fields))

    def column(self, name: str) -> int:
        """Returns the position of field `name`, or raises DataError."""
        for at, (field, _) in enumerate(self.fields):
            if field == name:
                return at
        names = ", ".join(field for field, _ in self.fields)
        raise DataError(f"{self.path} has no column {name}, only {names}; rename one, or import it with a column map")

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yields the line number (the header is line 1) and values of every line; missing trailing values are ''."""
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            next(lines, None)
            for number, line in enumerate(lines, start=2):
                values = line.rstrip("\r\n").split("\t")
                if values != [""]:
                    yield number, values + [""] * (len(self.fields) - len(values))

    def records(
        self, id_field: str, renames: Renames = _FIELDS, decode: Callable[[str], str] = str
    ) -> Iterator[tuple[int, str, dict[str, AttributeValue]]]:
        """Yields line number, id and attributes of every line; a number that does not parse is absent.

        Args:
            id_field: user_id or item_id.
            renames: attribute name and kind of fields not to be taken as declared; None leaves a field out.
            decode: applied to every id, name and word.
        """
        at_id = self.column(id_field)
        plan: list[tuple[int, str, Kind]] = []
        for at, (field, declared) in enumerate(self.fields):
            kind = _KINDS[declared]
            target = renames.get(field, (decode(field), kind) if kind else None)
            if at != at_id and target:
                plan.append((at, *target))
        for line, values in self.rows():
            row = {name: _parsed(values[at], kind, decode) for at, name, kind in plan}
            yield line, decode(values[at_id]), {name: value for name, value in row.items() if value is not None}


def atomic_prefix(path: Path) -> Path:
    """Returns the path without suffix of the atomic files in a directory, at a prefix, or beside an .inter file.

    Raises:
        DataError: there is no .inter file, or several.
    """
    if path.is_dir():
        found = sorted(path.glob("*.inter"))
        if len(found) != 1:
            names = ", ".join(each.name for each in found) or "none"
            raise DataError(f"{path} must hold one .inter file, found {names}; give the path NAME of NAME.inter")
        return found[0].with_suffix("")
    prefix = path.with_suffix("") if path.suffix == ".inter" else path
    if not beside(prefix, ".inter").is_file():
        raise DataError(f"{beside(prefix, '.inter')} does not exist; give a directory with one .inter file")
    return prefix


def read_atomic(path: Path) -> Dataset:
    """Returns the data set of NAME.inter, with the attributes in NAME.item and NAME.user where these exist.

    Args:
        path: directory with one .inter file, or the path of its files without suffix.

    Raises:
        DataError: a file is missing or a row cannot be used; its message gives the line. `metarl-rec import` reads the
            same files, leaves such rows out and reports them.
    """
    prefix = atomic_prefix(path)
    users, items = (
        read_attributes(file, field) if file.is_file() else {}
        for file, field in ((beside(prefix, ".user"), "user_id"), (beside(prefix, ".item"), "item_id"))
    )
    return read_ratings(prefix, re.sub(r"[^A-Za-z0-9._-]", "-", prefix.name), users, items)


def bundled_ml_100k() -> Dataset:
    """Returns MovieLens-100K (943 users, 1,682 items, 100,000 ratings) from RecBole's wheel, without importing RecBole.

    Raises:
        DataError: RecBole is not installed.

    Reference: Harper & Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5 (2015).
    """
    spec = importlib.util.find_spec("recbole")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(root) / "dataset_example" / "ml-100k"
        if (directory / "ml-100k.inter").is_file():
            return read_atomic(directory)
    raise DataError("MovieLens-100K comes with RecBole, which is not installed; run: pip install 'metarl-rec[train]'")


def read_attributes(
    path: Path, id_field: str, *, renames: Renames = _FIELDS, decode: Callable[[str], str] = str
) -> dict[str, dict[str, AttributeValue]]:
    """Returns attributes by id from a .user or .item file; the arguments are those of `AtomicFile.records`.

    Raises:
        DataError: there is no id column, or an id is unusable or occurs twice.
    """
    out: dict[str, dict[str, AttributeValue]] = {}
    for line, key, attributes in AtomicFile.open(path).records(id_field, renames, decode):
        if fault := id_fault(key) or ("id occurs twice" if key in out else None):
            raise DataError(f"{path}, line {line}: {fault}; correct the row")
        out[key] = attributes
    return out


def read_ratings(
    prefix: Path,
    name: str,
    user_attributes: Mapping[str, dict[str, AttributeValue]],
    item_attributes: Mapping[str, dict[str, AttributeValue]],
    *,
    decode: Callable[[str], str] = str,
) -> Dataset:
    """Returns the data set `name` of NAME.inter (user_id, item_id, rating, timestamp where there is one).

    Raises:
        DataError: a column is missing or a row cannot be used.
    """
    file = AtomicFile.open(beside(prefix, ".inter"))
    at_user, at_item, at_rating = (file.column(field) for field in ("user_id", "item_id", "rating"))
    at_time = file.column("timestamp") if any(field == "timestamp" for field, _ in file.fields) else None
    users: list[str] = []
    items: list[str] = []
    ratings: list[float] = []
    times: list[float] = []
    for line, values in file.rows():
        user, item = decode(values[at_user]), decode(values[at_item])
        fault = id_fault(user) or id_fault(item)
        try:
            rating = float(values[at_rating])
            time = 0.0 if at_time is None else float(values[at_time])
        except ValueError:
            rating = time = math.nan
        if not (abs(rating) <= MAX_RATING and math.isfinite(time)):
            fault = fault or "rating or timestamp is not a finite number"
        if fault:
            raise DataError(f"{file.path}, line {line}: {fault}; correct the row, or import the file")
        users.append(user)
        items.append(item)
        ratings.append(rating)
        times.append(time)
    return Dataset.from_records(
        name, users, items, ratings, None if at_time is None else times, user_attributes, item_attributes
    )


def beside(prefix: Path, suffix: str) -> Path:
    """Returns NAME.suffix; `Path.with_suffix` would cut a name with a dot in it."""
    return prefix.parent / (prefix.name + suffix)


def _parsed(text: str, kind: Kind, decode: Callable[[str], str]) -> AttributeValue | None:
    """Returns the value that `text` stands for, None where it is absent."""
    match kind:
        case "text":
            return decode(text) or None
        case "list":
            return [decode(entry) for entry in text.split(" ") if entry] or None
        case "number":
            try:
                number = float(text)
            except ValueError:
                return None
            return number if math.isfinite(number) else None
