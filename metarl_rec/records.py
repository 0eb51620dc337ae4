"""Rows of CSV, JSON Lines, Parquet and atomic files as dictionaries with line numbers; a broken row is no crash."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from metarl_rec.atomic import AtomicFile
from metarl_rec.errors import DataError
from metarl_rec.reading import Meter

__all__ = ["Format", "Row", "detected_format", "read_records"]

Format = Literal["csv", "parquet", "jsonl", "atomic"]
Row = dict[str, object] | str
"""A row by column name, or what is wrong with it."""

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".inter": "atomic",
    ".item": "atomic",
    ".user": "atomic",
}
_DELIMITERS = ",;\t|"


def detected_format(path: Path) -> Format:
    """Returns the format by the file's suffix; a directory, or a path with NAME.inter beside it, is atomic.

    Raises:
        DataError: the suffix says nothing.
    """
    if path.is_dir() or (path.parent / (path.name + ".inter")).is_file():
        return "atomic"
    found = _SUFFIXES.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if found is None:
        raise DataError(f"the format of {path} cannot be told from its name; give csv, parquet, jsonl or atomic")
    return found


def read_records(path: Path, kind: Format, meter: Meter | None = None) -> Iterator[tuple[int, Row]]:
    """Yields line number and row. The header of a CSV or atomic file is line 1; rows of Parquet count from 1.

    CSV and JSON Lines may be compressed (.gz).

    Raises:
        DataError: the file as a whole cannot be read.
    """
    meter = meter or Meter()
    readers = {"csv": _csv_rows, "jsonl": _json_rows, "parquet": _parquet_rows, "atomic": _atomic_rows}
    try:
        for record in readers[kind](path, meter):
            meter.tick()
            yield record
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the path") from error


def _csv_rows(path: Path, meter: Meter) -> Iterator[tuple[int, Row]]:
    # Bytes that are not UTF-8 come through as lone surrogates, so that only their own row is lost.
    with meter.open(path) as file, _text(file, newline="") as lines:
        header_line = lines.readline()
        lines.seek(0)
        delimiter = max(_DELIMITERS, key=header_line.count)
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise DataError(f"{path}, line 1: {error}; this is not a CSV file") from error
        if not any(header) or len(set(header)) != len(header):
            raise DataError(f"{path}, line 1: the header {header_line[:80]!r} is empty or names a column twice")
        while True:
            line = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, str(error)
                continue
            if len(values) > len(header):
                yield line, f"{len(values)} fields, the header has {len(header)}"
            elif values:
                yield line, dict(zip(header, values, strict=False))


def _json_rows(path: Path, meter: Meter) -> Iterator[tuple[int, Row]]:
    with meter.open(path) as file, _text(file, newline="\n") as lines:
        for line, text in enumerate(lines, start=1):
            if text.isspace():
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                yield line, "not valid JSON"
                continue
            yield line, value if isinstance(value, dict) else "not a JSON object"


def _text(file: BinaryIO, *, newline: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def _parquet_rows(path: Path, meter: Meter) -> Iterator[tuple[int, Row]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow ({error}); run: pip install 'metarl-rec[train]'") from error
    line = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    line += 1
                    yield line, row
    except ValueError as error:  # pyarrow's own errors are ValueErrors
        raise DataError(f"{path} is not a readable Parquet file ({error}); write it again") from error


def _atomic_rows(path: Path, meter: Meter) -> Iterator[tuple[int, Row]]:
    file = AtomicFile.open(path)
    names = [name for name, _ in file.fields]
    for line, values in file.rows():
        if len(values) > len(names):
            yield line, f"{len(values)} fields, the header has {len(names)}"
        else:
            yield line, dict(zip(names, values, strict=True))
