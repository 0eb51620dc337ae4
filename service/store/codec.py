"""The binary form of a user's state and of an impression: fixed layouts, with version and checksum.

    state:  header | attributes (JSON) | transitions | slates | seen items | their event types | weights
    header: magic 2, codec 1, flags 1, nonce 8 | crc32 4 | policy version 8, life 8, times 2 x 4, lengths 5 x 4

The nonce is drawn anew by every write, so "nothing happened in between" is one comparison of the first twelve bytes,
also across a deletion and a new life. The checksum covers everything but itself.
"""

from __future__ import annotations

import json
import secrets
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from service.settings import EventType

__all__ = [
    "EVENT_TYPES",
    "HEAD_BYTES",
    "LIFE_AT",
    "Impression",
    "Slate",
    "StateError",
    "UserState",
    "decode_impression",
    "decode_state",
    "encode_impression",
    "encode_state",
    "head_of",
    "type_bits",
    "types_of",
]

MAGIC: Final = b"MR"
CODEC: Final = 2
_WITHOUT_TYPES: Final = 1
"""The codec before event types of seen items; it is still read."""
FLAG_TOMBSTONE: Final = 1
FLAG_WEIGHTS: Final = 2
FLAG_MERGED: Final = 4
"""Of a tombstone: 16 bytes stand before the weights, `UserState.merged_into`."""
HEAD_BYTES: Final = 12
"""Length of the part that compare-and-set compares: magic, codec, flags, nonce."""
LIFE_AT: Final = HEAD_BYTES + 4 + 8
"""Where a state's life begins: a script compares it."""

_HEAD = struct.Struct("<2sBB8s")
_BODY = struct.Struct("<8s8sIIIIIII")
_SLATE = struct.Struct("<8sIBx")
_IMPRESSION = struct.Struct("<2sBB8s16sIIB")

TRANSITION: Final = np.dtype(
    [
        ("event", "V16"),
        ("item", "<u4"),
        ("reward", "<f4"),
        ("log_propensity", "<f4"),
        ("time", "<u4"),
        ("slate", "V8"),
        ("position", "u1"),
        ("flags", "u1"),
    ]
)
USABLE: Final = 1
"""Transition flag: sampled over the whole catalogue, so a ratio against its propensity may be formed."""

SETTLED: Final = 2
"""Transition flag: shown, and nothing came within the reward window."""

NO_SLATE: Final = b"\0" * 8


EVENT_TYPES: Final = get_args(EventType)
"""By the number of their bit: a new type goes to the end of `EventType`."""
ALL_TYPES: Final = 2 ** len(EVENT_TYPES) - 1


def type_bits(types: Collection[str]) -> int:
    """Returns the bits of some event types."""
    return sum(1 << EVENT_TYPES.index(each) for each in set(types))


class StateError(Exception):
    """Bytes that are no state of this codec; `cause` is one of truncated, foreign, codec, checksum."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"user state cannot be read: {cause}")


@dataclass(frozen=True, slots=True)
class Slate:
    """What a transition's ratio needs of its impression.

    Attributes:
        seen: number of items the user had seen when the slate was drawn; counts from the user's first.
        items: item numbers in the order shown.
    """

    seen: int
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UserState:
    """Everything held of one user.

    Attributes:
        nonce: 8 bytes; which write this is. b"" for a user without a state.
        life: 8 bytes, drawn anew by a deletion and kept by every write after it; zeros for a user never deleted.
        tombstone: whether this only marks a deletion.
        merged_into: of a tombstone that a merge left, 16 bytes that stand for the merge; b"" of any other.
        version: policy version, 16 hex digits, that `weights` belong to.
        created: seconds since 1970.
        updated: seconds since 1970 of the last transition; 0 without one.
        attributes: user attributes.
        transitions: [T] of `TRANSITION`, oldest first.
        slates: by the first 8 bytes of the recommendation id's digest.
        seen: [S] uint32, item numbers in the order they were first seen.
        seen_types: [S] uint16, bit i for events of type `EVENT_TYPES[i]`; a new state with seen items needs as many.
        seen_dropped: how many older seen items have left the list.
        weights: [D] float32, or None where they must be derived.
    """

    nonce: bytes = b""
    life: bytes = b"\0" * 8
    tombstone: bool = False
    merged_into: bytes = b""
    version: str = ""
    created: int = 0
    updated: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    transitions: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, TRANSITION))
    slates: Mapping[bytes, Slate] = field(default_factory=dict)
    seen: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    seen_types: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    seen_dropped: int = 0
    weights: NDArray[np.float32] | None = None

    def seen_by(self, types: Collection[str]) -> NDArray[np.uint32]:
        """Returns the numbers of the items that the user has given feedback on by events of some types."""
        found: NDArray[np.uint32] = self.seen[self.seen_types & type_bits(types) != 0]
        return found


@dataclass(frozen=True, slots=True)
class Impression:
    """One served slate, as feedback needs it.

    Attributes:
        life: 8 bytes, the user's life when it was served; feedback from before a deletion is refused by it.
        request: digest of the request, 16 bytes; a repeated recommendation id must ask the same again.
        seen: number of items the user had seen, as in `Slate`.
        usable: whether ratios may be formed.
        active: whether it counts as shown; a prefetched slate waits for its activation.
        expires: seconds since 1970.
        items: item numbers.
        log_propensities: nats.
        body: the answer as it was sent, for replay.
    """

    life: bytes
    request: bytes
    seen: int
    usable: bool
    expires: int
    items: tuple[int, ...]
    log_propensities: tuple[float, ...]
    body: bytes
    active: bool = True


def encode_state(state: UserState) -> bytes:
    """Returns the state's bytes under a fresh nonce."""
    flags = (FLAG_TOMBSTONE if state.tombstone else 0) | (FLAG_WEIGHTS if state.weights is not None else 0)
    # A new life is no merged one any more.
    merged_into = state.merged_into if state.tombstone else b""
    flags |= FLAG_MERGED if merged_into else 0
    attributes = (
        json.dumps(dict(state.attributes), sort_keys=True, ensure_ascii=False).encode() if state.attributes else b""
    )
    slates = b"".join(
        _SLATE.pack(key, slate.seen, len(slate.items)) + np.array(slate.items, "<u4").tobytes()
        for key, slate in state.slates.items()
    )
    weights = b"" if state.weights is None else state.weights.astype("<f4").tobytes()
    body = b"".join(
        [
            _BODY.pack(
                bytes.fromhex(state.version.rjust(16, "0")),
                state.life,
                state.created,
                state.updated,
                state.seen_dropped,
                len(attributes),
                len(state.transitions),
                len(slates),
                len(state.seen),
            ),
            attributes,
            state.transitions.tobytes(),
            slates,
            state.seen.astype("<u4").tobytes(),
            types_of(state).astype("<u2").tobytes(),
            merged_into,
            weights,
        ]
    )
    head = _HEAD.pack(MAGIC, CODEC, flags, secrets.token_bytes(8))
    return head + _checksum(head, body) + body


def types_of(state: UserState) -> NDArray[np.uint16]:
    """Returns the event types of the seen items; items without are as if seen through every type."""
    if len(state.seen_types) == len(state.seen):
        return state.seen_types
    return np.full(len(state.seen), ALL_TYPES, np.uint16)


def _checksum(head: bytes, body: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(body, zlib.crc32(head)))


def decode_state(data: bytes) -> UserState:
    """Returns the state that `encode_state` wrote.

    Raises:
        StateError: the bytes are truncated, foreign, of another codec, or damaged.
    """
    if len(data) < HEAD_BYTES + 4 + _BODY.size:
        raise StateError("truncated")
    magic, codec, flags, nonce = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise StateError("foreign")
    if codec not in (CODEC, _WITHOUT_TYPES):
        raise StateError("codec")
    body = data[HEAD_BYTES + 4 :]
    if _checksum(data[:HEAD_BYTES], body) != data[HEAD_BYTES : HEAD_BYTES + 4]:
        raise StateError("checksum")
    # Lengths and JSON need no checks of their own: the checksum says that this codec wrote them.
    version, life, created, updated, dropped, n_attributes, n_transitions, n_slates, n_seen = _BODY.unpack_from(body)
    at = _BODY.size
    attributes = json.loads(body[at : at + n_attributes]) if n_attributes else {}
    at += n_attributes
    transitions = np.frombuffer(body, TRANSITION, n_transitions, at)
    at += transitions.nbytes
    slates = _decode_slates(body[at : at + n_slates])
    at += n_slates
    seen = np.frombuffer(body, "<u4", n_seen, at)
    at += seen.nbytes
    types = np.full(n_seen, ALL_TYPES, "<u2") if codec == _WITHOUT_TYPES else np.frombuffer(body, "<u2", n_seen, at)
    at += 0 if codec == _WITHOUT_TYPES else types.nbytes
    merged_into = body[at : at + 16] if flags & FLAG_MERGED else b""
    at += len(merged_into)
    # Copied: to numba a read-only array is another type, and the first such user would wait for a compilation.
    weights = np.frombuffer(body, "<f4", -1, at).copy() if flags & FLAG_WEIGHTS else None
    return UserState(
        nonce=nonce,
        life=life,
        tombstone=bool(flags & FLAG_TOMBSTONE),
        merged_into=merged_into,
        version=version.hex(),
        created=created,
        updated=updated,
        attributes=attributes,
        transitions=transitions,
        slates=slates,
        seen=seen,
        seen_types=types,
        seen_dropped=dropped,
        weights=weights,
    )


def _decode_slates(data: bytes) -> dict[bytes, Slate]:
    slates, at = {}, 0
    while at < len(data):
        key, seen, length = _SLATE.unpack_from(data, at)
        at += _SLATE.size
        slates[key] = Slate(seen, tuple(np.frombuffer(data, "<u4", length, at).tolist()))
        at += 4 * length
    return slates


def encode_impression(impression: Impression) -> bytes:
    """Returns the impression's bytes."""
    head = _IMPRESSION.pack(
        MAGIC, CODEC, impression.usable | (not impression.active) << 1, impression.life, impression.request,
        impression.seen, impression.expires, len(impression.items),
    )  # fmt: skip
    items = np.array(impression.items, "<u4").tobytes()
    body = items + np.array(impression.log_propensities, "<f4").tobytes() + impression.body
    return head + _checksum(head, body) + body


def decode_impression(data: bytes) -> Impression:
    """Returns the impression that `encode_impression` wrote.

    Raises:
        StateError: the bytes are something else.
    """
    if len(data) < _IMPRESSION.size + 4:
        raise StateError("truncated")
    magic, codec, flags, life, request, seen, expires, length = _IMPRESSION.unpack_from(data)
    if magic != MAGIC:
        raise StateError("foreign")
    if codec not in (CODEC, _WITHOUT_TYPES):
        raise StateError("codec")
    at = _IMPRESSION.size + 4
    if _checksum(data[: _IMPRESSION.size], data[at:]) != data[_IMPRESSION.size : at]:
        raise StateError("checksum")
    return Impression(
        life=life,
        request=request,
        seen=seen,
        usable=bool(flags & 1),
        active=not flags & 2,
        expires=expires,
        items=tuple(np.frombuffer(data, "<u4", length, at).tolist()),
        log_propensities=tuple(np.frombuffer(data, "<f4", length, at + 4 * length).tolist()),
        body=data[at + 8 * length :],
    )


def head_of(data: bytes | None) -> bytes:
    """Returns the part of stored bytes that a compare-and-set compares; b"" where nothing is stored."""
    return b"" if data is None else data[:HEAD_BYTES]
