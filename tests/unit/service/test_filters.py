"""Filter expressions: what they mean equals a plain reading of them, and what cannot be read is told where."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.attribute_index import AttributeIndex
from service.catalogue import LiveCatalogue, item_record
from service.filters import FilterError, parse_filter
from tests.service_checkpoint import synthetic_checkpoint

NAMES, WORDS, NUMBERS = ("a", "b-1", "c d"), ("x", "y", 'z"\\'), (0.0, 1.5, -3.0)
VALUES = st.one_of(
    st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
)
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)
CHANGES = st.lists(st.tuples(st.integers(0, 9), st.none() | ROWS), min_size=1, max_size=40)


def written(name: str) -> str:
    return f"`{name}`" if " " in name else name


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
@given(CHANGES, EXPRESSIONS, st.integers(0, 40))
def test_select_after_any_changes_equals_a_plain_reading(
    changes: list[tuple[int, dict[str, Any] | None]], expression: tuple[str, Any], ask_early: int
) -> None:
    text, holds = expression
    catalogue = LiveCatalogue(synthetic_checkpoint(), [])
    rows: dict[int, dict[str, Any]] = {}
    for at, (number, row) in enumerate(changes):
        if at == ask_early:
            # Columns that exist already must follow the changes, too.
            with suppress(FilterError):
                catalogue.select(text)
        record = {"item_id": str(number), "deleted": True} if row is None else {
            "item_id": str(number), "attributes": row, "available": True,
        }  # fmt: skip
        catalogue.apply(at + 1, [(number, item_record(record))])
        rows.pop(number, None)
        if row is not None:
            rows[number] = row
    if set(catalogue.names()) < set(NAMES):
        # It may ask for an attribute that nothing has by now; that is another test's.
        with suppress(FilterError):
            catalogue.select(text)
        return
    found = np.flatnonzero(catalogue.select(text)).tolist()
    assert found == [number for number in sorted(rows) if holds(rows[number])]


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
        (" or ".join(["year = 1"] * 201), "more than 200 tests"),
        ("__import__('os')", "character 12"),
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
    rows: list[dict[str, Any]] = [{} for _ in range(10)]
    index = AttributeIndex(lambda number: rows[number])
    for number in range(10):
        index.put(number, {}, {"tags": ["x"]})
        rows[number] = {"tags": ["x"]}
    assert index.equal("tags", "x").sum() == 10
    for turn in range(5000):
        after = {"tags": [f"w{turn % 7}", "x"]}
        index.put(turn % 10, rows[turn % 10], after)
        rows[turn % 10] = after
    assert len(index._columns["tags"]._words) <= 2048
    assert index.equal("tags", "x").sum() == 10
    assert np.flatnonzero(index.equal("tags", "w3")).tolist() == [n for n in range(10) if "w3" in rows[n]["tags"]]
