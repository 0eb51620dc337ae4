"""The binary file of `gorse-cli dump`: protocol buffers, each after its length; records as its JSON Lines have them.

A length of -1, -2 or -3 says that users, items or feedback follow; 0 is the end. All numbers are little-endian int64.

Reference: Gorse 0.5, master/rest.go (dump) and protocol/protocol.proto (User, Item, Feedback), Apache-2.0.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from metarl_rec.reading import Meter
from metarl_rec.records import Row

__all__ = ["dump_records", "is_dump"]

_USERS = struct.pack("<q", -1)
_MAX_RECORD_BYTES = 64 * 1024 * 1024
_ZERO_TIME_S = -62_135_596_800
_FIELDS: dict[int, dict[int, tuple[str, str]]] = {
    -1: {1: ("UserId", "text"), 2: ("Labels", "json"), 3: ("Comment", "text"), 4: ("Subscribe", "texts")},
    -2: {
        2: ("ItemId", "text"),
        3: ("IsHidden", "flag"),
        4: ("Categories", "texts"),
        5: ("Timestamp", "time"),
        6: ("Labels", "json"),
        7: ("Comment", "text"),
    },
    -3: {
        2: ("FeedbackType", "text"),
        3: ("UserId", "text"),
        4: ("ItemId", "text"),
        5: ("Value", "number"),
        6: ("Timestamp", "time"),
    },
}
_IDS = {-1: ("UserId",), -2: ("ItemId",), -3: ("FeedbackType", "UserId", "ItemId")}


def is_dump(path: Path) -> bool:
    """Returns whether a file begins as a dump does."""
    try:
        with path.open("rb") as file:
            return file.read(8) == _USERS
    except OSError:
        return False


def dump_records(path: Path, meter: Meter) -> Iterator[tuple[int, Row]]:
    """Yields records by their number from 1; where the file is damaged, what is wrong, and then nothing more.

    Raises:
        DataError: the file cannot be read.
    """
    with meter.open(path) as file:
        number, kind = 0, 0
        while head := file.read(8):
            size = struct.unpack("<q", head)[0] if len(head) == 8 else None
            if size in _FIELDS:
                kind = size
                continue
            if size == 0:
                return
            number += 1
            meter.tick()
            body = None if size is None else _body(file, size)
            if kind == 0 or body is None:
                yield number, "the dump is damaged from this record on"
                return
            yield number, _record(kind, body)


def _body(file: BinaryIO, size: int) -> bytes | None:
    if not 0 < size <= _MAX_RECORD_BYTES:
        return None
    body = file.read(size)
    return body if len(body) == size else None


def _record(kind: int, body: bytes) -> Row:
    row: dict[str, object] = dict.fromkeys(_IDS[kind], "")
    lists: dict[str, list[object]] = {}
    try:
        for tag, value in _wire(body):
            name, meaning = _FIELDS[kind].get(tag, ("", ""))
            if not name:
                continue
            if meaning == "texts":
                lists.setdefault(name, []).append(_decoded("text", value))
            else:
                row[name] = _decoded(meaning, value)
    except (ValueError, IndexError, RecursionError):
        return "not a record of Gorse's"
    return {**row, **lists}


def _decoded(meaning: str, value: int | bytes) -> object:
    match meaning, value:
        case "text", bytes():
            return value.decode()
        case "json", bytes():
            return json.loads(value) if value else None
        case "flag", int():
            return bool(value)
        case "number", bytes() if len(value) == 8:
            return struct.unpack("<d", value)[0]
        case "time", bytes():
            parts = {tag: part for tag, part in _wire(value) if isinstance(part, int)}
            seconds = parts.get(1, 0) - (1 << 64 if parts.get(1, 0) >> 63 else 0)
            return None if seconds <= _ZERO_TIME_S else seconds + parts.get(2, 0) / 1e9
    raise ValueError("another wire type")


def _wire(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields field number and value of a message: an int for a varint, else bytes.

    Raises:
        ValueError: it is no message.
        IndexError: it ends early.
    """
    at = 0
    while at < len(body):
        key, at = _varint(body, at)
        match key & 7:
            case 0:
                value, at = _varint(body, at)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(body, at)
            case 5:
                size = 4
            case _:
                raise ValueError("an unknown wire type")
        if at + size > len(body):
            raise IndexError("the message ends early")
        yield key >> 3, body[at : at + size]
        at += size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise ValueError("a number of more than 64 bits")
