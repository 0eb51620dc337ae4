"""Data sets on disk: refusals. The round trip is a property test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metarl_rec.atomic import read_atomic
from metarl_rec.dataset import Dataset
from metarl_rec.dataset_store import load, save
from metarl_rec.errors import DataError


def _dataset() -> Dataset:
    return Dataset.from_records(
        "tiny", ["u 1"], ["100%"], [0.1], None, {"u 1": {"job": "a\tb"}}, {"100%": {"tags": ["x y", "z"]}}
    )


def test_save_awkward_characters_are_escaped_in_readable_files(tmp_path: Path) -> None:
    save(_dataset(), tmp_path)
    assert (tmp_path / "tiny.inter").read_text() == "user_id:token\titem_id:token\trating:float\nu 1\t100%25\t0.1\n"
    assert (tmp_path / "tiny.user").read_text() == "user_id:token\tjob:token\nu 1\ta%09b\n"
    assert (tmp_path / "tiny.item").read_text() == "item_id:token\ttags:token_seq\n100%25\tx%20y z\n"


def test_save_plain_content_reads_as_atomic_files(tmp_path: Path) -> None:
    data = Dataset.from_records("tiny", ["1"], ["2"], [4.5], [7.25], {"1": {"age": 3.0}}, {"2": {"title": "A B"}})
    save(data, tmp_path)
    assert read_atomic(tmp_path).digest == data.digest


def test_load_changed_file_is_refused(tmp_path: Path) -> None:
    save(_dataset(), tmp_path)
    file = tmp_path / "tiny.inter"
    file.write_text(file.read_text().replace("0.1", "0.2"))
    with pytest.raises(DataError, match="was changed"):
        load(tmp_path)


def test_load_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; run `metarl-rec import`"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"x"'])
def test_load_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="not the manifest"):
        load(tmp_path)


def test_load_newer_format_is_refused(tmp_path: Path) -> None:
    save(_dataset(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(DataError, match="has format 2"):
        load(tmp_path)


def test_save_over_another_data_set_loads_the_new_one(tmp_path: Path) -> None:
    save(Dataset.from_records("first", ["1"], ["2"], [4.5], None, {}, {}), tmp_path)
    save(_dataset(), tmp_path)
    assert load(tmp_path).digest == _dataset().digest
