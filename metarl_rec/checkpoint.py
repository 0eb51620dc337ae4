"""Checkpoints: what the trainer hands to the service, as safetensors plus JSON, verified before a byte of it is used.

    DIRECTORY/
      manifest.json       versions, sha256 of the other files, encoders, inner-loop meta-parameters, lineage, metrics
      model.safetensors   tensors, see `TENSORS`
      items.jsonl         one item a line, in row order: {"item_id": ..., "attributes": {...}}

The policy version is a digest over all of it, so two checkpoints with one version are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.errors import CheckpointError
from metarl_rec.inner_params import InnerParams
from metarl_rec.prior import LinearEncoder
from metarl_rec.topics import TopicEncoder

__all__ = ["TENSORS", "Checkpoint", "ItemRecord", "Manifest", "load_checkpoint", "save_checkpoint"]

FORMAT = 2
MODEL_FILE = "model.safetensors"
ITEMS_FILE = "items.jsonl"
MANIFEST_FILE = "manifest.json"

TENSORS: Mapping[str, tuple[str, ...]] = {
    "features": ("n", "D"),
    "popularity": ("n",),
    "initialization": ("D",),
    "item_encoder.mean": ("A",),
    "item_encoder.weight": ("A", "D+1"),
    "item_encoder.offset": ("D+1",),
    "user_encoder.mean": ("Z",),
    "user_encoder.weight": ("Z", "D"),
    "user_encoder.offset": ("D",),
}
"""Every tensor of a checkpoint with its shape: n items, D features, A item and Z user attribute entries; float32."""


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item's id and its attributes as the catalogue file gives them."""

    item_id: str
    attributes: Mapping[str, Any]


class Manifest(BaseModel):
    """A checkpoint's manifest.

    Attributes:
        format: layout version of the checkpoint.
        version: policy version, 16 hex digits.
        files: sha256 hex of each other file.
        inner: meta-parameters of the inner loop.
        item_attributes: encoder of item attributes.
        user_attributes: encoder of user attributes.
        topics: encoder of item topics, which fatigue needs; None where the inner loop has none.
        lineage: where it comes from: algorithm, seed, digests of data and splits, configuration.
        metrics: what was measured while it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    version: str
    files: dict[str, str]
    inner: InnerParams
    item_attributes: AttributeEncoder
    user_attributes: AttributeEncoder
    topics: TopicEncoder | None = None
    lineage: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A meta-policy with its catalogue, ready to serve.

    Attributes:
        version: policy version, 16 hex digits; "" before it is saved.
        items: [n] records, row order.
        features: [n, D] float32, whitened so that fast weights have unit prior covariance.
        popularity: [n] float32, population value mu_i of each item.
        initialization: [D] float32, fast weights of a user about whom nothing is known.
        item_encoder: item attributes [A] -> features and popularity [D + 1].
        user_encoder: user attributes [Z] -> shift of the initialization [D].
        item_attributes: vectorizes item attributes.
        user_attributes: vectorizes user attributes.
        inner: meta-parameters of the inner loop.
        lineage: provenance, see `Manifest`.
        metrics: measurements, see `Manifest`.
        topics: encoder of item topics, see `Manifest`.
    """

    version: str
    items: tuple[ItemRecord, ...]
    features: NDArray[np.float32]
    popularity: NDArray[np.float32]
    initialization: NDArray[np.float32]
    item_encoder: LinearEncoder
    user_encoder: LinearEncoder
    item_attributes: AttributeEncoder
    user_attributes: AttributeEncoder
    inner: InnerParams
    lineage: Mapping[str, Any]
    metrics: Mapping[str, Any]
    topics: TopicEncoder | None = None

    @property
    def dim(self) -> int:
        """Number D of features and of fast weights."""
        return int(self.features.shape[1])

    def starting_point(self, attributes: Mapping[str, Any] | None = None) -> NDArray[np.float32]:
        """Returns w0 [D] float32 for a user with these attributes.

        Raises:
            UnknownAttributeError: a name is not declared by this checkpoint.
            DataError: a value has the wrong type.
        """
        if not attributes:
            return self.initialization.copy()
        return self.initialization + self.user_encoder(self.user_attributes.encode(attributes))

    def encode_item(self, attributes: Mapping[str, Any]) -> tuple[NDArray[np.float32], float]:
        """Returns features [D] float32 and popularity of an item known by its attributes alone.

        Raises:
            UnknownAttributeError: a name is not declared by this checkpoint.
            DataError: a value has the wrong type.
        """
        features, popularity = self.encode_items([attributes])
        return features[0], float(popularity[0])

    def encode_items(self, rows: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns features [N, D] float32 and popularity [N] float32, one `encode_item` a row, the same bit for bit.

        Raises:
            UnknownAttributeError: a name is not declared by this checkpoint.
            DataError: a value has the wrong type.
        """
        out = self.item_encoder.of_sparse(self.item_attributes.encode_all(rows))
        return out[:, :-1], np.clip(out[:, -1], 0.0, 1.0)


def _tensors(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    return {
        "features": checkpoint.features,
        "popularity": checkpoint.popularity,
        "initialization": checkpoint.initialization,
        **{f"item_encoder.{k}": getattr(checkpoint.item_encoder, k) for k in ("mean", "weight", "offset")},
        **{f"user_encoder.{k}": getattr(checkpoint.user_encoder, k) for k in ("mean", "weight", "offset")},
    }


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "version"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> str:
    """Writes a checkpoint and returns its policy version; the manifest comes last, so half a checkpoint never loads.

    Raises:
        CheckpointError: a tensor has the wrong shape or a value that is not finite.
    """
    tensors = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in _tensors(checkpoint).items()}
    _check_tensors(
        tensors, n_items=len(checkpoint.items), encoders=(checkpoint.item_attributes, checkpoint.user_attributes)
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    lines = (
        json.dumps({"item_id": item.item_id, "attributes": dict(item.attributes)}, ensure_ascii=False, sort_keys=True)
        for item in checkpoint.items
    )
    contents = {MODEL_FILE: save(tensors), ITEMS_FILE: ("\n".join(lines) + "\n").encode()}
    manifest = Manifest(
        format=FORMAT,
        version="",
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        inner=checkpoint.inner,
        item_attributes=checkpoint.item_attributes,
        user_attributes=checkpoint.user_attributes,
        topics=checkpoint.topics,
        lineage=dict(checkpoint.lineage),
        metrics=dict(checkpoint.metrics),
    ).model_dump(mode="json")
    manifest["version"] = _digest(manifest)
    for name, content in contents.items():
        _replace(directory / name, content)
    _replace(directory / MANIFEST_FILE, json.dumps(manifest, indent=2, allow_nan=False).encode() + b"\n")
    return str(manifest["version"])


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Reads and verifies a checkpoint.

    Raises:
        CheckpointError: a file is missing or damaged, a tensor is missing, misshapen or not finite; the text names
            the file or tensor, what was expected and what was found.
    """
    manifest, raw = _read_manifest(directory / MANIFEST_FILE)
    if any(manifest.inner.fatigue) and manifest.topics is None:
        raise CheckpointError(f"{directory / MANIFEST_FILE}: inner.fatigue needs topics, found none; train it again")
    contents: dict[str, bytes] = {}
    for name in (MODEL_FILE, ITEMS_FILE):
        contents[name] = _read(directory / name)
        found = hashlib.sha256(contents[name]).hexdigest()
        expected = manifest.files.get(name, "no entry")
        if found != expected:
            raise CheckpointError(
                f"{directory / name}: sha256 expected {expected[:16]}, found {found[:16]}; "
                "the file is damaged or belongs to another checkpoint; copy the checkpoint again"
            )
    if _digest(raw) != manifest.version:
        raise CheckpointError(f"{directory / MANIFEST_FILE}: its content does not match version {manifest.version}")
    try:
        tensors = load(contents[MODEL_FILE])
    except SafetensorError as error:
        raise CheckpointError(f"{directory / MODEL_FILE}: not a safetensors file ({error})") from None
    items = _read_items(contents[ITEMS_FILE], directory / ITEMS_FILE)
    _check_tensors(tensors, n_items=len(items), encoders=(manifest.item_attributes, manifest.user_attributes))
    return Checkpoint(
        version=manifest.version,
        items=items,
        features=tensors["features"],
        popularity=tensors["popularity"],
        initialization=tensors["initialization"],
        item_encoder=LinearEncoder(*(tensors[f"item_encoder.{part}"] for part in ("mean", "weight", "offset"))),
        user_encoder=LinearEncoder(*(tensors[f"user_encoder.{part}"] for part in ("mean", "weight", "offset"))),
        item_attributes=manifest.item_attributes,
        user_attributes=manifest.user_attributes,
        inner=manifest.inner,
        lineage=manifest.lineage,
        metrics=manifest.metrics,
        topics=manifest.topics,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; is this the directory of a checkpoint?") from None


def _read_manifest(path: Path) -> tuple[Manifest, dict[str, Any]]:
    try:
        raw = json.loads(_read(path))
        found = raw.get("format") if isinstance(raw, dict) else None
        if found != FORMAT:
            raise CheckpointError(f"{path}: format expected {FORMAT}, found {found}; train it again with this release")
        return Manifest.model_validate_json(json.dumps(raw)), raw
    except (ValueError, ValidationError) as error:
        raise CheckpointError(f"{path}: not a valid manifest ({str(error).splitlines()[0]})") from None


def _read_items(content: bytes, path: Path) -> tuple[ItemRecord, ...]:
    items = []
    for number, line in enumerate(content.decode().splitlines(), start=1):
        try:
            record = json.loads(line)
            items.append(ItemRecord(item_id=record["item_id"], attributes=record["attributes"]))
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: line {number} is not an item record") from None
    return tuple(items)


def _check_tensors(
    tensors: Mapping[str, NDArray[Any]], *, n_items: int, encoders: tuple[AttributeEncoder, AttributeEncoder]
) -> None:
    missing = sorted(set(TENSORS) - set(tensors))
    if missing:
        raise CheckpointError(f"tensor {missing[0]}: expected, found none; the checkpoint is incomplete")
    dim = tensors["features"].shape[-1] if tensors["features"].ndim == 2 else -1
    sizes = {"n": n_items, "D": dim, "D+1": dim + 1, "A": encoders[0].width, "Z": encoders[1].width}
    for name, axes in TENSORS.items():
        expected = tuple(sizes[axis] for axis in axes)
        tensor = tensors[name]
        if tensor.shape != expected or tensor.dtype != np.float32:
            raise CheckpointError(
                f"tensor {name}: expected float32 {list(expected)}, found {tensor.dtype} {list(tensor.shape)}"
            )
        if not np.isfinite(tensor).all():
            raise CheckpointError(
                f"tensor {name}: expected finite values, found {int((~np.isfinite(tensor)).sum())} others"
            )
