"""A protocol's tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

from metarl_rec.protocols.result import Bar, Table

__all__ = ["bars_table", "shown"]


def shown(table: Table) -> RichTable:
    """Returns a table as the terminal shows it."""
    out = _framed(table.title)
    for index, column in enumerate(table.columns):
        out.add_column(escape(column), justify="right" if index else "left", no_wrap=index == 0)
    for row in table.rows:
        out.add_row(*(escape(cell) for cell in row), style="bold" if row[0] in table.strong else None)
    return out


def bars_table(bars: Sequence[Bar]) -> RichTable:
    """Returns what had to be shown, and what was found."""
    out = _framed("What had to be shown")
    for column in ("what", "bar", "found", "reached"):
        out.add_column(column)
    for bar in bars:
        out.add_row(escape(bar.name), escape(bar.asked), escape(bar.found), "yes" if bar.reached else "[red]no[/]")
    return out


def _framed(title: str) -> RichTable:
    return RichTable(
        title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False
    )
