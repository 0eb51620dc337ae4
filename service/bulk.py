"""Bulk loading of items: NDJSON as it arrives, a thousand lines a write, every line applied or told why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.catalogue import item_record
from service.engine import Engine
from service.errors import ApiError, invalid_body
from service.items import record_of
from service.schemas import BulkItem
from service.store.connection import StoreUnavailable
from service.store.item_store import CHUNK, PAGE_BYTES

__all__ = ["bulk_load"]

MAX_LINE_BYTES = 64 * 1024
MAX_REJECTIONS = 1000
_LINES_AT_ONCE = 250
_PAUSES_S = (0.1, 0.3, 0.9, 0.0)
_LINE = TypeAdapter(BulkItem)
_NO_JSON = "not valid JSON; send one JSON object a line, in UTF-8 (curl keeps line ends with --data-binary)"


async def bulk_load(engine: Engine, body: AsyncIterator[bytes]) -> dict[str, Any]:
    """Returns what became of every line; what was applied before an error stays, and repeating the load is harmless.

    Args:
        engine: whose items.
        body: NDJSON in pieces of any size; empty lines are skipped.

    Raises:
        ApiError: 503 where Redis does not confirm a write.
    """
    load = _Load(engine)
    number = 0
    async for line in _lines(body):
        number += 1
        load.take(number, line)
        if load.is_full:
            await load.write()
        elif number % _LINES_AT_ONCE == 0:
            # Others are served in between.
            await asyncio.sleep(0)
    await load.write()
    return {"applied": load.applied, "rejected": load.rejected, "rejections": load.rejections}


class _Load:
    """The state of one load: records on their way, and the count of what happened."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waiting: list[tuple[str, bytes]] = []
        self._size_bytes = 0
        self.applied = self.rejected = 0
        self.rejections: list[dict[str, Any]] = []

    def take(self, number: int, line: bytes) -> None:
        """Parses one line."""
        if not line.strip():
            return
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ApiError(422, "line_too_long", f"a line may have {MAX_LINE_BYTES} bytes; shorten its attributes")
            try:
                item = _LINE.validate_json(line)
            except ValidationError as error:
                refusal = invalid_body(error)
                if refusal.code == "invalid_json":
                    raise ApiError(422, refusal.code, _NO_JSON) from None
                raise refusal from None
            record = record_of(self._engine, item.item_id, item)
        except ApiError as error:
            self.rejected += 1
            if len(self.rejections) < MAX_REJECTIONS:
                self.rejections.append({"line": number, "code": error.code, "detail": error.detail})
            return
        data = item_record(record)
        self.waiting.append((item.item_id, data))
        self._size_bytes += len(data)

    @property
    def is_full(self) -> bool:
        """Whether one call to Redis should not take more."""
        return len(self.waiting) >= CHUNK or self._size_bytes >= PAGE_BYTES

    async def write(self) -> None:
        """Stores what is waiting and serves from it."""
        if not self.waiting:
            return
        for pause_s in _PAUSES_S:
            try:
                change = await self._engine.items.put(self.waiting)
                await self._engine.catch_up(change, patient=True)
                break
            except StoreUnavailable as error:
                kind = error.kind
            # A write may be repeated, and the client has come far: a moment's weakness must not send it back.
            await asyncio.sleep(pause_s)
        else:
            detail = (
                f"the store did not confirm a write ({kind}) after {self.applied} items were applied; "
                "send everything again, which is harmless"
            )
            raise ApiError(503, "store_unavailable", detail, {"Retry-After": "1"})
        self.applied += len(self.waiting)
        self.waiting, self._size_bytes = [], 0


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields lines without their ends; one that is too long is cut, so that it cannot fill the memory."""
    rest, skipping = b"", False
    async for piece in body:
        *complete, rest = (rest + piece).split(b"\n")
        for line in complete:
            if not skipping:
                yield line
            skipping = False
        if len(rest) > MAX_LINE_BYTES + 1:
            if not skipping:
                yield rest[: MAX_LINE_BYTES + 1]
            rest, skipping = b"", True
    if rest and not skipping:
        yield rest
