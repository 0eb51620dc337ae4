"""Atomic files as others write them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from metarl_rec.atomic import AtomicFile, atomic_prefix, bundled_ml_100k, read_atomic
from metarl_rec.errors import DataError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\ta\t5\t10\n2\ta\t3\t20\n"


def _write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def test_read_atomic_types_and_renames_become_attributes(tmp_path: Path) -> None:
    _write(tmp_path, "shop.inter", INTER)
    _write(
        tmp_path,
        "shop.item",
        "item_id:token\tclass:token_seq\trelease_year:token\tmovie_title:token_seq\tprice:float\tvector:float_seq\n"
        'a\tAction  Sci-Fi\t19x5\tThe "Great" Film\t2.5\t.1 .2\nb\t\t1995\t\t\t\n',
    )
    data = read_atomic(tmp_path)
    assert data.name == "shop"
    assert data.item_ids == ("a", "b")
    assert data.item_attributes == (
        {"genres": ["Action", "Sci-Fi"], "title": 'The "Great" Film', "price": 2.5},
        {"year": 1995.0},
    )
    assert data.user_attributes == ({}, {})


def test_read_atomic_windows_line_ends_byte_order_mark_and_blank_lines_are_read(tmp_path: Path) -> None:
    _write(tmp_path, "shop.inter", "\ufeff" + INTER.replace("\n", "\r\n") + "\r\n")
    data = read_atomic(tmp_path / "shop")
    assert data.rating.tolist() == [5.0, 3.0]


def test_read_atomic_name_unfit_for_files_is_replaced(tmp_path: Path) -> None:
    _write(tmp_path, "my shop.v2.inter", INTER)
    assert read_atomic(tmp_path / "my shop.v2.inter").name == "my-shop.v2"


def test_read_atomic_no_times_gives_none(tmp_path: Path) -> None:
    _write(tmp_path, "shop.inter", "user_id:token\titem_id:token\trating:float\n1\ta\t5\n")
    assert read_atomic(tmp_path).timestamp is None


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("1\tb\tx\t1", "line 4: rating or timestamp is not a finite number"),
        ("1\tb\tnan\t1", "line 4: rating or timestamp"),
        ("1\tb\t1e39\t1", "line 4: rating or timestamp"),
        ("1\tb\t1", "line 4: rating or timestamp"),
        ("\tb\t1\t1", "line 4: missing id"),
        ("1\tb\udcff\t1\t1", "line 4: id is not valid UTF-8"),
        ("1\ta\t1\t1", "rated twice"),
    ],
)
def test_read_atomic_bad_row_is_named(tmp_path: Path, row: str, text: str) -> None:
    _write(tmp_path, "shop.inter", INTER + row + "\n")
    with pytest.raises(DataError, match=text):
        read_atomic(tmp_path)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("user_id,item_id", "not an atomic file"),
        ("user_id:token\titem_id:string", "not an atomic file"),
        ("user_id:token\titem_id:token", "no column rating"),
        ("", "not an atomic file"),
    ],
)
def test_read_atomic_bad_header_is_named(tmp_path: Path, header: str, text: str) -> None:
    _write(tmp_path, "shop.inter", header + "\n1\ta\n")
    with pytest.raises(DataError, match=text):
        read_atomic(tmp_path)


def test_read_atomic_attribute_id_twice_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "shop.inter", INTER)
    _write(tmp_path, "shop.user", "user_id:token\tage:token\n1\t20\n1\t30\n")
    with pytest.raises(DataError, match=r"shop\.user, line 3: id occurs twice"):
        read_atomic(tmp_path)


def test_atomic_prefix_no_or_several_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        atomic_prefix(tmp_path)
    _write(tmp_path, "a.inter", INTER)
    _write(tmp_path, "b.inter", INTER)
    with pytest.raises(DataError, match=r"found a\.inter, b\.inter"):
        atomic_prefix(tmp_path)
    with pytest.raises(DataError, match=r"c\.inter does not exist"):
        atomic_prefix(tmp_path / "c")


def test_atomic_file_missing_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        AtomicFile.open(tmp_path / "none.item")


def test_bundled_ml_100k_without_recbole_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'metarl-rec\[train\]'"):
        bundled_ml_100k()
