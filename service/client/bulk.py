"""Bulk loads of items: any number of lines, sent in chunks, each of which may be sent again; memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from service.client.call import Call
from service.client.decoding import built
from service.client.events import time_text
from service.client.results import BulkResult

__all__ = ["Chunk", "Load", "item_line"]

_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines of a load.

    Attributes:
        call: sends them.
        before: lines before the first of them.
        size_bytes: of the body.
    """

    call: Call[BulkResult]
    before: int
    size_bytes: int


class Load:
    """A load on its way: lines go in, chunks come out, and what became of them adds up.

    Args:
        chunk_lines: greatest number of lines sent at once, >= 1.
        chunk_bytes: a chunk is sent when it has this size; the service's limit of a body is 64 MiB.
    """

    def __init__(self, chunk_lines: int = 10_000, chunk_bytes: int = 4 * 1024 * 1024) -> None:
        self.result = BulkResult()
        self._chunk_lines = chunk_lines
        self._chunk_bytes = chunk_bytes
        self._waiting: list[bytes] = []
        self._size_bytes = self._before = 0

    def chunks(self, lines: Iterable[bytes]) -> Iterator[Chunk]:
        """Yields the chunks of all these lines."""
        for line in lines:
            yield from self.take(line)
        yield from self.rest()

    def take(self, line: bytes) -> Iterator[Chunk]:
        """Takes a line, with or without its end, and yields the chunk that it fills, if it does."""
        self._waiting.append(line.rstrip(b"\r\n"))
        self._size_bytes += len(self._waiting[-1]) + 1
        if len(self._waiting) >= self._chunk_lines or self._size_bytes >= self._chunk_bytes:
            yield from self.rest()

    def rest(self) -> Iterator[Chunk]:
        """Yields what is waiting, if anything is."""
        if not self._waiting:
            return
        body = b"\n".join(self._waiting) + b"\n"
        call = Call("POST", "/v1/items/bulk", _read, body, media="application/x-ndjson", least_timeout_s=_TIMEOUT_S)
        chunk = Chunk(call, self._before, self._size_bytes)
        self._before += len(self._waiting)
        self._waiting, self._size_bytes = [], 0
        yield chunk

    def add(self, chunk: Chunk, result: BulkResult) -> None:
        """Adds what became of a chunk; its lines count from the load's beginning."""
        moved = tuple(replace(each, line=each.line + chunk.before) for each in result.rejections)
        self.result = BulkResult(
            self.result.applied + result.applied,
            self.result.rejected + result.rejected,
            self.result.rejections + moved,
        )


def item_line(item: Mapping[str, Any]) -> bytes:
    """Returns the line of an item: item_id, attributes, available, published_at, expires_at.

    A number that is not finite is sent as it is: the service rejects its line and no other.
    """
    given = {name: time_text(value) if isinstance(value, datetime) else value for name, value in item.items()}
    return json.dumps(given, separators=(",", ":")).encode()


def _read(body: object) -> BulkResult:
    return built(BulkResult, body)
