"""Filter expressions: what they mean equals a plain reading of them, and what cannot be read is told where."""

from __future__ import annotations

import json
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import attribute_column
from service.attribute_index import AttributeIndex
from service.catalogue import LiveCatalogue, item_record
from service.filters import FilterError, parse_filter
from tests.service_checkpoint import synthetic_checkpoint

NAMES, WORDS, NUMBERS = ("a", "b-1", "c `d"), ("x", "y", 'z"\\'), (0.0, 1.5, -3.0)
VALUES = st.one_of(
    st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
)
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)
CHANGES = st.lists(st.tuples(st.integers(0, 9), st.none() | ROWS), min_size=1, max_size=40)


def written(name: str) -> str:
    return f"`{name.replace('`', '``')}`" if " " in name else name


@st.composite
def one_test(draw: st.DrawFn) -> tuple[str, Any]:
    """One test, as text and as a function of an item's attributes."""
    name = draw(st.sampled_from(NAMES))
    kind = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in", "has", "exists"]))
    value = draw(st.sampled_from(NUMBERS) if kind in ("<", "<=", ">", ">=") else st.sampled_from(WORDS + NUMBERS))

    def equal(row: dict[str, Any], wanted: object) -> bool:
        own = row.get(name)
        return wanted in own if isinstance(own, list) else own == wanted and type(own) is type(wanted)

    text = json.dumps(value)
    if kind == "exists":
        return f"exists({written(name)})", lambda row: name in row
    if kind == "has":
        return f"{text} in {written(name)}", lambda row: equal(row, value)
    if kind == "in":
        others = draw(st.lists(st.sampled_from(WORDS + NUMBERS), min_size=1, max_size=3))
        return f"{written(name)} in [{', '.join(map(json.dumps, others))}]", lambda row: any(
            equal(row, o) for o in others
        )
    if kind == "=":
        return f"{written(name)} = {text}", lambda row: equal(row, value)
    if kind == "!=":
        return f"{written(name)} != {text}", lambda row: name in row and not equal(row, value)
    order = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}[kind]
    return f"{written(name)} {kind} {text}", lambda row: isinstance(row.get(name), float) and order(row[name], value)


def joined(parts: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.one_of(
        parts.map(lambda p: (f"not ({p[0]})", lambda row: not p[1](row))),
        st.tuples(parts, parts).map(
            lambda p: (f"({p[0][0]}) and ({p[1][0]})", lambda row: p[0][1](row) and p[1][1](row))
        ),
        st.tuples(parts, parts).map(lambda p: (f"({p[0][0]})or({p[1][0]})", lambda row: p[0][1](row) or p[1][1](row))),
    )


EXPRESSIONS = st.recursive(one_test(), joined, max_leaves=6)


@settings(max_examples=200, deadline=None)
@given(CHANGES, EXPRESSIONS, st.integers(0, 40), st.integers(1, 5))
def test_select_after_any_changes_equals_a_plain_reading(
    changes: list[tuple[int, dict[str, Any] | None]], expression: tuple[str, Any], ask_early: int, batch: int
) -> None:
    text, holds = expression
    catalogue = LiveCatalogue(synthetic_checkpoint(), [])
    rows: dict[int, dict[str, Any]] = {}
    # An attribute that no item has any more may not be asked for: one item keeps them all.
    anchor: dict[str, Any] = dict.fromkeys(NAMES, "anchor")
    for at, (number, row) in enumerate([(10, anchor), *changes]):
        if at == ask_early:
            with suppress(FilterError):
                catalogue.select(text)
        rows.pop(number, None)
        if row is not None:
            rows[number] = row
        if at % batch == 0 or at == len(changes):
            touched = {number for number, _ in [(10, anchor), *changes][: at + 1]}
            records: list[tuple[int, bytes]] = [
                (each, item_record({"item_id": str(each), "attributes": rows[each], "available": True}))
                if each in rows
                else (each, item_record({"item_id": str(each), "deleted": True}))
                for each in sorted(touched)
            ]
            catalogue.apply(at + 1, records)
    found = np.flatnonzero(catalogue.select(text)).tolist()
    assert found == [number for number in sorted(rows) if holds(rows[number])]
    for number, row in rows.items():
        for name in NAMES:
            own = row.get(name, [])
            assert catalogue.values(number, name) == tuple(dict.fromkeys(own if isinstance(own, list) else [own]))


def test_select_attribute_that_only_the_checkpoint_declares_is_nobodys() -> None:
    catalogue = LiveCatalogue(synthetic_checkpoint(), [])
    assert catalogue.select("exists(year)").sum() == 0


def test_select_many_values_at_once_finds_each() -> None:
    catalogue = LiveCatalogue(synthetic_checkpoint(), range(200))
    titles = ", ".join(json.dumps(f"Title {i} (ü)") for i in range(0, 120, 2))
    years = ", ".join(map(str, range(1950, 2020)))
    assert np.flatnonzero(catalogue.select(f"title in [{titles}]")).tolist() == list(range(0, 120, 2))
    assert catalogue.select(f"year in [{years}]").sum() == 200


def test_select_is_remembered_until_something_changes_and_cannot_be_written_to() -> None:
    catalogue = LiveCatalogue(synthetic_checkpoint(), range(200))
    mask = catalogue.select("year > 1960")
    assert catalogue.select("year > 1960") is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = True


def test_catalogue_forgets_the_spelling_of_rare_words_and_still_finds_and_tells_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attribute_column, "_SPELLED", 3)
    catalogue = LiveCatalogue(synthetic_checkpoint(), range(200))
    assert np.flatnonzero(catalogue.select('title = "Title 150 (ü)"')).tolist() == [150]
    assert catalogue.values(150, "title") == ("Title 150 (ü)",)


def test_catalogue_of_more_attributes_than_it_may_have_leaves_the_rest_out_of_filters() -> None:
    catalogue = LiveCatalogue(synthetic_checkpoint(), [])
    many = {f"a{i:03}": i for i in range(300)}
    assert not catalogue.has_room(list(many))
    catalogue.apply(1, [(0, item_record({"item_id": "x", "attributes": many, "available": True}))])
    assert catalogue.select("a255 = 255").sum() == 1
    with pytest.raises(FilterError, match="and 247 more"):
        catalogue.select("a256 = 256")
    assert catalogue.attributes(0) == many


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_items_have_the_same_features_to_the_last_bit_however_they_arrive(batch: int, random: Random) -> None:
    genres = ("action", "comedy", "drama", "horror", "unheard of")
    rows: list[tuple[int, dict[str, Any]]] = [
        (number, {"genres": random.sample(genres, random.randrange(5)), "year": 1900 + random.randrange(130)})
        for number in range(60)
    ]
    records = [
        (number, item_record({"item_id": str(number), "attributes": row, "available": True})) for number, row in rows
    ]
    checkpoint = synthetic_checkpoint(fatigue=(0.1, 0.0, 0.0))
    whole, parts = LiveCatalogue(checkpoint, []), LiveCatalogue(checkpoint, [])
    whole.apply(60, records)
    for at in range(0, 60, batch):
        parts.apply(at + 1, records[at : at + batch])
    assert np.array_equal(whole.features, parts.features)
    assert np.array_equal(whole.popularity, parts.popularity)
    assert whole.topics is not None
    assert parts.topics is not None
    assert np.array_equal(whole.topics, parts.topics)
    row, popularity = checkpoint.encode_item(whole.attributes(7))
    assert np.array_equal(whole.features[7], row)
    assert whole.popularity[7] == np.float32(popularity)


def test_select_by_item_id_needs_no_attribute() -> None:
    catalogue = LiveCatalogue(synthetic_checkpoint(), range(200))
    assert np.flatnonzero(catalogue.select('item_id in ["item3", "item7", "ghost"]')).tolist() == [3, 7]
    assert catalogue.select("exists(item_id)").sum() == 200


def test_select_again_after_a_change_sees_the_change() -> None:
    catalogue = LiveCatalogue(synthetic_checkpoint(), range(200))
    before = catalogue.select('"action" in genres').sum()
    assert catalogue.select('"action" in genres').sum() == before
    record = item_record({"item_id": "item1", "attributes": {"genres": ["action"]}, "available": True})
    catalogue.apply(1, [(1, record)])
    assert catalogue.select('"action" in genres').sum() == before + 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "character 1: an attribute's name is expected"),
        ("year >=", "character 8: a number or text"),
        ("year >= 1990 and", "character 17: an attribute's name"),
        ("year ! 1990", "character 6: a name, a number"),
        ("(year = 1", 'character 10: ")" is expected'),
        ("year = 1 year = 2", 'character 10: "and", "or" or the end'),
        ('year < "a"', "only numbers have an order"),
        ("year = 1e999", "the number is too large"),
        ('year = "\\q"', "an escape that JSON does not know"),
        ("year in []", "a number or text"),
        ("not " * 40 + "year = 1", "nested deeper than 32"),
        ("(" * 40 + "year = 1" + ")" * 40, "nested deeper than 32"),
        (" or ".join(["a=1"] * 201), "more than 200 tests"),
        ("__import__('os')", "character 12"),
        ("year = 1 or " * 170 + "year = 1", "may have 2000 characters"),
        ("ghost = 1", "no item has the attribute at character 1; there are: genres, title, year"),
    ],
)
def test_select_what_cannot_be_read_is_told_where(text: str, told: str) -> None:
    with pytest.raises(FilterError) as caught:
        LiveCatalogue(synthetic_checkpoint(), range(200)).select(text)
    assert told in str(caught.value)
    assert "ghost" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_parse_filter_any_text_is_read_or_refused(text: str) -> None:
    with suppress(FilterError):
        parse_filter(text)


def test_attribute_index_many_changes_keep_its_size_bounded() -> None:
    rows: list[dict[str, Any]] = [{"tags": ["x"]} for _ in range(10)]
    index = AttributeIndex(lambda number: rows[number])
    index.put(range(10), rows)
    before = index.size_bytes
    assert index.one_of("tags", ["x"]).sum() == 10
    for turn in range(5000):
        rows[turn % 10] = {"tags": [f"w{turn % 7}", "x"]}
        index.put([turn % 10], [rows[turn % 10]])
    assert index.size_bytes == before
    assert index.one_of("tags", ["x"]).sum() == 10
    assert np.flatnonzero(index.one_of("tags", ["w3"])).tolist() == [n for n in range(10) if "w3" in rows[n]["tags"]]
    index.put(range(10), [{}] * 10)
    assert (index.names(), index.size_bytes) == ([], 0)
