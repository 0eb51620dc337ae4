"""MovieLens: ratings.csv and movies.csv, or the older ratings.dat, movies.dat and users.dat with `::` between fields.

Ratings stay as they are (0.5 to 5; 4 and more is a like). A movie's genres become a list, the year in its title a
number. Of users.dat gender, age and the occupation's code are taken; the zip code is not.

Reference: Harper & Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5 (2015).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from metarl_rec.cells import as_number
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.import_rows import AttributeRow, ImportRow, Part, Rejection
from metarl_rec.interactions import interaction
from metarl_rec.migrations.source import Source, first_line
from metarl_rec.reading import Meter
from metarl_rec.records import Row, read_records

__all__ = ["is_movielens", "movielens_source"]

_COLUMNS = {
    "ratings": ("userId", "movieId", "rating", "timestamp"),
    "movies": ("movieId", "title", "genres"),
    "users": ("userId", "gender", "age", "occupation", "zip"),
}
_PARTS: dict[str, Part] = {"ratings": "interaction", "movies": "item", "users": "user"}
_DAT_RATING = re.compile(rb"[^:]+::[^:]+::[0-9.]+::[0-9]+\s*")
_YEAR = re.compile(r"\((\d{4})\)\s*$", re.ASCII)
_NO_GENRES = "(no genres listed)"


def is_movielens(path: Path) -> bool:
    """Returns whether a file holds MovieLens's ratings, or a directory a file of them."""
    if path.is_dir():
        return any((path / name).is_file() for name in ("ratings.csv", "ratings.csv.gz", "ratings.dat"))
    line = first_line(path)
    return line.startswith(b"userId,movieId,rating") or (
        path.suffix == ".dat" and _DAT_RATING.fullmatch(line) is not None
    )


def movielens_source(path: Path, ratings: Sequence[str]) -> Source:
    """Returns the export in a directory, or around a file of ratings.

    Args:
        path: directory, or file of ratings with the others beside it.
        ratings: none; there are no types of events.

    Raises:
        ConfigError: there are rules for ratings.
        DataError: there is no file of ratings.
    """
    if ratings:
        raise ConfigError("MovieLens has ratings, not events: there is nothing for --map to map")
    folder = path if path.is_dir() else path.parent
    names = [f"{stem}{suffix}" for suffix in (".csv", ".csv.gz", ".dat") for stem in _COLUMNS]
    found = {name: folder / name for name in names if (folder / name).is_file()}
    first = path if path.is_file() else next((found[name] for name in found if name.startswith("ratings")), None)
    if first is None:
        raise DataError(f"{path} holds neither ratings.csv nor ratings.dat; give the directory that does")
    suffix = first.name[first.name.find(".") :]
    others = [each for each in found.values() if each.name.endswith(suffix) and not each.name.startswith("ratings")]
    files = [first, *others]
    not_read = sorted(each.name for each in folder.iterdir() if each not in files) if path.is_dir() else []
    return Source(folder.resolve().name if path.is_dir() else first.stem, tuple(files), _rows, tuple(not_read))


def _rows(file: Path, meter: Meter) -> Iterator[ImportRow]:
    table = next((stem for stem in ("movies", "users") if file.name.startswith(stem)), "ratings")
    columns = _COLUMNS[table]
    records = _dat_rows(file, columns, meter) if file.suffix == ".dat" else read_records(file, "csv", meter)
    for line, row in records:
        if isinstance(row, str):
            yield Rejection(file, line, row, _PARTS[table])
        elif table == "ratings":
            user, item, rating, time = (row.get(name) for name in columns)
            yield interaction(file, line, user, item, rating, time)
        elif table == "movies":
            yield AttributeRow(file, line, "item", _text(row.get("movieId")), _movie(row))
        else:
            cells = {"gender": row.get("gender"), "age": as_number(row.get("age")), "occupation": row.get("occupation")}
            yield AttributeRow(file, line, "user", _text(row.get("userId")), cells)


def _dat_rows(file: Path, columns: tuple[str, ...], meter: Meter) -> Iterator[tuple[int, Row]]:
    with meter.open(file) as lines:
        for number, line in enumerate(lines, start=1):
            meter.tick()
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                text = line.decode("latin-1").rstrip("\r\n")  # as the files of 2003 are written
            if not text.strip():
                continue
            values = text.split("::")
            if len(values) != len(columns):
                yield number, f"{len(values)} fields between ::, {file.stem} has {len(columns)}"
            else:
                yield number, dict(zip(columns, values, strict=True))


def _movie(row: dict[str, object]) -> dict[str, object]:
    title, genres = _text(row.get("title")), _text(row.get("genres"))
    year = _YEAR.search(title)
    return {
        "title": title,
        "year": None if year is None else float(year[1]),
        "genres": [] if genres == _NO_GENRES else [word for word in genres.split("|") if word],
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
