"""The record of applied event ids: what it finds, and what leaves its window."""

from __future__ import annotations

from service.store.events import EventLog
from service.store.keys import digest


def filled(count: int, *, start: int = 1000, window_s: int = 60, window_size: int = 64) -> EventLog:
    log = EventLog.decode(None)
    for i in range(count):
        log.add(digest(f"e{i}"), b"same", start + i, window_s=window_s, window_size=window_size)
    return log


def test_find_tells_new_same_and_other_content_apart() -> None:
    log = filled(3)
    assert log.find(digest("e1"), b"same") == "same"
    assert log.find(digest("e1"), b"diff") == "other"
    assert log.find(digest("e9"), b"same") == "new"


def test_encode_decode_keeps_every_entry_in_32_bytes() -> None:
    log = filled(5)
    assert len(log.encode()) == 8 + 5 * 32
    assert EventLog.decode(log.encode()).encode() == log.encode()
    assert EventLog.decode(log.encode()).find(digest("e4"), b"same") == "same"


def test_add_beyond_the_size_forgets_the_oldest() -> None:
    log = filled(70, window_s=10_000)
    assert len(log) == 64
    assert log.find(digest("e5"), b"same") == "new"
    assert log.find(digest("e6"), b"same") == "same"


def test_add_forgets_what_is_older_than_the_window() -> None:
    log = filled(3)
    log.add(digest("late"), b"same", 1061, window_s=60, window_size=64)
    assert log.find(digest("e0"), b"same") == "new"
    assert log.find(digest("e1"), b"same") == "new"
    assert log.find(digest("e2"), b"same") == "same"


def test_add_window_near_the_end_of_32_bits_does_not_wrap() -> None:
    log = EventLog.decode(None)
    log.add(digest("a"), b"same", 2**32 - 10, window_s=60, window_size=64)
    log.add(digest("b"), b"same", 2**32 - 9, window_s=60, window_size=64)
    assert log.find(digest("a"), b"same") == "same"


def test_decode_of_a_cut_record_keeps_whole_entries() -> None:
    log = filled(3)
    assert len(EventLog.decode(log.encode()[:-1])) == 2


def test_find_of_an_event_not_newer_than_the_forgotten_ones_is_late() -> None:
    log = EventLog.decode(None)
    for i in range(66):
        log.add(digest(f"e{i}"), b"same", 5000, window_s=60, window_size=64, stamp=1000.5 + i)
    log = EventLog.decode(log.encode())
    assert log.find(digest("e0"), b"same", 1000.5) == "late"
    assert log.find(digest("e1"), b"same", 1001.5) == "late"
    assert log.find(digest("e2"), b"same", 1002.5) == "same"
    assert log.find(digest("fresh"), b"same", 1001.6) == "new"
    assert log.find(digest("without a time stamp"), b"same") == "new"
