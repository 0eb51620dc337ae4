"""Item embeddings from the train users' positives: truncated SVD, or any RecBole general recommender that has some."""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.dataset import Dataset
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.isolation import contained

__all__ = ["available_models", "default_epochs", "item_embeddings"]

# Epochs and learning rate, chosen on MovieLens-100K by hits of held-out train users (four folds) within a few seconds
# of training. Every model named here is trained in a test.
_TRAINING = {
    "BPR": (20, 0.01),
    "ENMF": (120, 0.02),
    "LightGCN": (20, 0.01),
    "NeuMF": (5, 0.005),
    "SimpleX": (8, 0.01),
}
_OTHER_TRAINING = (20, 0.01)
_NAME = "interactions"


def available_models() -> list[str]:
    """Returns names that `item_embeddings` is tested with; RecBole's other models with item embeddings work as well."""
    return ["svd", *_TRAINING]


def default_epochs(model: str) -> int:
    """Returns how many epochs `item_embeddings` trains `model` for unless told otherwise; 0 for svd."""
    return 0 if model == "svd" else _training(model)[0]


def item_embeddings(
    dataset: Dataset,
    train_users: NDArray[np.int64],
    *,
    model: str,
    dim: int = 64,
    epochs: int | None = None,
    seed: int,
    threshold: float = 4.0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Returns [n, dim] float32, one row an item of `dataset`, learned from the train users alone.

    Items that no train user likes get zeros. An embedding narrower than `dim` is filled up with zero columns, a wider
    one (layers or parts side by side) is projected on its leading singular directions.

    Args:
        dataset: ratings.
        train_users: [N] int64, positions in `dataset.user_ids`.
        model: "svd" (right singular vectors of the centred 0/1 table), or a RecBole general recommender such as BPR.
        dim: number of columns, >= 1.
        epochs: passes over the positives, >= 1; None is `default_epochs(model)`; svd makes none.
        seed: same seed and machine, same result.
        threshold: rating from which on an item counts as liked.
        progress: called after every epoch with the epochs done and the epochs in all.

    Raises:
        ConfigError: `model` is unknown or has no item embeddings, or a number is out of range.
        DataError: no train user likes anything, or the training failed.
    """
    if dim < 1 or (epochs is not None and epochs < 1):
        raise ConfigError(f"dim {dim} and epochs {epochs} must be at least 1")
    rows = np.isin(dataset.user_index, train_users) & (dataset.rating >= threshold)
    if not rows.any():
        raise DataError(f"none of {len(train_users)} train users rates anything >= {threshold:g}; lower the threshold")
    users, items = dataset.user_index[rows], dataset.item_index[rows]
    out = np.zeros((len(dataset.item_ids), dim), np.float32)
    if model == "svd":
        seen = np.unique(items)
        table = dataset.reward_table(threshold)[np.unique(train_users)][:, seen]
        out[seen] = _with_width(_right_singular_vectors(table), dim)
        return out
    epochs = epochs or default_epochs(model)
    with tempfile.TemporaryDirectory(prefix="metarl-rec-") as folder, contained("recbole"):
        seen, vectors = _trained(users, items, model, dim, epochs, seed % 2**32, Path(folder), progress)
    if vectors.shape[1] > dim:
        left, singular, right = np.linalg.svd(vectors, full_matrices=False)
        vectors = left[:, :dim] * singular[:dim] * _signs(right[:dim])
    if not np.isfinite(vectors).all():
        raise DataError(f"{model} gave embeddings that are not finite after {epochs} epochs; ask for fewer")
    out[seen] = _with_width(vectors, dim)
    return out


def _training(model: str) -> tuple[int, float]:
    return {name.lower(): values for name, values in _TRAINING.items()}.get(model.lower(), _OTHER_TRAINING)


def _right_singular_vectors(table: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns [n, rank], the right singular vectors of the column-centred table [N, n] in descending order."""
    _, singular, right = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)
    right = right[singular > 1e-9 * max(singular[0], 1.0)]
    vectors: NDArray[np.float64] = (right * _signs(right)[:, None]).T
    return vectors


def _signs(rows: NDArray[Any]) -> NDArray[Any]:
    """Returns [R], the sign of each row's entry of greatest magnitude; LAPACK's own signs are arbitrary."""
    peaks = rows[np.arange(len(rows)), np.argmax(np.abs(rows), axis=1)]
    return np.where(peaks < 0, -1.0, 1.0)


def _with_width(vectors: NDArray[Any], dim: int) -> NDArray[np.float32]:
    """Returns the first `dim` columns, with zero columns where there are fewer."""
    out = np.zeros((len(vectors), dim), np.float32)
    width = min(dim, vectors.shape[1])
    out[:, :width] = vectors[:, :width]
    return out


def _trained(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    name: str,
    dim: int,
    epochs: int,
    seed: int,
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Trains a RecBole model on the pairs; returns the items that occur [m] and their embeddings [m, E].

    `recbole.quick_start` is avoided: it imports ray, writes checkpoints, and reloads them in a way that newer torch
    refuses.
    """
    torch: Any = importlib.import_module("torch")
    model_class = _model_class(name)
    # Small tables: a second thread doubles the CPU time and gains next to nothing, and beside another busy process
    # the two threads wait for each other many times longer than they compute.
    torch.set_num_threads(1)
    (folder / _NAME).mkdir()
    lines = (f"{user}\t{item}\n" for user, item in zip(users, items, strict=True))
    (folder / _NAME / f"{_NAME}.inter").write_text("user_id:token\titem_id:token\n" + "".join(lines), encoding="utf-8")
    settings = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO", "group_by": "user", "mode": "full"},
        "gpu_id": "",
        "use_gpu": False,
        "show_progress": False,
        "seed": seed,
        "epochs": epochs,
        "learning_rate": _training(name)[1],
        "embedding_size": dim,
        # NeuMF has two embeddings an item, which are put side by side.
        "mf_embedding_size": (dim + 1) // 2,
        "mlp_embedding_size": (dim + 1) // 2,
    }
    try:
        return _fit(model_class, settings, epochs, seed, progress)
    except ImportError as error:
        raise ConfigError(f"RecBole's {name} needs a package that is missing ({error}); {_advice()}") from error
    except (RuntimeError, ValueError) as error:
        raise DataError(f"RecBole's {name} failed to train: {error}; {_advice()}") from error


def _fit(
    model_class: Any, settings: dict[str, Any], epochs: int, seed: int, progress: Callable[[int, int], None] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    recbole_config: Any = importlib.import_module("recbole.config")
    recbole_data: Any = importlib.import_module("recbole.data")
    recbole_utils: Any = importlib.import_module("recbole.utils")
    trainer_module: Any = importlib.import_module("recbole.trainer.trainer")

    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    config = recbole_config.Config(model=model_class, dataset=_NAME, config_dict=settings)
    # RecBole hides the GPUs; the trainer then asks torch for them, and torch would never see them again.
    os.environ.pop("CUDA_VISIBLE_DEVICES")
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    recbole_utils.init_seed(seed, True)
    train_data, _, _ = recbole_data.data_preparation(config, recbole_data.create_dataset(config))
    model = model_class(config, train_data.dataset).to(config["device"])
    if not hasattr(model, "restore_item_e") and not _embedding_tables(model):
        raise ConfigError(f"RecBole's {model_class.__name__} has no item embeddings; {_advice()}")
    writer = trainer_module.get_tensorboard
    trainer_module.get_tensorboard = lambda logger: _NoTensorboard()
    try:
        trainer = recbole_utils.get_trainer(config["MODEL_TYPE"], model_class.__name__)(config, model)
        train_epoch = trainer._train_epoch

        def reported(data: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
            loss = train_epoch(data, epoch, *args, **kwargs)
            if progress is not None:
                progress(epoch + 1, epochs)
            return loss

        trainer._train_epoch = reported
        trainer.fit(train_data, saved=False, show_progress=False, verbose=False)
    finally:
        trainer_module.get_tensorboard = writer
    tokens = train_data.dataset.field2id_token[config["ITEM_ID_FIELD"]]
    # Row 0 is RecBole's padding.
    return np.array([int(token) for token in tokens[1:]], dtype=np.int64), _exported(model)[1:]


def _model_class(name: str) -> Any:
    """Returns RecBole's general recommender of that name, in any case of letters."""
    module = f"recbole.model.general_recommender.{name.lower()}"
    try:
        found = name.isidentifier() and importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"embedding model {name!r} needs RecBole, which is not installed; run: pip install 'metarl-rec[train]', "
            "or use svd"
        ) from error
    if found:
        try:
            members = vars(importlib.import_module(module)).items()
        except ImportError as error:
            raise ConfigError(f"RecBole's {name} needs a package that is missing ({error}); {_advice()}") from error
        for member, value in members:
            if member.lower() == name.lower() and getattr(value, "type", None) is not None:
                return value
    raise ConfigError(f"unknown embedding model {name!r}; {_advice()}")


def _advice() -> str:
    return (
        "take a RecBole general recommender that has item embeddings (not a neighbourhood or linear one), for example "
        + ", ".join(available_models())
    )


def _embedding_tables(model: Any) -> list[Any]:
    """Returns the model's tables with one row an item: the one called `item_embedding`, else all named after items."""
    tables = {
        name: module
        for name, module in model.named_modules()
        if getattr(module, "num_embeddings", None) == model.n_items and "item" in name and "user" not in name
    }
    return [tables["item_embedding"]] if "item_embedding" in tables else list(tables.values())


def _exported(model: Any) -> NDArray[np.float64]:
    """Returns [n_items, E] float64: what the model propagates over its graph, if it does, else its tables."""
    torch: Any = importlib.import_module("torch")
    interaction: Any = importlib.import_module("recbole.data.interaction")
    model.eval()
    with torch.no_grad():
        if hasattr(model, "restore_item_e"):
            # RecBole's graph models keep their propagated embeddings here once they have scored anybody.
            model.full_sort_predict(interaction.Interaction({model.USER_ID: torch.tensor([1])}))
            if model.restore_item_e is not None:
                propagated: NDArray[np.float64] = model.restore_item_e.double().numpy()
                return propagated
        parts = [table.weight.double().numpy() for table in _embedding_tables(model)]
    return np.hstack(parts)


class _NoTensorboard:
    """Takes what RecBole's trainer would write to log_tensorboard/ in the working directory."""

    def add_scalar(self, *args: object) -> None:
        """Writes nothing."""

    def add_hparams(self, *args: object) -> None:
        """Writes nothing."""
