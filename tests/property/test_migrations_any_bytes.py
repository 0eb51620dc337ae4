"""No bytes in another product's export can do more than be reported; what is imported can be stored."""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_rec.dataset_store import load, save
from metarl_rec.errors import DataError
from metarl_rec.importing import import_interactions
from metarl_rec.migrations.registry import MigrationFormat, detected_migration

_names = st.sampled_from(
    [
        "FeedbackType", "UserId", "ItemId", "Value", "Timestamp", "Labels", "Comment", "Categories", "IsHidden",
        "event", "id", "timestamp", "item", "user", "session", "type", "items", "fields", "name", "value", "item_id",
    ]
)  # fmt: skip
_leaves = st.one_of(
    st.sampled_from(
        [
            "star",
            "read",
            "item",
            "user",
            "ranking",
            "interaction",
            "click",
            "1599391467000",
            "2024-05-01 10:00:00 +0000",
        ]
    ),
    st.sampled_from([None, True, 1, 2.5, -1e400, 10**400, "\ud800", "\x1b[2J", "", "|", "0001-01-01T00:00:00Z"]),
    st.text(max_size=4),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_objects = st.dictionaries(_names, _values, max_size=7).map(lambda row: json.dumps(row).encode())
_cells = st.sampled_from(
    [b"1", b"5", b"4.5", b"x", b"", b"nan", b"1e999", b"\xff", b'"', b"964982703", b"A|B", b"(1995)"]
)
_rows = st.one_of(
    st.lists(_cells, max_size=5).map(b",".join), st.lists(_cells, max_size=5).map(b"::".join), st.binary(max_size=12)
)
_frames = st.lists(
    st.one_of(
        st.sampled_from([-1, -2, -3, 0, 5, 2**40]).map(lambda size: struct.pack("<q", size)),
        st.binary(max_size=24).map(lambda body: struct.pack("<q", len(body)) + body),
    ),
    max_size=6,
).map(b"".join)

GOOD: dict[MigrationFormat, dict[str, bytes]] = {
    "gorse": {"feedback.jsonl": b'{"FeedbackType":"star","UserId":"a","ItemId":"x"}\n'},
    "metarank": {"e.jsonl": b'{"event":"interaction","timestamp":"1","user":"a","item":"x","type":"click"}\n'},
    "movielens": {
        "ratings.csv": b"userId,movieId,rating,timestamp\n1,1,4.0,5\n",
        "movies.csv": b"movieId,title,genres\n",
    },
}
DAT = {"ratings.dat": b"1::1::5::9\n", "movies.dat": b"1::Heat (1995)::Action\n", "users.dat": b"1::F::1::10::48067\n"}


def _imported(folder: Path, source: Path, kind: MigrationFormat) -> None:
    try:
        data, report = import_interactions(source, format=kind)
    except DataError as error:
        assert "can be used" in str(error) or "header" in str(error)  # noqa: PT017
        return
    assert report.accepted == len(data.rating) >= 1
    assert json.loads(report.to_json())["accepted"] == report.accepted
    save(data, folder / "stored")
    assert load(folder / "stored").digest == data.digest


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.lists(st.one_of(_objects, _rows), max_size=6).map(b"\n".join), st.booleans())
def test_migration_any_lines_after_good_ones_are_imported_or_reported(
    kind: MigrationFormat, content: bytes, older: bool
) -> None:
    files = DAT if kind == "movielens" and older else GOOD[kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "export")
        folder.mkdir()
        for file, start in files.items():
            (folder / file).write_bytes(start + content)
        assert detected_migration(folder) == kind
        _imported(Path(name), folder, kind)


@settings(max_examples=150, deadline=None)
@given(_frames | st.binary(max_size=80))
def test_migration_any_bytes_of_a_dump_are_imported_or_reported(frames: bytes) -> None:
    star = b"\x12\x04star\x1a\x01a\x22\x01x"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "backup.bin")
        path.write_bytes(struct.pack("<qqq", -1, -3, len(star)) + star + frames)
        _imported(Path(name), path, "gorse")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.lists(_objects, max_size=3).map(lambda rows: b"[" + b",".join(rows)))
def test_migration_any_file_at_all_is_a_format_or_none_and_never_a_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for suffix in ("jsonl", "json", "json.gz", "dat", "csv", "bin"):
            path = Path(name, f"x.{suffix}")
            path.write_bytes(content)
            detected_migration(path)
            for kind in GOOD:
                try:
                    import_interactions(path, format=kind)
                except DataError:
                    continue
