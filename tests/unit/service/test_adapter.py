"""What the inner loop is told of each transition's candidates, against sets built one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapter import support_of
from service.catalogue import LiveCatalogue, item_record
from service.store.codec import NO_SLATE, TRANSITION, USABLE, Slate, UserState
from tests.service_checkpoint import N_ITEMS, synthetic_checkpoint

CHECKPOINT = synthetic_checkpoint()


@st.composite
def histories(draw: st.DrawFn) -> tuple[LiveCatalogue, UserState]:
    """A catalogue with gaps in its numbers, and a user's history of slates, reactions and organic events on it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    numbers = np.arange(N_ITEMS) * 2
    catalogue = LiveCatalogue(CHECKPOINT, [int(number) for number in numbers])
    # Few items take part, so that slates overlap and items come back.
    pool = numbers[: draw(st.integers(4, 12))]
    seen: list[int] = []
    dropped, max_seen = 0, draw(st.integers(2, 12))
    slates: dict[bytes, Slate] = {}
    rows: list[tuple[object, ...]] = []
    sampled: dict[bytes, bool] = {}
    for step in range(draw(st.integers(0, 12))):
        action = rng.integers(3)
        if action == 0:
            open_ = np.setdiff1d(pool, seen)
            items = rng.permutation(open_)[: rng.integers(0, 5)]
            key = bytes([step + 1]) * 8
            slates[key] = Slate(dropped + len(seen), tuple(items.tolist()))
            sampled[key] = bool(rng.random() < 0.8)
            continue
        key, position, flags = NO_SLATE, 0, 0
        # An organic event may name an item that has no number here any more: odd numbers are unknown.
        item = int(rng.choice(pool)) + int(rng.random() < 0.2)
        shown = [key for key, slate in slates.items() if slate.items]
        if action == 1 and shown:
            key = shown[rng.integers(len(shown))]
            position = int(rng.integers(len(slates[key].items)))
            item, flags = slates[key].items[position], USABLE if sampled[key] else 0
        rows.append((bytes(16), item, rng.random(), -rng.random(), step, key, position, flags))
        if item not in seen:
            seen.append(item)
        while len(seen) > max_seen:
            seen.pop(0)
            dropped += 1
    gone = rng.choice(numbers, rng.integers(0, 60), replace=False)
    taken_off = [int(n) for n in {*gone.tolist(), *rng.choice(pool, rng.integers(0, 3), replace=False).tolist()}]
    catalogue.apply(
        1,
        [(n, item_record({"item_id": catalogue.item_id(n), "attributes": {}, "available": False})) for n in taken_off],
    )
    used = {row[5] for row in rows}
    state = UserState(
        transitions=np.array(rows, TRANSITION),
        slates={key: slate for key, slate in slates.items() if key in used},
        seen=np.array(seen, np.uint32),
        seen_dropped=dropped,
    )
    return catalogue, state


@settings(max_examples=300, deadline=None)
@given(histories())
def test_support_of_any_history_holds_every_transitions_own_candidates(
    history: tuple[LiveCatalogue, UserState],
) -> None:
    catalogue, state = history
    support = support_of(state, catalogue, 0.4)
    rows = [row for row in state.transitions if catalogue.knows(int(row["item"]))]
    assert support.items.tolist() == [int(row["item"]) for row in rows]
    assert support.rewards.tolist() == [float(row["reward"]) for row in rows]
    assert support.log_propensities.tolist() == [float(row["log_propensity"]) for row in rows]
    assert support.weight.tolist() == [np.float32(1.0 if row["slate"].tobytes() != NO_SLATE else 0.4) for row in rows]
    assert not support.continues.any()
    assert len(set(support.touched.tolist())) == len(support.touched)
    assert not support.rest[support.touched].any()
    on_offer = set(np.flatnonzero(catalogue.available).tolist())
    assert set(np.flatnonzero(support.rest).tolist()) <= on_offer - set(state.seen.tolist())
    for j, row in enumerate(rows):
        slate = state.slates.get(row["slate"].tobytes())
        if not row["flags"] & USABLE or slate is None:
            assert not support.usable[j]
            continue
        seen_then = set(state.seen[: max(0, slate.seen - state.seen_dropped)].tolist())
        before = set(slate.items[: row["position"]])
        expected = (on_offer - seen_then - before) | {int(row["item"])}
        found = set(np.flatnonzero(support.rest).tolist()) | set(support.touched[support.allowed[j]].tolist())
        if support.usable[j]:
            assert found == expected
        else:
            # Only an item that was seen before any of the slates were drawn has no place in the support.
            assert int(row["item"]) in seen_then


def test_support_of_a_user_without_transitions_is_empty() -> None:
    catalogue = LiveCatalogue(CHECKPOINT, range(N_ITEMS))
    support = support_of(UserState(seen=np.array([3, 5], np.uint32)), catalogue, 0.4)
    assert len(support.items) == 0
    assert support.rest.sum() == N_ITEMS - 2
