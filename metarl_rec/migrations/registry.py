"""Formats of other products by name, and how to tell them from the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from metarl_rec.migrations.gorse import gorse_source, is_gorse
from metarl_rec.migrations.metarank import is_metarank, metarank_source
from metarl_rec.migrations.movielens import is_movielens, movielens_source
from metarl_rec.migrations.source import Source

__all__ = ["MigrationFormat", "Source", "detected_migration", "migration_source"]

MigrationFormat = Literal["gorse", "metarank", "movielens"]

_RECOGNIZED: dict[MigrationFormat, Callable[[Path], bool]] = {
    "movielens": is_movielens,
    "gorse": is_gorse,
    "metarank": is_metarank,
}
_SOURCES: dict[MigrationFormat, Callable[[Path, Sequence[str]], Source]] = {
    "movielens": movielens_source,
    "gorse": gorse_source,
    "metarank": metarank_source,
}


def detected_migration(path: Path) -> MigrationFormat | None:
    """Returns the format of an export by its files' names and first line; None for what none of the products wrote."""
    if not path.exists():
        return None
    return next((name for name, recognizes in _RECOGNIZED.items() if recognizes(path)), None)


def migration_source(path: Path, kind: MigrationFormat, ratings: Sequence[str]) -> Source:
    """Returns the export at a path.

    Args:
        path: file or directory.
        kind: its format.
        ratings: rules for types of events.

    Raises:
        ConfigError: a rule cannot be read.
        DataError: there is no such file.
    """
    return _SOURCES[kind](path, ratings)
