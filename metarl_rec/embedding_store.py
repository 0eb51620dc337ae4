"""Item embeddings on disk, together with what they were trained on: other data or settings must not get them back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from metarl_rec.cross_fitting import FoldedEmbeddings
from metarl_rec.dataset import Dataset
from metarl_rec.embeddings import default_epochs
from metarl_rec.errors import DataError

__all__ = ["EmbeddingKey", "load_embeddings", "save_embeddings"]


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """Everything that decides what embeddings are; the fields are the arguments of `folded_embeddings`.

    Attributes:
        model: name of the model.
        dim: number of columns.
        epochs: passes over the positives.
        seed: seed.
        threshold: rating from which on an item counts as liked.
        dataset_digest: sha256 of the data set's content.
        train_users_digest: sha256 of the train users' positions, whose order decides the folds.
        folds: parts of the train users that are left out in turn.
    """

    model: str
    dim: int
    epochs: int
    seed: int
    threshold: float
    dataset_digest: str
    train_users_digest: str
    folds: int

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        train_users: NDArray[np.int64],
        *,
        folds: int,
        model: str,
        dim: int = 64,
        epochs: int | None = None,
        seed: int,
        threshold: float = 4.0,
    ) -> EmbeddingKey:
        """Returns the key of `folded_embeddings` called with these arguments."""
        users = hashlib.sha256(train_users.astype("<i8").tobytes()).hexdigest()
        return cls(model, dim, epochs or default_epochs(model), seed, float(threshold), dataset.digest, users, folds)


def save_embeddings(path: Path, embeddings: FoldedEmbeddings, key: EmbeddingKey) -> None:
    """Writes the embeddings to `path` (safetensors) and its key to the .json beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar = path.with_suffix(".json")
    sidecar.unlink(missing_ok=True)  # An interrupted save must not look like a finished one.
    arrays = (embeddings.whole, *embeddings.folds)
    save_file({name: np.ascontiguousarray(a) for name, a in zip(_names(key.folds), arrays, strict=True)}, path)
    content = {"key": asdict(key), "embedding_digest": _digest(embeddings)}
    sidecar.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_embeddings(path: Path, key: EmbeddingKey) -> FoldedEmbeddings:
    """Returns the embeddings that `save_embeddings` wrote under the same key.

    Raises:
        DataError: there is none, it was trained on something else, or the file was changed.
    """
    sidecar = path.with_suffix(".json")
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
        stored, digest = dict(content["key"]), content["embedding_digest"]
        arrays = load_file(path)
        whole, *folds = (arrays[name] for name in _names(int(stored["folds"])))
    except FileNotFoundError as error:
        raise DataError(f"{error.filename or path} does not exist; run `metarl-rec embed` first") from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"{path} or {sidecar.name} is damaged ({error}); run `metarl-rec embed` again") from error
    for name, wanted in asdict(key).items():
        if stored.get(name) != wanted:
            raise DataError(
                f"{path} was trained with {name} {stored.get(name)}, not {wanted}; run `metarl-rec embed` again"
            )
    embeddings = FoldedEmbeddings(whole, tuple(folds))
    if _digest(embeddings) != digest:
        raise DataError(f"{path} was changed after it was written; run `metarl-rec embed` again")
    return embeddings


def _names(folds: int) -> list[str]:
    return ["embedding", *(f"without fold {fold}" for fold in range(folds))]


def _digest(embeddings: FoldedEmbeddings) -> str:
    digest = hashlib.sha256()
    for array in (embeddings.whole, *embeddings.folds):
        digest.update(f"{array.shape}".encode() + array.astype("<f4").tobytes())
    return digest.hexdigest()
