"""Saving and loading gives any data set back bit for bit; filters and tables agree with plain counting."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_rec.dataset import AttributeValue, Dataset, id_fault, sorted_ids
from metarl_rec.dataset_store import load, save

_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_ids = st.one_of(st.integers(-30, 300).map(str), _texts.filter(lambda each: id_fault(each) is None))
_floats = st.floats(allow_nan=False, allow_infinity=False)
_names = _texts.filter(lambda each: each not in ("user_id", "item_id"))


@st.composite
def _attributes(draw: st.DrawFn, ids: list[str]) -> dict[str, dict[str, AttributeValue]]:
    kinds = draw(
        st.dictionaries(
            _names, st.sampled_from([_texts, _floats, st.lists(_texts, min_size=1, max_size=3)]), max_size=3
        )
    )
    return {each: {name: draw(values) for name, values in kinds.items() if draw(st.booleans())} for each in ids}


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Data sets of up to six users and items with awkward text everywhere."""
    users = draw(st.lists(_ids, min_size=1, max_size=6, unique=True))
    items = draw(st.lists(_ids, min_size=1, max_size=6, unique=True))
    pairs = draw(st.lists(st.tuples(st.sampled_from(users), st.sampled_from(items)), unique=True, max_size=12))
    ratings = draw(st.lists(_floats.filter(lambda r: abs(r) < 3e38), min_size=len(pairs), max_size=len(pairs)))
    times = draw(st.one_of(st.none(), st.lists(_floats, min_size=len(pairs), max_size=len(pairs))))
    return Dataset.from_records(
        draw(st.sampled_from(["a", "ml-100k", "x.y_z"])),
        [user for user, _ in pairs],
        [item for _, item in pairs],
        ratings,
        times,
        draw(_attributes(users)),
        draw(_attributes(items)),
    )


@settings(max_examples=150, deadline=None)
@given(datasets())
def test_load_after_save_gives_the_same_bits(data: Dataset) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save(data, Path(folder))
        back = load(Path(folder))
    assert (back.name, back.user_ids, back.item_ids) == (data.name, data.user_ids, data.item_ids)
    assert back.user_attributes == data.user_attributes
    assert back.item_attributes == data.item_attributes
    for left, right in ((back.user_index, data.user_index), (back.item_index, data.item_index)):
        np.testing.assert_array_equal(left, right)
    assert back.rating.tobytes() == data.rating.tobytes()
    assert (back.timestamp is None) == (data.timestamp is None)
    if back.timestamp is not None and data.timestamp is not None:
        assert back.timestamp.tobytes() == data.timestamp.tobytes()
    assert back.digest == data.digest


@settings(max_examples=100, deadline=None)
@given(datasets(), st.integers(0, 3), st.floats(-5, 5, width=32))
def test_filter_keeps_exactly_the_users_with_enough_positives(data: Dataset, least: int, threshold: float) -> None:
    positives = dict.fromkeys(data.user_ids, 0)
    rated: dict[str, set[str]] = {user: set() for user in data.user_ids}
    for user, item, rating in zip(data.user_index, data.item_index, data.rating, strict=True):
        positives[data.user_ids[user]] += int(rating >= np.float32(threshold))
        rated[data.user_ids[user]].add(data.item_ids[item])
    kept = [user for user in data.user_ids if positives[user] >= least]
    if not kept:
        return
    out = data.filter(min_positives=least, threshold=threshold)
    assert out.user_ids == sorted_ids(kept)
    assert set(out.item_ids) == set().union(*(rated[user] for user in kept))
    assert out.reward_table(threshold).sum() == sum(positives[user] for user in kept)
    assert out.rated_table().sum() == len(out.rating)
