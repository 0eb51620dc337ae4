"""The stages on files: a checkpoint is judged by the settings it was trained with, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metarl_rec import dataset_store, pipeline
from metarl_rec.checkpoint import save_checkpoint
from metarl_rec.errors import CheckpointError
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset


def test_checkpoint_problem_is_refused_where_the_settings_give_other_features(tmp_path: Path) -> None:
    workspace, config = Workspace(tmp_path), small_config(iterations=0)
    dataset_store.save(small_dataset(), workspace.dataset)
    pipeline.embed(workspace, config)
    checkpoint, _ = pipeline.train(workspace, config)
    _, _, problem = pipeline.checkpoint_problem(workspace)
    assert problem.space.features.tolist() == checkpoint.features.tolist()
    # As a release would see it whose defaults have changed since.
    other = config.model_copy(update={"prior": config.prior.model_copy(update={"item_attribute_scale": 0.0})})
    lineage = {**checkpoint.lineage, "config": other.model_dump(mode="json")}
    save_checkpoint(replace(checkpoint, lineage=lineage), workspace.checkpoint)
    with pytest.raises(CheckpointError, match="train again"):
        pipeline.checkpoint_problem(workspace)
