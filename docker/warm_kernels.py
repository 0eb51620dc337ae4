"""Compiles the serving kernels into NUMBA_CACHE_DIR, with the array types that a loaded checkpoint has."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.checkpoint import Checkpoint, ItemRecord, load_checkpoint, save_checkpoint
from metarl_rec.inner_params import InnerParams
from metarl_rec.prior import LinearEncoder
from service.catalogue import LiveCatalogue
from service.warmup import warm

__all__ = ["tiny_checkpoint"]

N_ITEMS, DIM = 8, 4


def tiny_checkpoint() -> Checkpoint:
    """Returns a checkpoint of a few made-up items; kernels do not depend on sizes."""
    rng = np.random.default_rng(0)
    items = tuple(ItemRecord(str(i), {"genres": ["a" if i % 2 else "b"]}) for i in range(N_ITEMS))
    item_attributes = AttributeEncoder.fit([item.attributes for item in items])
    user_attributes = AttributeEncoder.fit([{"group": "ab"[i % 2]} for i in range(N_ITEMS)])
    return Checkpoint(
        version="",
        items=items,
        features=rng.normal(size=(N_ITEMS, DIM)).astype(np.float32),
        popularity=rng.uniform(size=N_ITEMS).astype(np.float32),
        initialization=np.zeros(DIM, np.float32),
        item_encoder=_zero_encoder(item_attributes.width, DIM + 1),
        user_encoder=_zero_encoder(user_attributes.width, DIM),
        item_attributes=item_attributes,
        user_attributes=user_attributes,
        inner=InnerParams(),
        lineage={},
        metrics={},
    )


def _zero_encoder(width: int, outputs: int) -> LinearEncoder:
    return LinearEncoder(
        np.zeros(width, np.float32), np.zeros((width, outputs), np.float32), np.zeros(outputs, np.float32)
    )


def main() -> None:
    """Saves, loads and warms, as the service does when it starts."""
    with tempfile.TemporaryDirectory() as directory:
        save_checkpoint(tiny_checkpoint(), Path(directory))
        checkpoint = load_checkpoint(Path(directory))
    engine: Any = SimpleNamespace(
        checkpoint=checkpoint, catalogue=LiveCatalogue(checkpoint, range(len(checkpoint.items)))
    )
    warm(engine)


if __name__ == "__main__":
    main()
