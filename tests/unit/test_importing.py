"""Imports: every format, every way in which a row can be unusable, and attributes of mixed quality."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from metarl_rec.errors import DataError
from metarl_rec.import_rows import Rejection
from metarl_rec.importing import ImportReport, import_interactions
from metarl_rec.records import detected_format


def _write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def told(rejections: list[Rejection]) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in rejections]


def test_import_csv_with_column_map_keeps_file_order(tmp_path: Path) -> None:
    source = _write(tmp_path / "log.csv", "when;who;what;stars\n20;b;x;4\n10;a;y;2.5\n")
    columns = {"user": "who", "item": "what", "rating": "stars", "timestamp": "when"}
    data, report = import_interactions(source, columns=columns)
    assert (data.name, data.user_ids, data.item_ids) == ("log", ("a", "b"), ("x", "y"))
    assert data.user_index.tolist() == [1, 0]
    assert data.rating.tolist() == [4.0, 2.5]
    assert data.timestamp is not None
    assert data.timestamp.tolist() == [20.0, 10.0]
    assert report == ImportReport(accepted=2, superseded=0, rejected=[], rejected_items=[], rejected_users=[])


def test_import_csv_bad_rows_are_named_with_line_and_reason(tmp_path: Path) -> None:
    rows = [
        "user_id,item_id,rating,timestamp",
        "1,a,5,100",
        ",a,5,100",
        "2,  ,5,100",
        "3,a,five,100",
        "4,a,nan,100",
        "5,a,inf,100",
        "6,a,1e39,100",
        "7,a,1_0,100",
        "8,a,,100",
        "9,a",
        "u" * 257 + ",a,5,100",
        "10,a\x07b,5,100",
        '11,"a\nb",5,100',
        "12,a\udcff,5,100",
        "13,a,5,100,extra",
        "14,a,5,yesterday",
        "15,a,5,",
        "16,a,5,inf",
        "17,a,5,2020-01-02T00:00:00Z",
    ]
    data, report = import_interactions(_write(tmp_path / "x.csv", "\n".join(rows) + "\n"))
    assert data.user_ids == ("1", "17")
    assert told(report.rejected) == [
        (3, "user: missing id"),
        (4, "item: missing id"),
        (5, "rating is not a finite number"),
        (6, "rating is not a finite number"),
        (7, "rating is not a finite number"),
        (8, "rating is not a finite number"),
        (9, "rating is not a finite number"),
        (10, "rating is not a finite number"),
        (11, "rating is not a finite number"),
        (12, "user: id of 257 characters, at most 256 are allowed"),
        (13, "item: control character in id"),
        (14, "item: control character in id"),
        (16, "item: id is not valid UTF-8"),
        (17, "5 fields, the header has 4"),
        (18, "timestamp is neither a number nor an ISO 8601 date"),
        (19, "missing timestamp"),
        (20, "timestamp is neither a number nor an ISO 8601 date"),
    ]
    assert data.timestamp is not None
    assert data.timestamp.tolist() == [100.0, 1577923200.0]


def test_import_repeated_pair_keeps_the_latest_and_counts_the_rest(tmp_path: Path) -> None:
    text = "user_id,item_id,rating,timestamp\n1,a,1,30\n1,a,2,40\n1,a,3,20\n1,b,4,10\n1,b,5,10\n"
    data, report = import_interactions(_write(tmp_path / "x.csv", text))
    assert data.rating.tolist() == [2.0, 5.0]
    assert (report.accepted, report.superseded, report.rejected) == (2, 3, [])


def test_import_without_times_keeps_the_last_row(tmp_path: Path) -> None:
    data, report = import_interactions(_write(tmp_path / "x.csv", "user_id,item_id,rating\n1,a,1\n1,a,2\n"))
    assert data.timestamp is None
    assert data.rating.tolist() == [2.0]
    assert report.superseded == 1


def test_import_jsonl_bad_rows_are_named(tmp_path: Path) -> None:
    rows = [
        '{"user_id": 1, "item_id": "a", "rating": 4}',
        "{not json",
        "[1, 2]",
        "",
        '{"user_id": true, "item_id": "a", "rating": 4}',
        '{"user_id": 2.5, "item_id": "a", "rating": 4}',
        '{"user_id": 3.0, "item_id": "a", "rating": "4.5"}',
        '{"user_id": 4, "item_id": ["a"], "rating": 4}',
        '{"user_id": 5, "item_id": "a", "rating": true}',
        '{"user_id": 6, "item_id": "a", "rating": NaN}',
        '{"user_id": "\\ud800", "item_id": "a", "rating": 4}',
        '{"item_id": "a", "rating": 4}',
        '{"user_id": 7, "item_id": "a", "rating": 1' + "0" * 400 + "}",
        "[" * 100_000,
        "1" * 5_000,
    ]
    data, report = import_interactions(_write(tmp_path / "x.jsonl", "\n".join(rows) + "\n"))
    assert data.user_ids == ("1", "3")
    assert told(report.rejected) == [
        (2, "not valid JSON"),
        (3, "not a JSON object"),
        (5, "user: id is neither text nor a whole number"),
        (6, "user: id is neither text nor a whole number"),
        (8, "item: id is neither text nor a whole number"),
        (9, "rating is not a finite number"),
        (10, "rating is not a finite number"),
        (11, "user: id is not valid UTF-8"),
        (12, "user: missing id"),
        (13, "rating is not a finite number"),
        (14, "not valid JSON"),
        (15, "not valid JSON"),
    ]


def test_import_parquet_typed_columns_are_read(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {
            "user_id": [1, None, 3],
            "item_id": ["a", "a", "b"],
            "rating": arrow.array([4.0, 5.0, None]),
            "timestamp": [dt.datetime(2020, 1, 2, tzinfo=dt.UTC)] * 3,
        }
    )
    parquet.write_table(table, tmp_path / "x.parquet")
    data, report = import_interactions(tmp_path / "x.parquet")
    assert data.user_ids == ("1",)
    assert data.timestamp is not None
    assert data.timestamp.tolist() == [1577923200.0]
    assert told(report.rejected) == [(2, "user: missing id"), (3, "rating is not a finite number")]


def test_import_broken_parquet_is_a_data_error(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        import_interactions(_write(tmp_path / "x.parquet", "PAR1 but not really"))


def test_import_atomic_takes_the_attributes_beside_it(tmp_path: Path) -> None:
    _write(tmp_path / "s.inter", "user_id:token\titem_id:token\trating:float\n1\ta\t5\n2\ta\tx\n1\ta\t4\n1\tb\t4\t9\n")
    _write(tmp_path / "s.item", "item_id:token\tclass:token_seq\trelease_year:token\na\tX Y\t1999\na\tZ\t1\n\tZ\t1\n")
    data, report = import_interactions(tmp_path, name="shop")
    assert data.name == "shop"
    assert data.rating.tolist() == [4.0]
    assert data.item_attributes == ({"genres": ["X", "Y"], "year": 1999.0},)
    assert told(report.rejected) == [(3, "rating is not a finite number"), (5, "4 fields, the header has 3")]
    assert told(report.rejected_items) == [(3, "id occurs twice; the first row counts"), (4, "missing id")]


def test_import_csv_attributes_get_one_type_a_column(tmp_path: Path) -> None:
    source = _write(tmp_path / "x.csv", "user_id,movie,rating\n1,a,5\n")
    items = _write(
        tmp_path / "items.csv",
        "movie,year,genres,code,title,empty\na,1999,Action|Sci-Fi,7,Heat,\nb,,Drama,x,,\nc,2001.5,|,7.0,12,\n",
    )
    data, report = import_interactions(source, columns={"item": "movie"}, items=items)
    assert data.item_ids == ("a", "b", "c")
    assert data.item_attributes == (
        {"year": 1999.0, "genres": ["Action", "Sci-Fi"], "code": "7", "title": "Heat"},
        {"genres": ["Drama"], "code": "x"},
        {"year": 2001.5, "genres": ["|"], "code": "7.0", "title": "12"},
    )
    assert report.rejected_items == []


def test_import_jsonl_attributes_what_does_not_fit_is_reported(tmp_path: Path) -> None:
    source = _write(tmp_path / "x.csv", "user_id,item_id,rating\n1,a,5\n")
    rows = [
        {"id": 1, "age": 30, "tags": ["x", 2, None], "vip": True, "job": None, "address": {"city": "Y"}},
        {"id": 2, "age": "unknown", "tags": "z", "deep": [["x"]], "user_id": "ignored"},
        {"age": 3},
        {"id": 4, "age": float("nan"), "score": float("inf"), "name": "\ud800"},
    ]
    users = _write(tmp_path / "u.jsonl", "\n".join([*(json.dumps(row) for row in rows), "{", '{"id": 1}']))
    data, report = import_interactions(source, users=users, columns={"user": "user_id"})
    # user_id is the first name tried, and a row has it: so that column is the id's.
    assert data.user_ids == ("1", "ignored")
    users = _write(users, users.read_text().replace('"user_id": "ignored"', '"other": 1'))
    data, report = import_interactions(source, users=users)
    assert data.user_ids == ("1", "2", "4")
    assert data.user_attributes == (
        {"age": "30", "tags": ["x", "2"], "vip": "true"},
        {"age": "unknown", "tags": ["z"], "other": 1.0},
        {},
    )
    assert told(report.rejected_users) == [
        (1, "attribute address is a dict"),
        (2, "attribute deep is a list of something else than text, numbers or booleans"),
        (3, "missing id"),
        (4, "attribute name is not valid UTF-8"),
        (4, "attribute score is not a finite number"),
        (5, "not valid JSON"),
        (6, "id occurs twice; the first row counts"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.csv", "user_id,item_id,rating\n", "it has no rows"),
        ("x.csv", "user_id,item_id,rating\n1,a,x\n", r"line 2: rating is not a finite number"),
        ("x.csv", "user_id,item_id,stars\n1,a,5\n", "no column rating for the rating, only item_id, stars, user_id"),
        ("x.csv", "a,a,b\n1,a,5\n", "names a column twice"),
        ("x.csv", "", "header"),
        ("x.jsonl", '{"user": 1}\n', "no column user_id"),
        ("x.data", "1 2 3\n", "cannot be told"),
        ("x.inter", "a,b\n", "not an atomic file"),
    ],
)
def test_import_unusable_source_says_why(tmp_path: Path, name: str, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        import_interactions(_write(tmp_path / name, text))


def test_import_missing_file_column_role_or_id_column_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        import_interactions(tmp_path / "none.csv")
    source = _write(tmp_path / "x.csv", "user_id,item_id,rating\n1,a,5\n")
    with pytest.raises(DataError, match="unknown column role users"):
        import_interactions(source, columns={"users": "x"})
    with pytest.raises(DataError, match="has no id column: call it item_id or id"):
        import_interactions(source, items=_write(tmp_path / "i.csv", "sku,price\na,1\n"))


def test_import_huge_field_costs_its_row_only(tmp_path: Path) -> None:
    text = "user_id,item_id,rating\n1,a,5\n2," + "x" * 200_000 + ",5\n3,a,4\n"
    data, report = import_interactions(_write(tmp_path / "x.csv", text))
    assert data.user_ids == ("1", "3")
    assert told(report.rejected) == [(3, "field larger than field limit (131072)")]


def test_import_name_from_an_awkward_file_name_is_usable(tmp_path: Path) -> None:
    data, _ = import_interactions(_write(tmp_path / "_my log (1).csv", "user_id,item_id,rating\n1,a,5\n"))
    assert data.name == "my-log--1-"


def test_import_report_json_lists_lines_and_reasons() -> None:
    rejected, users = Rejection(Path("a.csv"), 3, "missing id"), Rejection(Path("u.csv"), 4, "x", "user")
    report = ImportReport(2, 1, [rejected], [], [users], {"view": 7}, ("links.csv",))
    assert str(rejected) == "a.csv, line 3: missing id"
    assert json.loads(report.to_json()) == {
        "accepted": 2,
        "superseded": 1,
        "ignored": {"view": 7},
        "not_read": ["links.csv"],
        "rejected": [{"file": "a.csv", "line": 3, "reason": "missing id"}],
        "rejected_items": [],
        "rejected_users": [{"file": "u.csv", "line": 4, "reason": "x"}],
    }


def test_detected_format_goes_by_suffix_or_neighbours(tmp_path: Path) -> None:
    assert detected_format(Path("a.TSV")) == "csv"
    assert detected_format(Path("a.ndjson")) == "jsonl"
    assert detected_format(tmp_path) == "atomic"
    _write(tmp_path / "v1.0.inter", "")
    assert detected_format(tmp_path / "v1.0") == "atomic"


def test_import_bundled_files_equal_the_strict_reader() -> None:
    from metarl_rec.atomic import bundled_ml_100k

    spec = pytest.importorskip("importlib.util").find_spec("recbole")
    directory = Path(spec.submodule_search_locations[0]) / "dataset_example" / "ml-100k"
    data, report = import_interactions(directory)
    assert data.digest == bundled_ml_100k().digest
    assert report == ImportReport(100_000, 0, [], [], [])
    np.testing.assert_array_equal(data.rating[:3], [3.0, 3.0, 1.0])
