"""An export of another product: which files it has, and the rows in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metarl_rec.errors import DataError
from metarl_rec.import_rows import ImportRow
from metarl_rec.reading import Meter

__all__ = ["Source", "beginning", "first_line"]

_PEEK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be read.

    Attributes:
        title: the data set's name, where none is given.
        files: in the order in which they are read.
        rows: of one file.
        not_read: names of files that hold nothing a data set takes.
    """

    title: str
    files: tuple[Path, ...]
    rows: Callable[[Path, Meter], Iterator[ImportRow]]
    not_read: tuple[str, ...] = ()

    def read(self, meter: Meter) -> Iterator[ImportRow]:
        """Yields all rows.

        Raises:
            DataError: a file cannot be read.
        """
        meter.expect(self.files)
        for file in self.files:
            yield from self.rows(file, meter)


def beginning(path: Path) -> bytes:
    """Returns the first megabyte of a file without white space ahead of it, or nothing where it cannot be read."""
    try:
        with Meter().open(path) as file:
            return file.read(_PEEK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    except DataError:
        return b""


def first_line(path: Path) -> bytes:
    """Returns the first line of a file that has something on it, or nothing where it cannot be read."""
    return beginning(path).partition(b"\n")[0]
