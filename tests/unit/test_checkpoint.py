"""Checkpoints: exact round trip, and refusal of everything that is not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.checkpoint import Checkpoint, ItemRecord, load_checkpoint, save_checkpoint
from metarl_rec.errors import CheckpointError, UnknownAttributeError
from metarl_rec.inner_params import InnerParams
from metarl_rec.prior import LinearEncoder

N_ITEMS, DIM = 5, 3


def encoder(rng: np.random.Generator, inputs: int, outputs: int) -> LinearEncoder:
    parts = rng.normal(size=inputs), rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)
    return LinearEncoder(*(part.astype(np.float32) for part in parts))


@pytest.fixture
def checkpoint() -> Checkpoint:
    rng = np.random.default_rng(0)
    items = AttributeEncoder.fit([{"genres": ["drama", "war"], "year": 1990.0 + i} for i in range(20)])
    users = AttributeEncoder.fit([{"gender": "F"}, {"gender": "M"}])
    return Checkpoint(
        version="",
        items=tuple(ItemRecord(f"item {i}/ü", {"genres": ["war"], "year": 1990.0 + i}) for i in range(N_ITEMS)),
        features=rng.normal(size=(N_ITEMS, DIM)).astype(np.float32),
        popularity=rng.random(N_ITEMS).astype(np.float32),
        initialization=rng.normal(size=DIM).astype(np.float32),
        item_encoder=encoder(rng, items.width, DIM + 1),
        user_encoder=encoder(rng, users.width, DIM),
        item_attributes=items,
        user_attributes=users,
        inner=InnerParams(temperature=0.03),
        lineage={"seed": 4},
        metrics={"best": 1.5},
    )


def test_round_trip_keeps_every_bit_and_the_version(checkpoint: Checkpoint, tmp_path: Path) -> None:
    version = save_checkpoint(checkpoint, tmp_path / "a")
    loaded = load_checkpoint(tmp_path / "a")
    assert loaded.version == version
    assert save_checkpoint(loaded, tmp_path / "b") == version
    assert loaded.items == checkpoint.items
    assert loaded.inner == checkpoint.inner
    np.testing.assert_array_equal(loaded.features, checkpoint.features)
    np.testing.assert_array_equal(loaded.item_encoder.weight, checkpoint.item_encoder.weight)
    np.testing.assert_array_equal(
        loaded.starting_point({"gender": "F"}),
        checkpoint.initialization + checkpoint.user_encoder(np.array([1, 0], np.float32)),
    )


def test_save_other_content_has_another_version(checkpoint: Checkpoint, tmp_path: Path) -> None:
    changed = replace(checkpoint, popularity=checkpoint.popularity + np.float32(1e-3))
    assert save_checkpoint(checkpoint, tmp_path / "a") != save_checkpoint(changed, tmp_path / "b")


@pytest.mark.parametrize("name", ["model.safetensors", "items.jsonl"])
def test_load_flipped_bit_is_refused_by_name(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    save_checkpoint(checkpoint, tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=rf"{name}.*sha256 expected"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "items.jsonl"])
def test_load_missing_file_is_refused_by_name(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    save_checkpoint(checkpoint, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(tmp_path)


def test_load_edited_manifest_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["inner"]["temperature"] = 0.5
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="does not match version"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 99}', '{"format": 1}'])
def test_load_foreign_manifest_is_refused(checkpoint: Checkpoint, tmp_path: Path, text: str) -> None:
    save_checkpoint(checkpoint, tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        load_checkpoint(tmp_path)


def test_save_bad_tensor_names_it_with_expected_and_found(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tensor popularity: expected float32 \[5\], found float32 \[4\]"):
        save_checkpoint(replace(checkpoint, popularity=checkpoint.popularity[:4]), tmp_path)
    features = checkpoint.features.copy()
    features[0, 0] = np.nan
    with pytest.raises(CheckpointError, match="tensor features: expected finite values, found 1 others"):
        save_checkpoint(replace(checkpoint, features=features), tmp_path)


def test_starting_point_unknown_attribute_names_it_and_the_known_ones(checkpoint: Checkpoint) -> None:
    with pytest.raises(UnknownAttributeError, match="unknown attribute shoe_size; this checkpoint declares gender"):
        checkpoint.starting_point({"shoe_size": 44})
