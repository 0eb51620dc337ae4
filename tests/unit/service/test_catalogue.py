"""The live catalogue: what is on offer when, growth, items that leave and come back, numbers that contradict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import item_rows
from service.catalogue import LiveCatalogue, RenumberedError, item_record
from tests.service_checkpoint import N_ITEMS, synthetic_checkpoint

CHECKPOINT = synthetic_checkpoint()
TIMES = st.none() | st.integers(0, 20).map(float)
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.none() | st.fixed_dictionaries({"available": st.booleans(), "published_at": TIMES, "expires_at": TIMES}),
        st.integers(0, 20),
    ),
    max_size=30,
)


def record(number: int, fields: dict[str, Any] | None) -> tuple[int, bytes]:
    if fields is None:
        return number, item_record({"item_id": str(number), "deleted": True})
    return number, item_record({"item_id": str(number), "attributes": {}, "available": True, **fields})  # type: ignore[typeddict-item]


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_on_offer_at_any_time_between_any_changes_is_what_the_records_say(
    changes: list[tuple[int, dict[str, Any] | None, int]],
) -> None:
    catalogue = LiveCatalogue(CHECKPOINT, [])
    held: dict[int, dict[str, Any]] = {}
    for turn, (number, fields, now) in enumerate(changes):
        catalogue.apply(turn + 1, [record(number, fields)])
        held.pop(number, None)
        if fields is not None:
            held[number] = fields
        # Asked twice, and of times that go back as well: the second answer may come from the first.
        for moment in (now, now + 1, now):
            expected = {
                each
                for each, own in held.items()
                if own["available"]
                and (own["published_at"] is None or own["published_at"] <= moment)
                and (own["expires_at"] is None or moment < own["expires_at"])
            }
            assert set(np.flatnonzero(catalogue.on_offer(moment)).tolist()) == expected
        assert np.flatnonzero(catalogue.available).tolist() == sorted(n for n, own in held.items() if own["available"])
        assert catalogue.following(-1).tolist() == sorted(held)
        assert catalogue.known(np.arange(9)).tolist() == [each in held for each in range(9)]


def test_catalogue_that_outgrows_its_rows_keeps_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        (number, item_record({"item_id": f"n{number}", "attributes": {"year": 1950 + number % 70}, "available": True}))
        for number in range(N_ITEMS, 1000)
    ]
    roomy = LiveCatalogue(CHECKPOINT, range(N_ITEMS))
    monkeypatch.setattr(item_rows, "_RESERVED", 1)
    tight = LiveCatalogue(CHECKPOINT, range(N_ITEMS))
    for catalogue in (roomy, tight):
        for at in range(0, len(records), 37):
            catalogue.apply(at + 1, records[at : at + 37])
    for name in ("features", "lengths", "popularity", "available"):
        assert np.array_equal(getattr(roomy, name), getattr(tight, name))
    assert np.array_equal(tight.features[:N_ITEMS], CHECKPOINT.features)
    assert np.array_equal(roomy.select("year > 1960"), tight.select("year > 1960"))
    assert np.array_equal(roomy.on_offer(0.0), tight.on_offer(0.0))
    assert roomy.size_bytes["rows"] == tight.size_bytes["rows"]


def test_item_of_the_checkpoint_that_comes_back_has_what_was_trained_for_it() -> None:
    catalogue = LiveCatalogue(CHECKPOINT, range(N_ITEMS))
    gone = item_record({"item_id": "item5", "deleted": True})
    catalogue.apply(1, [(5, gone)])
    assert (catalogue.number("item5"), catalogue.knows(5), catalogue.available[5]) == (None, False, False)
    back = item_record({"item_id": "item5", "attributes": {"genres": ["horror"]}, "available": True})
    catalogue.apply(2, [(5, back)])
    assert catalogue.number("item5") == 5
    assert np.array_equal(catalogue.features[5], CHECKPOINT.features[5])
    assert catalogue.attributes(5) == {"genres": ["horror"]}


def test_item_stored_with_another_type_than_the_checkpoints_is_an_average_one_among_the_others() -> None:
    catalogue = LiveCatalogue(CHECKPOINT, [])
    rows = [{"genres": ["drama"]}, {"genres": "drama"}, {"colour": "red"}]
    catalogue.apply(
        1, [(n, item_record({"item_id": str(n), "attributes": row, "available": True})) for n, row in enumerate(rows)]
    )
    for number, known in enumerate([{"genres": ["drama"]}, {}, {}]):
        assert np.array_equal(catalogue.features[number], CHECKPOINT.encode_item(known)[0])


@pytest.mark.parametrize(("number", "item_id"), [(5, "item6"), (5, "new"), (N_ITEMS + 3, "item5")])
def test_record_under_a_number_that_another_item_has_is_refused_and_changes_nothing(number: int, item_id: str) -> None:
    catalogue = LiveCatalogue(CHECKPOINT, range(N_ITEMS))
    good = item_record({"item_id": "item1", "attributes": {"year": 2000}, "available": False})
    bad = item_record({"item_id": item_id, "attributes": {}, "available": True})
    with pytest.raises(RenumberedError):
        catalogue.apply(9, [(1, good), (number, bad)])
    assert (catalogue.changes, catalogue.available.sum(), catalogue.item_id(5)) == (0, N_ITEMS, "item5")


def test_catalogues_share_the_checkpoints_rows_until_one_has_an_item_of_its_own() -> None:
    checkpoint = synthetic_checkpoint(seed=3)
    features, popularity = checkpoint.features.copy(), checkpoint.popularity.copy()
    one, two, moved = (
        LiveCatalogue(checkpoint, numbers) for numbers in (range(N_ITEMS), range(N_ITEMS), range(5, N_ITEMS + 5))
    )
    assert np.shares_memory(one.features, two.features)
    assert not np.shares_memory(one.features, moved.features)
    assert np.array_equal(one.features, moved.features[5:])
    assert np.array_equal(one.lengths, moved.lengths[5:])
    own: Any = {"item_id": "own", "attributes": {"genres": ["drama"]}, "available": True}
    one.apply(1, [(N_ITEMS, item_record(own))])
    one.apply(2, [record_of(one, 3, {"year": 2001})])
    assert not np.shares_memory(one.features, two.features)
    assert np.any(one.features[N_ITEMS])
    assert np.array_equal(one.features[:N_ITEMS], features)
    assert len(two.features) == N_ITEMS
    for catalogue in (two, moved):
        catalogue.apply(1, [record_of(catalogue, 7, None)])
    assert np.array_equal(checkpoint.features, features)
    assert np.array_equal(checkpoint.popularity, popularity)
    assert np.shares_memory(two.features, checkpoint.features)


def record_of(catalogue: LiveCatalogue, number: int, attributes: dict[str, Any] | None) -> tuple[int, bytes]:
    item_id = catalogue.item_id(number)
    if attributes is None:
        return number, item_record({"item_id": item_id, "deleted": True})
    return number, item_record({"item_id": item_id, "attributes": attributes, "available": True})
