"""Tasks of one iteration: whoever is there at all is cut at a step where they are, and nobody left is an error."""

from __future__ import annotations

import numpy as np
import pytest

from metarl_rec.config import RunConfig
from metarl_rec.errors import ConfigError
from metarl_rec.outer_loop import TaskBatch
from metarl_rec.populations import TrainingPopulations
from metarl_rec.task_batches import task_batch
from metarl_rec.train import start_of
from tests.unit.synthetic import small_config, small_problem


def sessions(**leaving: float) -> RunConfig:
    """Settings of one session of twelve steps that users leave."""
    return small_config(
        population="latent", form="session", session_length=12, simulated_users=200,
        world={"leaving": {"failure": 0.0, **leaving}},
    )  # fmt: skip


def batch_of(config: RunConfig) -> TaskBatch:
    problem = small_problem(config)
    return task_batch(TrainingPopulations.fit(problem, config), start_of(problem, config), 0)


def told(batch: TaskBatch) -> np.ndarray:
    """Returns how many items each user was shown before the cut."""
    return np.asarray(80 - batch.query.sum(dim=1).numpy())


def test_task_batch_users_who_leave_are_cut_while_they_are_there() -> None:
    batch = batch_of(sessions(hazard=0.5))
    # Half leave after the first step; of the others everybody is judged, most of them soon.
    assert 70 < len(batch.shift) < 130
    counts = np.bincount(told(batch), minlength=12)
    assert counts[0] == 0
    assert counts[1] > counts[2] > counts[4]


def test_task_batch_users_who_stay_are_cut_at_every_step_alike() -> None:
    counts = np.bincount(told(batch_of(sessions(hazard=0.0))), minlength=12)
    assert (counts.sum(), counts[0], len(counts)) == (200, 0, 12)
    assert counts[1:].min() >= 6  # 18 expected


def test_task_batch_nobody_after_the_first_step_names_the_setting() -> None:
    words = "iteration 0: none of 200 users is there after the first step, .*; raise train.simulated_users"
    with pytest.raises(ConfigError, match=words):
        batch_of(sessions(hazard=1.0))
