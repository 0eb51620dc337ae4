"""Items from attributes to features: a batch is its rows, and the sparse product is the dense one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.errors import DataError, UnknownAttributeError
from metarl_rec.prior import LinearEncoder
from metarl_rec.topics import TopicEncoder

WORDS = ("a", "b", "c", "unheard of")
ENCODER = AttributeEncoder.fit(
    [{"genres": list("abc"), "kind": "abc"[i % 3], "year": i, "title": f"{i}"} for i in range(70)]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "genres": st.lists(st.sampled_from(WORDS), max_size=4),
            "kind": st.sampled_from(WORDS),
            "year": st.integers(-5, 80) | st.floats(-5, 80),
            "title": st.sampled_from(WORDS),
        },
    ),
    max_size=8,
)


def plainly(row: dict[str, Any]) -> list[float]:
    """The vector of a row by the definition: genres, kind, title (no entry), year's bucket."""
    edges = next(spec.edges for spec in ENCODER.specs if spec.name == "year")
    genres = [float(word in row.get("genres", ())) for word in "abc"]
    kind = [float(word == row.get("kind")) for word in "abc"]
    bucket = sum(edge <= row["year"] for edge in edges) if "year" in row else None
    return genres + kind + [float(place == bucket) for place in range(len(edges) + 1)]


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_encode_all_is_the_definition_row_by_row(rows: list[dict[str, Any]]) -> None:
    vectors = ENCODER.encode_all(rows)
    assert vectors.shape == (len(rows), 13)
    assert vectors.tolist() == [plainly(row) for row in rows]


def test_encode_all_names_the_attribute_of_the_row_at_fault() -> None:
    with pytest.raises(DataError, match="attribute kind must be a string, not a int"):
        ENCODER.encode_all([{"kind": "a"}, {"kind": 3}])
    with pytest.raises(UnknownAttributeError):
        ENCODER.encode_all([{"kind": "a"}, {"shoe": 3}])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 70))
def test_of_sparse_is_the_dense_product_and_minds_no_other_row(seed: int, rows: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    encoder = LinearEncoder(*(rng.normal(size=size).astype(np.float32) for size in (30, (30, dim), dim)))
    inputs = (rng.random((rows, 30)) < 0.2).astype(np.float32)
    found = encoder.of_sparse(inputs)
    np.testing.assert_allclose(found, encoder(inputs), atol=1e-5)
    for row in range(rows):
        assert np.array_equal(found[row], encoder.of_sparse(inputs[row : row + 1])[0])


def test_topic_rows_share_one_among_an_items_topics() -> None:
    topics = TopicEncoder(attribute="genres", words=("a", "b", "c"))
    rows = topics.rows([{"genres": ["a", "c", "a", "other"]}, {"genres": "a"}, {}, {"genres": ["b"]}])
    assert rows.tolist() == [[0.5, 0, 0.5], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert topics.rows([]).shape == (0, 3)
