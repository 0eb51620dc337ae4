"""The offline stages, each reading and writing files of a workspace; the command line and quickstart call these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metarl_rec import dataset_store, embedding_store
from metarl_rec.atomic import bundled_ml_100k
from metarl_rec.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from metarl_rec.choosing import Choices, choose_within
from metarl_rec.config import RunConfig
from metarl_rec.cross_fitting import FoldedEmbeddings
from metarl_rec.dataset import Dataset, UserSplit
from metarl_rec.errors import CheckpointError
from metarl_rec.evaluate import evaluate_lineup
from metarl_rec.export import build_checkpoint, meta_params
from metarl_rec.importing import ImportReport
from metarl_rec.lineup import Lineup
from metarl_rec.preparing import embedding_settings, prepared, split_embeddings
from metarl_rec.problem import Problem, build_problem
from metarl_rec.protocol import CORE_POLICIES
from metarl_rec.provenance import machine
from metarl_rec.report import plot_curve, write_json
from metarl_rec.statistics import Episodes
from metarl_rec.threads import share_cores
from metarl_rec.train import Progress, TrainResult, meta_train
from metarl_rec.workspace import Workspace

__all__ = [
    "checkpoint_problem",
    "choose",
    "embed",
    "evaluate_checkpoint",
    "import_bundled",
    "store_import",
    "train",
]

Report = Callable[[int, int], None]


def store_import(workspace: Workspace, dataset: Dataset, report: ImportReport) -> None:
    """Stores an imported data set and the report of its rows."""
    dataset_store.save(dataset, workspace.dataset)
    (workspace.dataset / "import.json").write_text(report.to_json() + "\n", encoding="utf-8")


def import_bundled(workspace: Workspace) -> Dataset:
    """Stores ml-100k, which RecBole's wheel ships, as the workspace's data set."""
    dataset = bundled_ml_100k()
    dataset_store.save(dataset, workspace.dataset)
    return dataset


def embed(workspace: Workspace, config: RunConfig, progress: Report | None = None) -> FoldedEmbeddings:
    """Trains item embeddings on meta-train users only, and stores them."""
    dataset, split = prepared(workspace, config)
    vectors = split_embeddings(dataset, split.train, config, progress)
    embedding_store.save_embeddings(workspace.embedding_file, vectors, _embedding_key(dataset, split, config))
    return vectors


def _embedding_key(dataset: Dataset, split: UserSplit, config: RunConfig) -> embedding_store.EmbeddingKey:
    return embedding_store.EmbeddingKey.of(dataset, split.train, folds=config.train.folds, **embedding_settings(config))


def choose(workspace: Workspace, config: RunConfig, on_choice: Report | None = None) -> RunConfig:
    """Returns the settings with those of the prior and the noises that are the defaults chosen within the split.

    Args:
        workspace: what was imported and embedded.
        config: settings; what is not the default stays. The same call chooses the same.
        on_choice: told how many starts of how many have been played.
    """
    dataset, split = prepared(workspace, config)
    vectors = embedding_store.load_embeddings(workspace.embedding_file, _embedding_key(dataset, split, config))
    share_cores()
    return choose_within(dataset, split, vectors, config, Choices.left_open(config), on_choice)[1]


def train(
    workspace: Workspace,
    config: RunConfig,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Checkpoint, TrainResult]:
    """Meta-trains on the stored embedding and stores the checkpoint; returns it as it will be served."""
    dataset, split = prepared(workspace, config)
    vectors = embedding_store.load_embeddings(workspace.embedding_file, _embedding_key(dataset, split, config))
    share_cores()
    problem = build_problem(dataset, split, vectors, config)
    result = meta_train(problem, config, state_dir=workspace.training, resume=resume, on_progress=on_progress)
    save_checkpoint(build_checkpoint(problem, result, config, {"machine": machine()}), workspace.checkpoint)
    return load_checkpoint(workspace.checkpoint), result


def checkpoint_problem(workspace: Workspace) -> tuple[Checkpoint, RunConfig, Problem]:
    """Returns the stored checkpoint with its settings and its own split's problem, fitted again as it was.

    Raises:
        CheckpointError: the checkpoint was trained on other data than the workspace holds.
    """
    checkpoint = load_checkpoint(workspace.checkpoint)
    config = RunConfig.model_validate(checkpoint.lineage["config"], strict=False)
    dataset, split = prepared(workspace, config)
    if dataset.digest != checkpoint.lineage["dataset"]["digest"]:
        raise CheckpointError(
            f"{workspace.checkpoint} was trained on other data than {workspace.dataset} holds; "
            "run embed and train again"
        )
    vectors = embedding_store.load_embeddings(workspace.embedding_file, _embedding_key(dataset, split, config))
    share_cores()
    problem = build_problem(dataset, split, vectors, config)
    if problem.space.features.shape != checkpoint.features.shape:
        raise CheckpointError(
            f"{workspace.checkpoint} has {checkpoint.features.shape[1]} features, this release fits "
            f"{problem.space.features.shape[1]} on the same settings: it was trained by another one; train again"
        )
    return checkpoint, config, problem


def evaluate_checkpoint(workspace: Workspace, on_policy: Callable[[str], None] | None = None) -> Episodes:
    """Plays the test users of the checkpoint's own split beside the core baselines, and stores the report.

    Raises:
        CheckpointError: the checkpoint was trained on other data than the workspace holds.
    """
    checkpoint, config, problem = checkpoint_problem(workspace)
    dataset, split = problem.dataset, problem.split
    rewards = evaluate_lineup(
        Lineup(problem, meta_params(checkpoint, config, problem.space), config), CORE_POLICIES, on_policy=on_policy
    )
    episodes = Episodes([dataset.user_ids[user] for user in split.test], [config.seed] * len(split.test), rewards)
    _store(workspace, episodes, config, dataset, {"policy_version": checkpoint.version})
    return episodes


def _store(
    workspace: Workspace, episodes: Episodes, config: RunConfig, dataset: Dataset, extra: dict[str, Any]
) -> None:
    workspace.evaluation.mkdir(parents=True, exist_ok=True)
    context = {
        "dataset": {"name": dataset.name, "digest": dataset.digest, "users": len(dataset.user_ids)},
        "config": config.model_dump(mode="json"),
        "machine": machine(),
        **extra,
    }
    write_json(workspace.report, episodes, context)
    title = f"cold start on {dataset.name}, {len(set(episodes.user_ids))} held-out users"
    plot_curve(workspace.evaluation / "curve.png", episodes, title)
