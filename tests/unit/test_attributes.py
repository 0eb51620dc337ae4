"""Attribute vectors."""

from __future__ import annotations

import pytest

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.errors import DataError, UnknownAttributeError

ROWS = [{"genres": ["a", "c"], "sex": "F", "age": float(i), "title": f"title {i}"} for i in range(70)]


def test_encode_literal_attributes_sets_the_expected_entries() -> None:
    encoder = AttributeEncoder.fit([*ROWS, {"genres": ["b"], "sex": "M"}])
    # Order is by name: age (7 buckets), genres (a, b, c), sex (F, M), title (text, no entries).
    assert encoder.names == ["age", "genres", "sex", "title"]
    assert encoder.width == 12
    vector = encoder.encode({"genres": ["c", "b", "unheard of"], "sex": "M", "age": 69, "title": "any"})
    assert vector.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 1]
    assert encoder.encode({}).tolist() == [0] * 12


def test_encode_unknown_name_is_an_error() -> None:
    with pytest.raises(UnknownAttributeError, match="unknown attribute shoe"):
        AttributeEncoder.fit(ROWS).encode({"shoe": 1})


@pytest.mark.parametrize("bad", [{"age": "old"}, {"age": float("nan")}, {"age": True}, {"genres": "a"}, {"sex": 1}])
def test_encode_wrong_type_names_the_attribute(bad: dict[str, object]) -> None:
    with pytest.raises(DataError, match=f"attribute {next(iter(bad))} must be"):
        AttributeEncoder.fit(ROWS).encode(bad)


def test_fit_mixed_kinds_is_an_error() -> None:
    with pytest.raises(DataError, match="attribute x mixes kinds"):
        AttributeEncoder.fit([{"x": 1.0}, {"x": "one"}])


def test_encoder_round_trips_through_json() -> None:
    encoder = AttributeEncoder.fit(ROWS)
    assert AttributeEncoder.model_validate_json(encoder.model_dump_json()) == encoder
