"""Files of events, one JSON object a line, in batches: broken lines are reported, and the same file counts once.

A line without an event_id gets one from its text and number, so that sending the file again is harmless.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from service.commands.options import console
from service.commands.talking import file_progress, plain, say, show_json, talking

if TYPE_CHECKING:
    from service.client import Client
    from service.client.results import FeedbackResult

__all__ = ["Batch", "Sent", "batches", "send_file"]

_BATCH_EVENTS = 1000
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events of a file.

    Attributes:
        events: their JSON, valid.
        lines: the number of each one's line, from 1.
        position: bytes of the file up to here.
    """

    events: list[dict[str, Any]]
    lines: list[int]
    position: int


@dataclass(slots=True)
class Sent:
    """What became of a file."""

    applied: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, line: int, code: str, detail: str = "") -> None:
        """Notes a line that was not applied."""
        self.rejected.append({"line": line, "code": code, **({"detail": detail} if detail else {})})

    def add(self, lines: list[int], result: FeedbackResult) -> None:
        """Notes what became of the events of these lines."""
        self.applied += result.applied
        self.duplicates += result.duplicates
        for each in result.rejected:
            self.reject(lines[each.index], each.code)


def send_file(
    path: Path,
    url: str | None,
    api_key: str | None,
    as_json: bool,
    check: Callable[[dict[str, Any]], None],
    deliver: Callable[[Client, Batch, Sent], None],
    *,
    batch_bytes: int,
) -> None:
    """Sends a file of events and says what became of it.

    Args:
        path: JSON Lines.
        url: of the service, or None.
        api_key: or None.
        as_json: whether to say it as JSON.
        check: raises a ValidationError for an event that the service would not take; it may complete one.
        deliver: sends a batch and notes what became of it.
        batch_bytes: greatest size of a batch.

    Raises:
        typer.Exit: 1 where a line was not applied.
    """
    from service.client import ClientError

    sent = Sent()
    with talking(url, api_key) as client:
        try:
            with file_progress(path) as advance:
                for batch in batches(path, check, sent, batch_bytes=batch_bytes):
                    deliver(client, batch, sent)
                    advance(batch.position)
        except ClientError:
            say(f"stopped after {sent.applied:,} events; the same command goes on: what was applied counts once")
            raise
    if as_json:
        show_json({"applied": sent.applied, "duplicates": sent.duplicates, "rejected": sent.rejected})
    else:
        for each in sent.rejected[:_SHOWN]:
            detail = each.get("detail") or each["code"]
            console.print(
                plain(f"{path}, line {each['line']}: {detail}"), markup=False, highlight=False, soft_wrap=True
            )
        counts = f"{sent.applied:,} applied, {sent.duplicates:,} counted before, {len(sent.rejected):,} rejected"
        console.print(counts, highlight=False)
    if sent.rejected:
        raise typer.Exit(1)


def batches(path: Path, check: Callable[[dict[str, Any]], None], sent: Sent, *, batch_bytes: int) -> Iterator[Batch]:
    """Yields a file's events as `send_file` sends them; lines that cannot be sent are noted in `sent`.

    Raises:
        OSError: the file cannot be read.
    """
    from pydantic import TypeAdapter, ValidationError

    from service.errors import invalid_body

    line_of_any_event: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
    waiting: list[dict[str, Any]] = []
    lines: list[int] = []
    size_bytes = position = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            position += len(line)
            text = line.strip()
            if not text:
                continue
            try:
                event = line_of_any_event.validate_json(text)
                event.setdefault("event_id", _identity(number, text))
                check(event)
            except ValidationError as error:
                problem = invalid_body(error)
                sent.reject(number, problem.code, problem.detail)
                continue
            # The id that may have been added, and what escaping adds at most to characters beyond ASCII.
            size = 3 * len(text) + 64
            if waiting and (size_bytes + size > batch_bytes or len(waiting) >= _BATCH_EVENTS):
                yield Batch(waiting, lines, position - len(line))
                waiting, lines, size_bytes = [], [], 0
            waiting.append(event)
            lines.append(number)
            size_bytes += size
    if waiting:
        yield Batch(waiting, lines, position)


def _identity(number: int, text: bytes) -> str:
    return "line-" + hashlib.blake2b(b"%d\n%b" % (number, text), digest_size=16).hexdigest()
