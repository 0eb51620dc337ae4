"""The binary user state: exact round trip, and one typed error for every kind of damage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.store.codec import (
    HEAD_BYTES,
    TRANSITION,
    Impression,
    Slate,
    StateError,
    UserState,
    decode_impression,
    decode_state,
    encode_impression,
    encode_state,
    head_of,
)

u32 = st.integers(0, 2**32 - 1)
floats = st.floats(width=32, allow_nan=False)
attributes = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_categories=("Cs",)))),
    max_size=4,
)
transitions = st.lists(
    st.tuples(st.binary(min_size=16, max_size=16), u32, floats, floats, u32, st.binary(min_size=8, max_size=8),
              st.integers(0, 255), st.integers(0, 1)),
    max_size=6,
).map(lambda rows: np.array(rows, TRANSITION))  # fmt: skip
states = st.builds(
    UserState,
    life=st.binary(min_size=8, max_size=8),
    tombstone=st.booleans(),
    version=st.binary(min_size=8, max_size=8).map(bytes.hex),
    created=u32,
    updated=u32,
    attributes=attributes,
    transitions=transitions,
    slates=st.dictionaries(
        st.binary(min_size=8, max_size=8),
        st.builds(Slate, seen=u32, items=st.lists(u32, max_size=100).map(tuple)),
        max_size=3,
    ),
    seen=hnp.arrays(np.uint32, st.integers(0, 20)),
    seen_dropped=u32,
    weights=st.none() | hnp.arrays(np.float32, st.integers(1, 16), elements=floats),
)
impressions = st.builds(
    Impression,
    life=st.binary(min_size=8, max_size=8),
    request=st.binary(min_size=16, max_size=16),
    seen=u32,
    usable=st.booleans(),
    expires=u32,
    items=st.lists(u32, min_size=3, max_size=3).map(tuple),
    log_propensities=st.lists(floats, min_size=3, max_size=3).map(tuple),
    body=st.binary(max_size=50),
)


@given(states)
def test_state_round_trip_keeps_every_field(state: UserState) -> None:
    data = encode_state(state)
    back = decode_state(data)
    assert back.nonce == data[4:12]
    for name in ("life", "tombstone", "version", "created", "updated", "attributes", "slates", "seen_dropped"):
        assert getattr(back, name) == getattr(state, name)
    assert back.transitions.tobytes() == state.transitions.tobytes()
    assert back.seen.tobytes() == state.seen.tobytes()
    if state.weights is None:
        assert back.weights is None
    else:
        assert back.weights is not None
        assert back.weights.tobytes() == state.weights.tobytes()


@given(states, st.binary(min_size=16, max_size=16))
def test_tombstone_keeps_where_its_user_went_and_a_new_life_does_not(state: UserState, merged_into: bytes) -> None:
    back = decode_state(encode_state(replace(state, merged_into=merged_into)))
    assert back.merged_into == (merged_into if state.tombstone else b"")
    assert (back.weights is None) == (state.weights is None)
    assert state.weights is None or back.weights is None or back.weights.tobytes() == state.weights.tobytes()


def test_two_encodings_of_one_state_differ_in_the_head_that_is_compared() -> None:
    a, b = encode_state(UserState()), encode_state(UserState())
    assert head_of(a) != head_of(b)
    assert len(head_of(a)) == HEAD_BYTES
    assert head_of(None) == b""


@given(states, st.data())
def test_state_with_a_flipped_bit_is_refused(state: UserState, data: st.DataObject) -> None:
    good = encode_state(state)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StateError) as error:
        decode_state(bytes(bad))
    assert error.value.cause in ("truncated", "foreign", "codec", "checksum")


@given(states, st.data())
def test_truncated_state_is_refused(state: UserState, data: st.DataObject) -> None:
    good = encode_state(state)
    with pytest.raises(StateError) as error:
        decode_state(good[: data.draw(st.integers(0, len(good) - 1))])
    assert error.value.cause in ("truncated", "checksum")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_state_or_a_state_error(data: bytes) -> None:
    for content in (data, b"MR\x01\x00" + data):
        with pytest.raises(StateError):
            decode_state(content)


def test_state_of_another_codec_is_named_so() -> None:
    data = bytearray(encode_state(UserState()))
    data[2] = 9
    with pytest.raises(StateError, match="codec"):
        decode_state(bytes(data))
    with pytest.raises(StateError, match="foreign"):
        decode_state(b"PK" + bytes(data[2:]))


@given(impressions)
def test_impression_round_trip_keeps_every_field(impression: Impression) -> None:
    assert decode_impression(encode_impression(impression)) == impression


@given(impressions, st.data())
def test_damaged_impression_is_refused(impression: Impression, data: st.DataObject) -> None:
    good = encode_impression(impression)
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StateError):
        decode_impression(bytes(bad))
    with pytest.raises(StateError):
        decode_impression(good[: data.draw(st.integers(0, len(good) - 1))])
