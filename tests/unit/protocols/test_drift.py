"""The protocol of moving worlds, small: what is learned where, parts kept, figures that follow from the rewards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from metarl_rec import dataset_store
from metarl_rec.config import RunConfig, TrainConfig
from metarl_rec.problem import Problem
from metarl_rec.protocols import drift, drift_worlds
from metarl_rec.train import TrainResult, start_of
from metarl_rec.validate import Validation
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

RUN = small_config().model_copy(update={"train": TrainConfig(folds=3)})


def test_run_learns_forgetting_in_drift_and_fatigue_in_satiation(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = drift_worlds.Settings(
        splits=1, worlds=("drift", "satiation"), steps=10, users=30, validation_users=20, iterations=2, train_users=12,
        others=("random", "oracle"), run=RUN,
    )  # fmt: skip
    result = drift.run(settings, workspace, lambda *_: None)
    moving, satiated = result.raw["parts"]
    assert moving["inner"]["forgetting"] > 0
    assert moving["inner"]["fatigue"] == [0.0, 0.0, 0.0]
    assert satiated["inner"]["forgetting"] == 0
    assert min(satiated["inner"]["fatigue"]) > 0
    assert len(moving["totals"][drift_worlds.OURS]) == 30
    assert set(drift_worlds.PARTS) - set(moving["totals"]) == {"adapted, no fatigue"}
    assert set(drift_worlds.PARTS) <= set(satiated["totals"])
    assert drift_worlds.REMEMBERING not in satiated["totals"]
    assert moving["totals"][drift_worlds.REMEMBERING] != moving["totals"][drift_worlds.OURS]
    assert moving["totals"][drift_worlds.GREEDY] != moving["totals"][drift_worlds.OURS]
    for part in (moving, satiated):
        assert set(settings.others) <= set(part["totals"])
        # Nobody knows better what is liked at the moment; where showing has effects, the moment is not all.
        best = max(part["totals"], key=lambda name: sum(part["totals"][name]))
        assert best == "oracle" or part is satiated
    again = drift.run(settings, workspace, lambda *_: None)
    assert again.raw == result.raw
    gap = np.subtract(moving["totals"][drift_worlds.OURS], moving["totals"][drift_worlds.STATIONARY])
    row = next(row for row in result.tables[0].rows if row[0] == drift_worlds.STATIONARY)
    assert row[2].startswith(f"{gap.mean():+.2f}")
    means, errors = moving["above_popularity"][drift_worlds.OURS]
    above = np.subtract(moving["totals"][drift_worlds.OURS], moving["totals"][drift_worlds.POPULARITY])
    assert means[-1] == pytest.approx(above.mean(), abs=1e-4)
    assert errors[-1] == pytest.approx(above.std(ddof=1) / np.sqrt(30), abs=1e-4)
    assert drift_worlds.TIRING not in moving["totals"]
    assert satiated["totals"][drift_worlds.TIRING] != satiated["totals"][drift_worlds.STATIONARY]
    level = satiated["tuned"][drift_worlds.TIRING]["fatigue"][0]
    assert level in (drift_worlds.START_FATIGUE, *drift_worlds.START_FATIGUES)
    noise = satiated["tuned"][drift_worlds.TIRING]["noise"]
    assert noise in drift_worlds.NOISES
    assert f"{drift_worlds.TIRING} noise {noise} fatigue {level}" in result.tables[1].note
    greedy = np.subtract(moving["totals"][drift_worlds.GREEDY], moving["totals"][drift_worlds.STATIONARY])
    assert f"that one, greedy as HB is, minus HB without forgetting {greedy.mean():+.2f}" in result.verdict[0]
    assert "satiation: not below HB with tuned fatigue" in [bar.name for bar in result.bars]
    assert "Split 0 shipped" in result.tables[0].note


def test_run_plays_the_features_as_they_were_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def to_nothing(problem: Problem, config: RunConfig) -> TrainResult:
        meta = start_of(problem, config)
        meta = replace(meta, log_scale=meta.log_scale - 100)
        judged = Validation(0.0, 0.0, (), ())
        return TrainResult(meta, judged, judged, start_of(problem, config), meta)

    monkeypatch.setattr(drift, "meta_train", to_nothing)
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = drift_worlds.Settings(
        splits=1, worlds=("drift",), steps=6, users=20, validation_users=20, others=("oracle",), run=RUN
    )
    (part,) = drift.run(settings, workspace, lambda *_: None).raw["parts"]
    # Without features nothing tells people apart, so nobody can be adapted to.
    assert part["totals"][drift_worlds.OURS] == part["totals"][drift_worlds.UNADAPTED]
    assert part["totals"][drift_worlds.UNTRAINED] != part["totals"][drift_worlds.OURS]


def test_config_of_a_world_changes_only_what_the_world_needs() -> None:
    settings = drift_worlds.Settings()
    steady = drift_worlds.config_of(settings, "abrupt drift", 3)
    assert (steady.seed, steady.inner.discount, steady.train.form) == (3, 0.0, "bandit")
    sessions = drift_worlds.config_of(settings, "sessions", 0)
    assert (sessions.inner.discount, sessions.train.form) == (0.9, "session")
    assert sessions.prior == settings.run.prior


def test_split_that_ships_the_start_does_not_say_that_it_was_learned(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = drift_worlds.Settings(
        splits=1, worlds=("drift",), steps=6, users=20, validation_users=20, iterations=0, others=(), run=RUN
    )
    result = drift.run(settings, workspace, lambda *_: None)
    (table,) = result.tables
    totals = result.raw["parts"][0]["totals"]
    assert totals[drift_worlds.UNTRAINED] == totals[drift_worlds.OURS]
    assert "Split 0 shipped the start that was chosen" in table.note


def test_settings_refuse_beside_us_whom_the_protocol_plays_itself() -> None:
    with pytest.raises(ValidationError, match="no such policy: HB linear, greedy; choose from BPR fold-in, "):
        drift_worlds.Settings(others=("HB linear, greedy",))


def test_settings_refuse_an_unknown_name_of_worlds() -> None:
    with pytest.raises(ValidationError, match="no such world: abrupt-drift; choose from drift, abrupt drift"):
        drift_worlds.Settings(worlds=("abrupt-drift",))
