"""Conditions of production, small: everybody is shown as much, late answers cost, parts are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metarl_rec import dataset_store
from metarl_rec.protocols import conditions
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset


def test_run_plays_every_condition_and_policies_that_learn_nothing_do_not_mind_late_answers(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = conditions.Settings(splits=1, shown=20, run=small_config())
    result = conditions.run(settings, workspace, lambda *_: None)
    (part,) = result.raw["splits"]
    at_once, late = part["rewards"]["slates of 1, answers at once"], part["rewards"]["slates of 1, up to 5 steps late"]
    assert at_once["meta-policy"] == late["meta-policy"]
    assert at_once["adapted meta-policy"] != late["adapted meta-policy"]
    slates = np.array(part["rewards"]["slates of 10, answers at once"]["adapted, greedy"])
    assert slates.shape == (len(part["users"]), 2)
    assert slates.max() <= 10
    shape = np.array(at_once["meta-policy"]).shape
    assert shape == (len(part["users"]), 20)
    assert conditions.run(settings, workspace, lambda *_: None).raw == result.raw
    assert [table.title for table in result.tables] == list(conditions.CONDITIONS)
