"""The ablation, small: every arm changes what it says, outer loops are paired with their own starts, parts are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from metarl_rec import dataset_store
from metarl_rec.config import STARTS, TrainConfig, assigned, load_config
from metarl_rec.protocols import ablation
from metarl_rec.protocols.ablation_arms import ARMS, DEFAULT, Arm
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

# What the protocol decides itself is left as it is by default.
KEPT = ("iterations", "evaluate_every", "validation_repeats", *STARTS)
OURS = small_config(**{name: getattr(TrainConfig(), name) for name in KEPT})
BY_NAME = {arm.name: arm for arm in ARMS}


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_config_of_every_arm_is_valid_and_is_the_arms_own(arm: Arm) -> None:
    settings = ablation.Settings()
    config, default = (ablation.config_of(settings, each, 1) for each in (arm, BY_NAME[DEFAULT]))
    assert config.seed == 1
    same = config == default
    # MAML is the default's outer loop, which the default does not run.
    assert same == ((not arm.changes and arm.policy_factor == 1) or arm.name == "maml (prior)")


def test_policy_gradient_arms_are_multiples_of_the_settings_coefficient() -> None:
    settings = ablation.Settings(run=load_config(None, ["inner.policy_coef=0.002"]))
    names = ("value term only", "policy-gradient term x 10", "policy-gradient term x 100", "policy-gradient term alone")
    found = [ablation.config_of(settings, BY_NAME[name], 0).inner.policy_coef for name in names]
    assert found == pytest.approx([0, 0.02, 0.2, 0.002])


def test_scalar_step_size_changes_nothing_but_preconditioner_and_its_step() -> None:
    inner = ablation.config_of(ablation.Settings(), BY_NAME["scalar step size"], 0).inner
    default = ablation.config_of(ablation.Settings(), BY_NAME[DEFAULT], 0).inner
    changed = {name for name, value in inner.model_dump().items() if value != getattr(default, name)}
    assert changed == {"preconditioner", "step_sizes"}


def test_run_some_arms_reports_differences_to_the_default(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    names = ("maml (prior)", "maml (random)", "value term only", "policy-gradient term alone", "scalar step size")
    settings = ablation.Settings(splits=1, iterations=2, arms=names, run=OURS)
    result = ablation.run(settings, workspace, lambda *_: None)
    loops, every = result.tables
    rows = {row[0]: row for row in every.rows}
    starts = {f"{what} ({origin})" for what in ("unadapted", "start") for origin in ("prior", "random")}
    assert set(rows) == {*starts, *names}, "starts that outer loops are compared with are played, too"
    assert rows[DEFAULT][2:5] == ("", "", "")
    assert rows["value term only"][5] == rows["unadapted (prior)"][5] == "no ratios"
    assert rows["maml (prior)"][5] != "no ratios"
    assert float(rows["scalar step size"][6]) < float(rows[DEFAULT][6]), "it does not go all the way"
    assert float(rows["policy-gradient term alone"][6]) < 0.1 * float(rows[DEFAULT][6])
    hits = {
        part["arm"]: np.array([sum(map(int, digits)) for digits in part["rewards"]]) for part in result.raw["parts"]
    }
    learned, start, default = (hits[name] for name in ("maml (random)", "start (random)", DEFAULT))
    assert rows["maml (random)"][4] == f"{100 * np.mean(learned < default):.1f} %"
    assert loops.columns[1:] == ("the prior", "minus its start", "random features", "minus its start")
    maml = {row[0]: row for row in loops.rows}["MAML"]
    assert maml[3] == f"{learned.mean():.2f}"
    assert maml[4].startswith(f"{np.mean(learned - start):+.2f} ± ")
    again = ablation.run(settings, workspace, lambda *_: None)
    assert again.raw == result.raw
    assert len(list((workspace.evaluation / "ablation" / "parts").iterdir())) == len(rows)


def _parts(hits: dict[str, list[list[int]]]) -> list[dict[str, Any]]:
    """Person a plays in both splits, b in the first: parts from everybody's hits, all of them in the first steps."""
    return [
        {"split": split, "arm": arm, "users": users, "rewards": ["1" * count + "0" * (40 - count) for count in own]}
        | {"ratios": [4.0] * len(users), "clipped": [1.0] * len(users), "kl_nats": [3.0] * len(users)}
        for arm, splits in hits.items()
        for split, (users, own) in enumerate(zip((["a", "b"], ["a"]), splits, strict=True))
    ]


def test_report_pairs_outer_loops_with_their_start_and_with_each_other() -> None:
    hits = {
        "unadapted (prior)": [[10, 10], [10]],
        "start (prior)": [[20, 20], [20]],
        "unadapted (flat)": [[10, 10], [10]],
        "start (flat)": [[12, 14], [14]],
        "maml (flat)": [[19, 22], [19]],
        "fomaml (flat)": [[15, 10], [15]],
        "value term only": [[20, 21], [20]],
    }
    arms = [arm for arm in ARMS if arm.name in hits]
    result = ablation.report(ablation.Settings(splits=2), "small", arms, _parts(hits))
    rows = {row[0]: row[1:] for row in result.tables[0].rows}
    # Above its start a has 7 and 5, b 8: 6 and 8 a person. Above FOMAML 4 and 12, above the prior's start -1 and 2.
    assert rows["unadapted"] == ("10.00", "-10.00 ± 0.00", "10.00", "-3.50 ± 0.50")
    assert rows["start"] == ("20.00", "", "13.33", "")
    assert rows["MAML"] == ("", "", "20.00", "+7.00 ± 1.00")
    assert rows["MAML minus FOMAML: second order"] == ("", "", "", "+8.00 ± 4.00")
    assert rows["MAML minus joint training"] == ("", "", "", "")
    assert rows["start minus the prior's start"] == ("", "", "", "-6.50 ± 0.50")
    assert rows["MAML minus the prior's start"] == ("", "", "", "+0.50 ± 1.50")
    assert [(bar.name, bar.found, bar.reached) for bar in result.bars] == [
        ("from flat features, MAML above its start", "+7.00 ± 1.00", True),
        ("from flat features, MAML against the prior's start", "+0.50 ± 1.50", False),
        ("second order: from flat features, MAML above FOMAML", "+8.00 ± 4.00", False),
    ]
    assert result.verdict == [
        "From flat features, hits at 40 minus the start's: MAML +7.00 ± 1.00, FOMAML -1.00 ± 3.00; second order "
        "+8.00 ± 4.00.",
        "Clip or bound silence 25 % of the default's ratios, and 40 steps bring it 3.00 nats from its initialization; "
        "hits at 40 minus the default's: no adaptation -10.00 ± 0.00, value term only +0.50 ± 0.50.",
    ]
    flat = {panel.title: panel.curves for panel in result.panels}["from flat features"]
    assert [curve.label for curve in flat] == ["start", "MAML", "FOMAML"]
    assert flat[1].y[9::30] == pytest.approx([0, 10.5]), "above the unadapted start, over people"
    assert flat[1].error[39] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("assignment", "remedy"),
    [
        ("train.algorithm=reptile", "set arms instead"),
        ("train.harm_cost=0", "leave it out"),
        ("train.validation_users=5", "leave it out"),
        ("train.jury_users=5", "leave it out"),
    ],
)
def test_settings_refuse_what_changes_nothing_here(assignment: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"is decided by the protocol; {remedy}"):
        ablation.Settings.model_validate({"run": assigned({}, [assignment])})


def test_settings_refuse_an_unknown_name_of_arms() -> None:
    with pytest.raises(
        ValidationError, match=r"no such arm: reptil; choose from unadapted \(prior\), start \(prior\), maml"
    ):
        ablation.Settings(arms=("reptil",))
