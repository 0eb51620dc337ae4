"""Token buckets: never more than the rate and one burst, never less, and what the headers say is true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rate_limit import LocalBuckets
from tests.api.keys import Clock

RATES = st.floats(0.001, 10_000)
BURSTS = st.integers(1, 50)


@given(rate=RATES, burst=BURSTS, pauses=st.lists(st.floats(0, 5), max_size=60))
def test_calls_of_any_stretch_of_time_are_at_most_a_burst_and_the_rate(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    limiter = LocalBuckets(clock)
    admitted = []
    for pause in pauses:
        clock.now += pause
        if limiter.take("a", rate, burst).wait_s == 0:
            admitted.append(clock.now)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - admitted[first]) + 1e-6


@given(rate=RATES, burst=BURSTS, calls=st.integers(1, 100))
def test_call_is_admitted_once_the_told_time_is_over_and_not_before(rate: float, burst: int, calls: int) -> None:
    clock = Clock()
    limiter = LocalBuckets(clock)
    found = [limiter.take("a", rate, burst) for _ in range(calls)]
    assert [allowance.wait_s == 0 for allowance in found] == [number < burst for number in range(calls)]
    if calls > burst:
        clock.now += found[-1].wait_s * 0.999
        assert limiter.take("a", rate, burst).wait_s > 0
        clock.now += found[-1].wait_s * 0.002
        assert limiter.take("a", rate, burst).wait_s == 0


@pytest.mark.parametrize(
    ("rate", "burst", "calls", "expected"),
    [
        (2.0, 3, 1, {"RateLimit-Policy": '"key";q=3;w=2', "RateLimit": '"key";r=2;t=1'}),
        (2.0, 3, 4, {"RateLimit-Policy": '"key";q=3;w=2', "RateLimit": '"key";r=0;t=2', "Retry-After": "1"}),
        (0.1, 1, 2, {"RateLimit-Policy": '"key";q=1;w=10', "RateLimit": '"key";r=0;t=10', "Retry-After": "10"}),
    ],
)
def test_headers_of_a_call_are_literally(rate: float, burst: int, calls: int, expected: dict[str, str]) -> None:
    limiter = LocalBuckets(Clock())
    assert [limiter.take("a", rate, burst) for _ in range(calls)][-1].headers() == expected


def test_names_have_buckets_of_their_own_and_the_longest_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.rate_limit._BUCKETS", 2)
    limiter = LocalBuckets(Clock())
    assert [limiter.take(name, 1, 1).wait_s == 0 for name in "aabbab"] == [True, False, True, False, False, False]
    assert limiter.take("c", 1, 1).wait_s == 0
    assert limiter.take("a", 1, 1).wait_s == 0
