"""What the verbs that talk to a running service share: where it is, how answers are shown, and what failures mean.

Exit codes: 0 everything was done; 1 the service refused the call, or part of it; 2 wrong usage, or no service there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from service.commands.options import console

if TYPE_CHECKING:
    from service.client import Call, Client

__all__ = [
    "ApiKey",
    "Attribute",
    "Json",
    "Moment",
    "Url",
    "attributes_of",
    "file_progress",
    "moment_of",
    "plain",
    "say",
    "show_json",
    "show_table",
    "talking",
    "told",
]

T = TypeVar("T")

Url = Annotated[
    str | None,
    typer.Option("--url", help="Where the service is; else METARL_URL, else http://127.0.0.1:8000."),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", help="Better in METARL_API_KEY: others see a command line."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the service's JSON, for programs.")]
Attribute = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        "-a",
        metavar="NAME=VALUE",
        help="Repeatable; VALUE is JSON, else text: -a price=9.5 -a 'genres=[\"Drama\"]'; null takes one away.",
    ),
]
Moment = Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339, for example 2026-11-23T20:00:00Z.")]

_errors = Console(stderr=True)


@contextmanager
def talking(url: str | None, api_key: str | None) -> Iterator[Client]:
    """Yields a client; what it raises becomes one line and an exit code."""
    from service.client import ApiError, Client, ClientError

    if api_key is not None:
        _errors.print("[yellow]warning:[/] a key on the command line is seen by others; METARL_API_KEY is not")
    try:
        with Client(url, api_key=api_key) as client:
            yield client
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(130) from None
    except ApiError as error:
        hint = "; set METARL_API_KEY" if error.status == 401 else ""
        found = f" (request {error.request_id})" if error.request_id else ""
        say(f"refused: {error.code}: {error.detail}{hint}{found}")
        raise typer.Exit(1) from None
    except (ClientError, ValueError) as error:
        say(f"error: {error}")
        raise typer.Exit(2) from None
    except OSError as error:
        say(f"error: {error.filename or 'a file'} cannot be read or written ({error.strerror or error})")
        raise typer.Exit(2) from None


@contextmanager
def file_progress(path: Path) -> Iterator[Callable[..., None]]:
    """Shows on a terminal's standard error how much is done; yields what is told the bytes so far, and of how many."""
    columns = (SpinnerColumn(), TextColumn(plain(path.name)), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_errors, transient=True, disable=not _errors.is_terminal) as progress:
        task = progress.add_task("", total=path.stat().st_size if path.is_file() else None)
        yield lambda done, total=None: progress.update(task, completed=done, total=total)


def told(client: Client, call: Call[T], as_json: bool, show: Callable[[T], None]) -> None:
    """Sends a call and shows its answer, as a table or as the JSON that came."""
    from service.client import as_json as raw

    if as_json:
        show_json(client.send(raw(call)))
    else:
        show(client.send(call))


def show_json(body: object) -> None:
    """Prints one JSON document on one line."""
    typer.echo(json.dumps(body, ensure_ascii=False, default=str).encode("utf-8", "replace").decode())


def show_table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], *, right: Iterable[str] = (), whole: Iterable[str] = ()
) -> None:
    """Prints a table; cells come from outside, so they are text and nothing else.

    Args:
        columns: names of the columns.
        rows: cells.
        right: columns of numbers.
        whole: columns that are copied, and so stay on one line however narrow the terminal is.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        align: JustifyMethod = "right" if column in right else "left"
        table.add_column(Text(plain(column)), justify=align, overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console.print(table)


def plain(cell: object) -> str:
    """Returns a value as text that a terminal shows and does not obey."""
    match cell:
        case None:
            text = ""
        case float():
            text = f"{cell:.4g}"
        case datetime():
            text = cell.isoformat(sep=" ", timespec="seconds")
        case list() | tuple():
            text = ", ".join(plain(each) for each in cell)
        case Mapping():
            text = "  ".join(f"{name}={plain(value)}" for name, value in cell.items())
        case _:
            text = str(cell)
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def say(message: str) -> None:
    """Prints a line to standard error, as it is."""
    _errors.print(Text(plain(message)), soft_wrap=True)


def attributes_of(assignments: list[str] | None) -> dict[str, Any]:
    """Returns attributes from NAME=VALUE.

    Raises:
        typer.BadParameter: one has no name or no value.
    """
    out: dict[str, Any] = {}
    for assignment in assignments or []:
        name, equals, text = assignment.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{plain(assignment)!r} is not NAME=VALUE", param_hint="--attribute")
        try:
            out[name] = json.loads(text)
        except (ValueError, RecursionError):
            out[name] = text
    return out


def moment_of(text: str | None) -> datetime | None:
    """Returns the time that an option gives.

    Raises:
        typer.BadParameter: it is none, or lacks its zone.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"{plain(text)!r} is no time with a zone, for example 2026-11-23T20:00:00Z")
    return moment
