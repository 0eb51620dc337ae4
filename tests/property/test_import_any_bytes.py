"""No bytes in a file of interactions or attributes can do more than be reported."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_rec.dataset_store import load, save
from metarl_rec.errors import DataError
from metarl_rec.importing import import_interactions

_cells = st.one_of(
    st.sampled_from([b"1", b"a", b"5", b"4.5", b"nan", b"", b'"', b'"x\n', b"\xff", b"\x00", b"a|b", b"{}", b"1e999"]),
    st.binary(max_size=6),
)
_lines = st.lists(st.lists(_cells, max_size=5).map(b",".join), max_size=8).map(b"\n".join)
_json = st.recursive(
    st.sampled_from([b"1", b'"a"', b"null", b"true", b"NaN", b"-Infinity", b'"\\ud800"', b"1e400", b'"|"', b'" "']),
    lambda inner: st.lists(inner, max_size=2).map(lambda parts: b"[" + b",".join(parts) + b"]"),
    max_leaves=3,
)
_objects = st.lists(
    st.dictionaries(st.sampled_from([b"user_id", b"item_id", b"rating", b"timestamp", b"x"]), _json).map(
        lambda row: b"{" + b",".join(b'"' + key + b'":' + value for key, value in row.items()) + b"}"
    ),
    max_size=6,
).map(b"\n".join)
_SUFFIXES = {".csv": b"user_id,item_id,rating,x\n1,a,5,z\n", ".jsonl": b'{"user_id":1,"item_id":"a","rating":5}\n'}


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(_SUFFIXES)), st.one_of(_lines, _objects, st.binary(max_size=60)), st.data())
def test_import_any_bytes_after_one_good_row_give_a_data_set_that_can_be_stored(
    suffix: str, content: bytes, more: st.DataObject
) -> None:
    table = more.draw(st.one_of(_lines, _objects))
    with tempfile.TemporaryDirectory() as folder:
        source, attributes = Path(folder, "x" + suffix), Path(folder, "y" + suffix)
        source.write_bytes(_SUFFIXES[suffix] + content)
        attributes.write_bytes(_SUFFIXES[suffix] + table)
        try:
            data, report = import_interactions(source, items=attributes, users=attributes)
        except DataError as error:
            # A later row for the same pair may have a time, which the first row lacks; nothing else can lose it.
            assert "can be used" in str(error)  # noqa: PT017
            return
        assert report.accepted == len(data.rating) >= 1
        save(data, Path(folder, "stored"))
        assert load(Path(folder, "stored")).digest == data.digest
