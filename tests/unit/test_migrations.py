"""Exports of other products: samples of our own making, what each event means, every reason to leave one out."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metarl_rec.dataset import Dataset
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.event_ratings import EventRatings
from metarl_rec.import_rows import Rejection
from metarl_rec.importing import import_interactions
from metarl_rec.migrations.registry import detected_migration
from service.cli import app

SAMPLES = Path(__file__).parents[1] / "data" / "migrations"


def rows(data: Dataset) -> list[tuple[str, str, float, float]]:
    assert data.timestamp is not None
    return [
        (data.user_ids[user], data.item_ids[item], float(rating), float(time))
        for user, item, rating, time in zip(data.user_index, data.item_index, data.rating, data.timestamp, strict=True)
    ]


def told(rejections: list[Rejection]) -> list[tuple[str, int, str]]:
    return [(each.file.name, each.line, each.reason) for each in rejections]


def test_gorse_directory_types_become_ratings_and_a_read_gives_way_to_a_star() -> None:
    data, report = import_interactions(SAMPLES / "gorse")
    assert data.name == "gorse"
    assert rows(data) == [
        ("ada", "m1", 5.0, 1714554000.0),
        ("ada", "m3", 1.0, 1714561200.0),
        ("bob", "m3", 5.0, 1714636800.0),
        ("bob", "m1", 1.0, 1714730400.123456),
        ("eve", "m2", 5.0, 1714734000.0),
    ]
    assert (report.accepted, report.superseded, report.ignored) == (5, 1, {})
    assert told(report.rejected) == [
        (
            "feedback.jsonl",
            7,
            "no rule for events of type zap; --map zap=5 is liked, =1 not liked, =seen, =ignore",
        ),
        ("feedback.jsonl", 8, "timestamp is neither a number nor an ISO 8601 date"),
        ("feedback.jsonl", 9, "missing timestamp"),
        ("feedback.jsonl", 10, "not valid JSON"),
        ("feedback.jsonl", 11, "neither FeedbackType nor ItemId nor UserId: this is not Gorse's"),
        ("feedback.jsonl", 12, "item: missing id"),
        ("items.jsonl", 4, "not valid JSON"),
    ]
    items = dict(zip(data.item_ids, data.item_attributes, strict=True))
    assert items == {
        "m1": {
            "genres": ["Drama", "Noir"],
            "categories": ["film"],
            "comment": "The long night",
            "added_at": 1577840461.0,
        },
        "m2": {"hidden": "true", "comment": "Withdrawn"},
        "m3": {"genres": ["Comedy"], "categories": ["film", "short"], "added_at": 1609462861.0},
    }
    assert told(report.rejected_items) == [
        ("items.jsonl", 1, "attribute vector is a list of numbers, which is no attribute")
    ]
    users = dict(zip(data.user_ids, data.user_attributes, strict=True))
    assert users == {
        "ada": {"gender": "F", "age": 31.0, "tastes.film": ["drama", "noir"], "comment": "from the shop"},
        "bob": {"labels": ["student", "noir"]},
        "eve": {},
    }
    assert told(report.rejected_users) == [("users.jsonl", 3, "missing id")]


def test_gorse_rules_given_come_before_the_usual_ones() -> None:
    given = ["read=ignore", "zap=seen", "star=value", "share>=2=5", "share=1"]
    data, report = import_interactions(SAMPLES / "gorse", ratings=given)
    assert [(user, item, rating) for user, item, rating, _ in rows(data)] == [
        ("ada", "m1", 0.0),
        ("bob", "m1", 1.0),
        ("eve", "m2", 1.0),
        ("eve", "m3", 1.0),
    ]
    assert report.ignored == {"read": 3}
    assert "zap" not in str(told(report.rejected))


def _field(tag: int, wire: int, body: bytes) -> bytes:
    return bytes([tag << 3 | wire]) + (bytes([len(body)]) + body if wire == 2 else body)


def _dump(*parts: bytes | int) -> bytes:
    out = b""
    for part in parts:
        out += struct.pack("<q", part) if isinstance(part, int) else struct.pack("<q", len(part)) + part
    return out


def _dumped_feedback(type_: bytes, item: bytes, value: float) -> bytes:
    time = b"\x08" + bytes([0x80 | 0x58, 0x80 | 0x5C, 0x80 | 0x42, 0x80 | 0x31, 0x06])
    return (
        _field(2, 2, type_)
        + _field(3, 2, b"ada")
        + _field(4, 2, item)
        + _field(5, 1, struct.pack("<d", value))
        + _field(6, 2, time)
    )


USER = _field(1, 2, b"ada") + _field(2, 2, b'{"age": 31}') + _field(3, 2, b"hello")
ITEM = _field(2, 2, b"m1") + _field(3, 0, b"\x01") + _field(4, 2, b"film") + _field(4, 2, b"short")


def test_gorse_dump_is_read_like_its_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "backup.bin"
    star, read = _dumped_feedback(b"star", b"m1", 1.0), _dumped_feedback(b"read", b"m2", 3.0)
    path.write_bytes(_dump(-1, USER, -2, ITEM, -3, star, read, b"\xff\xff", 0))
    assert detected_migration(path) == "gorse"
    data, report = import_interactions(path)
    assert rows(data) == [("ada", "m1", 5.0, 1714466392.0), ("ada", "m2", 5.0, 1714466392.0)]
    assert data.user_attributes == ({"age": 31.0, "comment": "hello"},)
    assert data.item_attributes == ({"categories": ["film", "short"], "hidden": "true"}, {})
    assert told(report.rejected) == [("backup.bin", 5, "not a record of Gorse's")]
    path.write_bytes(_dump(-1, USER, -3, star) + struct.pack("<q", 10**12) + b"rest")
    assert told(import_interactions(path)[1].rejected) == [("backup.bin", 3, "the dump is damaged from this record on")]


def test_metarank_events_rankings_are_seen_and_fields_become_attributes() -> None:
    data, report = import_interactions(SAMPLES / "metarank" / "events.jsonl")
    assert rows(data) == [
        ("ada", "m3", 1.0, 1599391470.0),
        ("ada", "m2", 1.0, 1599391470.0),
        ("ada", "m1", 5.0, 1599391471.0),
        ("s2", "m2", 3.5, 1599391472.0),
    ]
    assert (report.accepted, report.superseded) == (4, 1)
    assert [(line, reason) for _, line, reason in told(report.rejected)] == [
        (8, "no rule for events of type zap; --map zap=5 is liked, =1 not liked, =seen, =ignore"),
        (9, "user: missing id"),
        (10, "timestamp is neither a number nor an ISO 8601 date"),
        (11, "rating is not a finite number"),
        (12, "the ranking has no items"),
        (13, "event is none of item, metadata, user, ranking, interaction"),
    ]
    items = dict(zip(data.item_ids, data.item_attributes, strict=True))
    assert items == {
        "m1": {"title": "The long night", "genres": ["Drama", "Noir"], "cute": "true"},
        "m2": {"genres": ["Comedy"], "price": 8.5},
        "m3": {},
    }
    assert [(line, reason) for _, line, reason in told(report.rejected_items)] == [
        (1, "attribute vector is a list of numbers, which is no attribute"),
        (3, "a field has no name or no value"),
    ]
    assert data.user_attributes[0] == {"age": 33.0, "gender": "f"}
    ignored = import_interactions(SAMPLES / "metarank" / "events.jsonl", ratings=["ranking=ignore"])[1]
    assert ignored.ignored == {"ranking": 3}


@pytest.mark.parametrize("indent", [None, 2])
def test_metarank_array_plain_or_compressed_equals_its_lines(tmp_path: Path, indent: int | None) -> None:
    lines = (SAMPLES / "metarank" / "events.jsonl").read_text().splitlines()
    text = json.dumps([json.loads(line) for line in lines], indent=indent)
    with gzip.open(tmp_path / "events.json.gz", "wt") as out:
        out.write(text)
    by_line, _ = import_interactions(SAMPLES / "metarank" / "events.jsonl")
    for path in (tmp_path / "events.json.gz", tmp_path):
        data, report = import_interactions(path)
        assert data.digest == by_line.digest
        assert len(report.rejected) == 6
    assert (report.rejected[-1].line > 13) == (indent is not None)


def test_metarank_array_that_breaks_off_keeps_what_was_whole(tmp_path: Path) -> None:
    event = {"event": "interaction", "timestamp": "1599391472000", "user": "a", "type": "click", "item": "x"}
    text = json.dumps([event, 7, {**event, "item": "y"}], indent=1)
    path = tmp_path / "events.json"
    path.write_text(text[:-4])
    data, report = import_interactions(path)
    assert data.item_ids == ("x",)
    assert [(line, reason) for _, line, reason in told(report.rejected)] == [
        (9, "not a JSON object"),
        (10, "not valid JSON from here on"),
    ]


def test_movielens_directory_takes_movies_and_names_what_it_does_not_read() -> None:
    data, report = import_interactions(SAMPLES / "movielens")
    assert data.name == "movielens"
    assert rows(data) == [("1", "1", 4.0, 964982703.0), ("1", "3", 4.5, 964981247.0), ("2", "1", 0.5, 964982224.0)]
    assert data.item_attributes == (
        {"title": "Toy Box (1995)", "year": 1995.0, "genres": ["Animation", "Children"]},
        {"title": "Grumpy, Old (1995)", "year": 1995.0, "genres": ["Comedy"]},
        {"title": "Untitled"},
    )
    assert told(report.rejected) == [
        ("ratings.csv", 5, "rating is not a finite number"),
        ("ratings.csv", 6, "item: missing id"),
        ("ratings.csv", 7, "5 fields, the header has 4"),
    ]
    assert report.not_read == ("tags.csv",)
    assert import_interactions(SAMPLES / "movielens" / "ratings.csv")[0].digest == data.digest


def test_movielens_of_old_is_read_with_its_accents() -> None:
    data, report = import_interactions(SAMPLES / "movielens-1m")
    assert rows(data) == [("1", "1193", 5.0, 978300760.0), ("1", "661", 3.0, 978302109.0)]
    assert data.item_attributes[1] == {"title": "Léon (1994)", "year": 1994.0, "genres": ["Crime", "Drama"]}
    assert data.user_attributes == (
        {"gender": "F", "age": 1.0, "occupation": "10"},
        {"gender": "M", "age": 56.0, "occupation": "16"},
    )
    assert told(report.rejected) == [
        ("ratings.dat", 3, "rating is not a finite number"),
        ("ratings.dat", 4, "2 fields between ::, ratings has 4"),
    ]


def test_detected_migration_is_told_from_names_and_first_lines(tmp_path: Path) -> None:
    found = {
        "gorse": ["gorse", "gorse/users.jsonl", "gorse/items.jsonl", "gorse/feedback.jsonl"],
        "metarank": ["metarank", "metarank/events.jsonl"],
        "movielens": ["movielens", "movielens/ratings.csv", "movielens-1m", "movielens-1m/ratings.dat"],
    }
    for name, paths in found.items():
        assert {detected_migration(SAMPLES / path) for path in paths} == {name}
    (tmp_path / "plain.jsonl").write_text('{"user_id": 1, "item_id": "a", "rating": 5}\n')
    (tmp_path / "plain.csv").write_text("user_id,item_id,rating\n1,a,5\n")
    for path in (tmp_path / "plain.jsonl", tmp_path / "plain.csv", tmp_path / "missing", tmp_path):
        assert detected_migration(path) is None
    shutil.copy(SAMPLES / "movielens" / "ratings.csv", tmp_path / "r.csv")
    columns = {"user": "userId", "item": "movieId"}
    assert import_interactions(tmp_path / "r.csv", columns=columns)[0].item_attributes == ({}, {})


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave those options out"):
        import_interactions(SAMPLES / "gorse", format="gorse", items=SAMPLES / "gorse" / "items.jsonl")
    with pytest.raises(ConfigError, match="ratings, not events"):
        import_interactions(SAMPLES / "movielens", ratings=["click=5"])
    (tmp_path / "x.csv").write_text("user_id,item_id,rating\n1,a,5\n")
    with pytest.raises(ConfigError, match="go with gorse, metarank"):
        import_interactions(tmp_path / "x.csv", ratings=["click=5"])
    (tmp_path / "empty").mkdir()
    for kind in ("gorse", "metarank", "movielens"):
        with pytest.raises(DataError, match="holds"):
            import_interactions(tmp_path / "empty", format=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["click", "=5", "click=", "click=five", "click=nan", "click=1e99", "a>=x=5", "a>=1"])
def test_event_ratings_rule_that_cannot_be_read_says_how_one_looks(rule: str) -> None:
    with pytest.raises(ConfigError, match="must be TYPE=RATING"):
        EventRatings.of([rule])


def test_event_ratings_first_rule_that_fits_counts() -> None:
    rules = EventRatings.of(["read>=3=5", "read<1=ignore", "rating=value", "*=seen"], [])
    assert [rules.meaning("read", value) for value in (3.0, 2.0, 0.5, None)] == [5.0, "seen", "ignore", "seen"]
    assert rules.meaning("rating", None) == "value"
    assert EventRatings.of([], []).meaning("click", 1.0) is None


def test_import_verb_reports_and_stores_what_another_product_exported(tmp_path: Path) -> None:
    arguments = ["import", str(SAMPLES / "gorse"), "--map", "read=ignore", "--workdir", str(tmp_path)]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "METARL_WORKDIR": None})
    assert result.exit_code == 0, result.output
    assert "feedback.jsonl, line 10: not valid JSON" in result.output
    assert "3 events of type read ignored" in result.output
    assert "gorse: 3 users, 3 items, 3 ratings" in result.output
    report = json.loads((tmp_path / "dataset" / "import.json").read_text())
    assert report["rejected"][0]["file"] == "feedback.jsonl"
    assert report["rejected_users"] == [{"file": "users.jsonl", "line": 3, "reason": "missing id"}]
    wrong = CliRunner().invoke(app, [*arguments, "--map", "read"], env={"METARL_WORKDIR": None})
    assert wrong.exit_code == 2
    assert "must be TYPE=RATING" in wrong.output.replace("\n", " ")


def test_progress_ends_with_every_byte_of_every_file(tmp_path: Path) -> None:
    (tmp_path / "feedback.jsonl").write_text(
        "".join(
            f'{{"FeedbackType":"star","UserId":"u{number % 50}","ItemId":"{number}","Timestamp":"2024-05-01"}}\n'
            for number in range(9000)
        )
    )
    seen: list[tuple[int, int]] = []
    import_interactions(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {(tmp_path / "feedback.jsonl").stat().st_size}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) == 4
