"""A small synthetic checkpoint with a genre structure, so that a few likes visibly move what a user is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.checkpoint import Checkpoint, ItemRecord, save_checkpoint
from metarl_rec.inner_params import InnerParams
from metarl_rec.prior import LinearEncoder
from metarl_rec.topics import TopicEncoder

__all__ = ["DIM", "GENRES", "N_ITEMS", "TEMPERATURE", "genre_of", "synthetic_checkpoint", "write_checkpoint"]

N_ITEMS, DIM = 200, 16
GENRES = ("action", "comedy", "drama", "horror")
TEMPERATURE = 0.05
_GENRE_SCALE = 0.15


def genre_of(item_id: str) -> str:
    """Returns the genre of one of the checkpoint's items."""
    return GENRES[int(item_id.removeprefix("item")) % len(GENRES)]


def synthetic_checkpoint(
    *, seed: int = 0, temperature: float = TEMPERATURE, fatigue: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Checkpoint:
    """Returns a checkpoint whose first four feature axes are the genres; the others are each item's own."""
    rng = np.random.default_rng(seed)
    items = tuple(
        ItemRecord(f"item{i}", {"genres": [GENRES[i % 4]], "year": 1950 + i % 70, "title": f"Title {i} (ü)"})
        for i in range(N_ITEMS)
    )
    item_attributes = AttributeEncoder.fit([item.attributes for item in items])
    user_attributes = AttributeEncoder.fit([{"gender": "FM"[i % 2], "age": 10 + i} for i in range(60)])
    features = 0.03 * rng.normal(size=(N_ITEMS, DIM))
    features[np.arange(N_ITEMS), np.arange(N_ITEMS) % 4] += _GENRE_SCALE
    item_weight = np.zeros((item_attributes.width, DIM + 1))
    item_weight[np.arange(4), np.arange(4)] = _GENRE_SCALE
    user_weight = np.zeros((user_attributes.width, DIM))
    # Specs are in the order of names: age buckets first, then gender F and M.
    user_weight[-2, 0], user_weight[-1, 1] = 1.0, 1.0
    user_weight[:-2, 2] = 0.1 * rng.normal(size=user_attributes.width - 2)
    return Checkpoint(
        version="",
        items=items,
        features=features.astype(np.float32),
        popularity=rng.uniform(0.3, 0.45, N_ITEMS).astype(np.float32),
        initialization=(0.1 * rng.normal(size=DIM)).astype(np.float32),
        item_encoder=_encoder(item_weight, np.append(np.zeros(DIM), 0.4)),
        user_encoder=_encoder(user_weight, np.zeros(DIM)),
        item_attributes=item_attributes,
        user_attributes=user_attributes,
        inner=InnerParams(temperature=temperature, fatigue=fatigue),
        topics=TopicEncoder.fit([item.attributes for item in items]) if any(fatigue) else None,
        lineage={"seed": seed},
        metrics={},
    )


def _encoder(weight: np.ndarray, offset: np.ndarray) -> LinearEncoder:
    mean = np.zeros(len(weight), np.float32)
    return LinearEncoder(mean, weight.astype(np.float32), offset.astype(np.float32))


def write_checkpoint(
    directory: Path,
    *,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    fatigue: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Path:
    """Saves the checkpoint into `directory` and returns it."""
    save_checkpoint(synthetic_checkpoint(seed=seed, temperature=temperature, fatigue=fatigue), directory)
    return directory
