"""Opening files of an import, plain or gzip, and telling how far their reading has come."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from metarl_rec.errors import DataError

__all__ = ["Meter", "Progress"]

Progress = Callable[[int, int], None]
"""Told the bytes read so far and the bytes of all files."""

_ROWS_A_REPORT = 2048


class Meter:
    """Opens files one after the other.

    Args:
        report: told now and then how far it is; None tells nobody.
    """

    def __init__(self, report: Progress | None = None) -> None:
        self._report = report
        self._total = self._before = self._rows = 0
        self._file: BinaryIO | None = None

    def expect(self, paths: Iterable[Path]) -> None:
        """Notes the files that will be read; one that is not there is noticed when it is opened."""
        self._total = sum(path.stat().st_size for path in paths if path.is_file())

    @contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """Yields a file's bytes; those of a .gz file decompressed.

        Raises:
            DataError: it cannot be read, or its compression is damaged.
        """
        try:
            with path.open("rb") as file:
                self._file = file
                if path.suffix == ".gz":
                    with gzip.open(file) as content:
                        yield cast(BinaryIO, content)
                else:
                    yield file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path} is not a whole gzip file ({error}); write it again") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror or error}); check the path") from error
        finally:
            if self._file is not None:
                self._file = None
                self._before += path.stat().st_size

    def tick(self) -> None:
        """Counts a row, and reports once in a while."""
        self._rows += 1
        if self._report is not None and self._rows % _ROWS_A_REPORT == 0:
            here = 0 if self._file is None else self._file.tell()
            self._report(self._before + here, max(self._total, self._before + here))
