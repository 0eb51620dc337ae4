"""The ablation, small: every arm changes what it says, the default is compared with itself, parts are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from metarl_rec import dataset_store
from metarl_rec.config import TrainConfig
from metarl_rec.protocols import ablation
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

# What the protocol decides itself is left as it is by default.
KEPT = ("iterations", "evaluate_every", "validation_repeats", "start_noises", "start_forgettings")
OURS = small_config(**{name: getattr(TrainConfig(), name) for name in KEPT})


@pytest.mark.parametrize("arm", ablation.ARMS, ids=lambda arm: arm.name)
def test_config_of_every_arm_is_valid_and_is_the_arms_own(arm: ablation.Arm) -> None:
    settings = ablation.Settings()
    config, default = (ablation.config_of(settings, each, 1) for each in (arm, ablation.ARMS[0]))
    assert config.seed == 1
    same = config == default
    # MAML is the default's outer loop, which the default does not run.
    assert same == (not arm.changes or arm.name == "maml")


def test_run_some_arms_reports_differences_to_the_default(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    names = (
        "maml",
        "joint, flat",
        "random start",
        "maml, random",
        "value term only",
        "greedy instead of sampled",
        "scalar step size",
    )
    settings = ablation.Settings(splits=1, iterations=2, arms=names, run=OURS)
    result = ablation.run(settings, workspace, lambda *_: None)
    rows = {row[0]: row for table in result.tables for row in table.rows}
    assert set(rows) == {ablation.DEFAULT, *names}
    assert rows[ablation.DEFAULT][2:4] == ("", "")
    assert rows["value term only"][6] == rows["greedy instead of sampled"][6] == "no ratios"
    assert rows["maml"][6] != "no ratios"
    assert float(rows["scalar step size"][7]) < float(rows[ablation.DEFAULT][7]), "it does not go all the way"
    assert rows["maml"][5] == rows["value term only"][5] == "", "their own start is the default"
    learned, start = (
        np.concatenate([part["hits40"] for part in result.raw["parts"] if part["arm"] == name])
        for name in ("maml, random", "random start")
    )
    assert rows["maml, random"][5].startswith(f"{np.mean(learned - start):+.2f} ± ")
    assert rows["random start"][5] == ""
    default = np.concatenate([part["hits40"] for part in result.raw["parts"] if part["arm"] == ablation.DEFAULT])
    assert rows["maml, random"][4] == f"{100 * np.mean(learned < default):.1f} %"
    again = ablation.run(settings, workspace, lambda *_: None)
    assert again.raw == result.raw
    assert len(list((workspace.evaluation / "ablation" / "parts").iterdir())) == len(names) + 1


def test_settings_refuse_an_unknown_name_of_arms() -> None:
    with pytest.raises(ValidationError, match="no such arm: reptil; choose from empirical-Bayes start, maml"):
        ablation.Settings(arms=("reptil",))
