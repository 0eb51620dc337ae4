"""Item embeddings: SVD against closed forms, RecBole models trained for real, and nothing left behind."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl_rec import embeddings
from metarl_rec.cross_fitting import FoldedEmbeddings, folded_embeddings
from metarl_rec.dataset import Dataset
from metarl_rec.embedding_store import EmbeddingKey, load_embeddings, save_embeddings
from metarl_rec.embeddings import available_models, default_epochs, item_embeddings
from metarl_rec.errors import ConfigError, DataError

TRAIN = np.arange(40)


def _dataset() -> Dataset:
    """60 users: even ones like items 0-9, odd ones 10-19; only users 40-59 rate item 20, and nobody likes item 21."""
    rng = np.random.default_rng(0)
    users, items, ratings = [], [], []
    for user in range(60):
        for item in range(22):
            liked = item < 20 and (item < 10) == (user % 2 == 0)
            if rng.random() < (0.8 if liked else 0.15) and (item != 20 or user >= 40):
                users.append(f"u{user:02d}")
                items.append(f"i{item:02d}")
                ratings.append(5.0 if liked or item == 20 else 2.0)
    return Dataset.from_records("two-tastes", users, items, ratings, None, {}, {})


def _contrast(vectors: np.ndarray) -> float:
    """Mean cosine within the two groups of items minus the mean across."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    within = (cosine[:10, :10].sum() + cosine[10:, 10:].sum() - 20) / 180
    return float(within - cosine[:10, 10:].mean())


def test_item_embeddings_svd_equals_right_singular_vectors_of_the_centred_table() -> None:
    data = _dataset()
    table = data.reward_table()[TRAIN]
    _, _, right = np.linalg.svd(table - table.mean(axis=0))
    out = item_embeddings(data, TRAIN, model="svd", dim=4, seed=0)
    assert out.dtype == np.float32
    np.testing.assert_allclose(np.abs((out * right[:4].T).sum(axis=0)), np.ones(4), atol=1e-5)
    assert np.all(out[np.abs(out).argmax(axis=0), np.arange(4)] > 0)


def test_item_embeddings_svd_rank_below_dim_fills_up_with_zeros() -> None:
    out = item_embeddings(_dataset(), TRAIN, model="svd", dim=64, seed=0)
    norms = np.linalg.norm(out, axis=0)
    assert out.shape == (22, 64)
    np.testing.assert_allclose(norms[:20], np.ones(20), atol=1e-5)
    np.testing.assert_array_equal(norms[20:], np.zeros(44))


@pytest.mark.parametrize(
    ("model", "epochs"), [("BPR", 60), ("LightGCN", 60), ("SimpleX", 40), ("NeuMF", 60), ("ENMF", 90)]
)
def test_item_embeddings_recbole_model_finds_the_two_tastes(model: str, epochs: int) -> None:
    data = _dataset()
    out = item_embeddings(data, TRAIN, model=model, dim=8, epochs=epochs, seed=1)
    assert out.shape == (22, 8)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[20:], np.zeros((2, 8)))
    assert _contrast(out[:20]) > 0.3


def test_available_models_are_those_tested_here() -> None:
    assert available_models() == ["svd", "BPR", "ENMF", "LightGCN", "NeuMF", "SimpleX"]
    assert default_epochs("svd") == 0
    assert default_epochs("lightgcn") == default_epochs("LightGCN") == 20


def test_item_embeddings_other_users_ratings_do_not_matter() -> None:
    data = _dataset()
    hidden = data.user_index < 40
    fewer = Dataset(
        data.name, data.user_ids, data.item_ids, data.user_index[hidden], data.item_index[hidden],
        data.rating[hidden], None, data.user_attributes, data.item_attributes,
    )  # fmt: skip
    for model in ("svd", "BPR"):
        first, second = (item_embeddings(each, TRAIN, model=model, dim=8, epochs=3, seed=0) for each in (data, fewer))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("model", ["BPR", "NeuMF"])
def test_item_embeddings_same_seed_gives_the_same_bits_and_another_does_not(model: str) -> None:
    first, second, third = (
        item_embeddings(_dataset(), TRAIN, model=model, dim=8, epochs=2, seed=seed) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_item_embeddings_wide_model_is_projected() -> None:
    # NGCF puts its layers side by side, four times 64 columns or so.
    out = item_embeddings(_dataset(), TRAIN, model="NGCF", dim=6, epochs=2, seed=0)
    assert out.shape == (22, 6)
    gram = out.astype(np.float64).T @ out
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), np.zeros((6, 6)), atol=1e-4 * gram[0, 0])


def test_item_embeddings_progress_counts_epochs() -> None:
    seen: list[tuple[int, int]] = []
    item_embeddings(
        _dataset(), TRAIN, model="BPR", dim=4, epochs=3, seed=0, progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_item_embeddings_recbole_leaves_the_process_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["metarl-rec", "--epochs=7", "--model=Pop"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)  # noqa: NPY002
    expected = (random.random(), np.random.random(), torch.rand(1).item())  # noqa: NPY002
    threads, cudnn, root = torch.get_num_threads(), torch.backends.cudnn.deterministic, logging.getLogger()
    handlers, filters, environment = list(root.handlers), list(root.filters), dict(os.environ)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)  # noqa: NPY002
    epochs: list[int] = []
    item_embeddings(
        _dataset(), TRAIN, model="BPR", dim=4, epochs=2, seed=0, progress=lambda done, of: epochs.append(of)
    )
    assert epochs == [2, 2]
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected  # noqa: NPY002
    assert sys.argv == ["metarl-rec", "--epochs=7", "--model=Pop"]
    assert dict(os.environ) == environment
    assert (torch.get_num_threads(), torch.backends.cudnn.deterministic) == (threads, cudnn)
    assert (root.handlers, root.filters) == (handlers, filters)
    assert not hasattr(np, "float")
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert "ray" not in sys.modules
    assert "recbole.quick_start" not in sys.modules


def test_data_modules_import_loads_no_trainer_library() -> None:
    code = (
        "import sys, metarl_rec.importing, metarl_rec.dataset_store, metarl_rec.embedding_store, metarl_rec.prior;"
        "print(sorted({'torch', 'recbole', 'pandas', 'scipy', 'pyarrow', 'ray'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("model", ["EASE", "ItemKNN", "MultiVAE", "Pop"])
def test_item_embeddings_model_without_item_embeddings_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match=rf"{model} has no item embeddings; take .* svd, BPR"):
        item_embeddings(_dataset(), TRAIN, model=model, seed=0)


@pytest.mark.parametrize("model", ["SASRec", "nosuch", "../bpr", "", "x.y", "__init__"])
def test_item_embeddings_unknown_model_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown embedding model .* svd, BPR"):
        item_embeddings(_dataset(), TRAIN, model=model, seed=0)


def test_item_embeddings_without_recbole_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(embeddings.importlib.util, "find_spec", missing)
    with pytest.raises(ConfigError, match=r"pip install 'metarl-rec\[train\]', or use svd"):
        item_embeddings(_dataset(), TRAIN, model="BPR", seed=0)


def test_item_embeddings_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="none of 40 train users rates anything >= 6"):
        item_embeddings(_dataset(), TRAIN, model="svd", seed=0, threshold=6.0)
    with pytest.raises(ConfigError, match="dim 0"):
        item_embeddings(_dataset(), TRAIN, model="svd", seed=0, dim=0)


def _constant(value: float) -> FoldedEmbeddings:
    array = np.full((22, 5), value, np.float32)
    return FoldedEmbeddings(array, (array, array))


def test_load_embeddings_same_key_gives_the_same_bits(tmp_path: Path) -> None:
    data, path = _dataset(), tmp_path / "sub" / "svd.safetensors"
    out = folded_embeddings(data, TRAIN, 3, model="svd", dim=5, seed=0)
    key = EmbeddingKey.of(data, TRAIN, folds=3, model="svd", dim=5, seed=0)
    save_embeddings(path, out, key)
    back = load_embeddings(path, key)
    assert len(back.folds) == 3
    for stored, made in zip((back.whole, *back.folds), (out.whole, *out.folds), strict=True):
        np.testing.assert_array_equal(stored, made)
        assert stored.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": "BPR"}, "with model svd, not BPR"),
        ({"dim": 6}, "with dim 5, not 6"),
        ({"seed": 1}, "with seed 0, not 1"),
        ({"threshold": 3.0}, "with threshold 4.0, not 3.0"),
        ({"train_users": TRAIN[1:]}, "with train_users_digest"),
        ({"train_users": TRAIN[::-1]}, "with train_users_digest"),
        ({"folds": 3}, "with folds 2, not 3"),
        ({"dataset": _dataset().filter(min_ratings=8)}, "with dataset_digest"),
    ],
)
def test_load_embeddings_other_key_is_refused(tmp_path: Path, change: dict[str, object], text: str) -> None:
    arguments = {"dataset": _dataset(), "train_users": TRAIN, "folds": 2, "model": "svd", "dim": 5, "seed": 0}
    path = tmp_path / "svd.safetensors"
    save_embeddings(path, _constant(0), EmbeddingKey.of(**arguments))
    with pytest.raises(DataError, match=text):
        load_embeddings(path, EmbeddingKey.of(**{**arguments, **change}))


def test_load_embeddings_missing_damaged_or_changed_file_is_refused(tmp_path: Path) -> None:
    key = EmbeddingKey.of(_dataset(), TRAIN, folds=2, model="svd", dim=5, seed=0)
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    with pytest.raises(DataError, match="does not exist; run `metarl-rec embed`"):
        load_embeddings(path, key)
    save_embeddings(path, _constant(0), key)
    save_embeddings(other, _constant(1), key)
    path.write_bytes(other.read_bytes())
    with pytest.raises(DataError, match="was changed"):
        load_embeddings(path, key)
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(DataError, match="damaged"):
        load_embeddings(path, key)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.safetensors does not exist"):
        load_embeddings(path, key)
