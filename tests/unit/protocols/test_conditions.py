"""Conditions of production, small: everybody is shown as much, late answers cost, a start is chosen, parts are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from metarl_rec import dataset_store
from metarl_rec.choosing import Choices
from metarl_rec.config import TrainConfig, assigned
from metarl_rec.errors import ConfigError
from metarl_rec.inner_params import InnerParams, value_weight_of
from metarl_rec.protocol import ADAPTED
from metarl_rec.protocols import conditions
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

# What the protocol decides itself is left as it is by default.
FEW = Choices(item_attribute_scale=(0.1,), shrinkage=(), attribute_gain=(), noises=())
OURS = small_config(iterations=TrainConfig().iterations, evaluate_every=TrainConfig().evaluate_every)


def test_run_plays_every_condition_and_policies_that_learn_nothing_do_not_mind_late_answers(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    settings = conditions.Settings(splits=1, shown=20, choose=FEW, run=OURS)
    result = conditions.run(settings, workspace, lambda *_: None)
    (part,) = result.raw["splits"]
    played = {name: part["rewards"][name] for name in conditions.CONDITIONS}
    at_once, late = played["slates of 1, answers at once"], played["slates of 1, up to 5 steps late"]
    assert at_once["meta-policy"] == late["meta-policy"]
    assert at_once["adapted meta-policy"] != late["adapted meta-policy"]
    # Late and missing answers each cost slates of ten something, and not the same.
    tens = {name: rewards["adapted, greedy"] for name, rewards in played.items() if name.startswith("slates of 10")}
    assert len(tens) == len({str(rewards) for rewards in tens.values()}) == 4
    slates = np.array(tens["slates of 10, answers at once"])
    assert slates.shape == (len(part["users"]), 2)
    assert slates.max() <= 10
    shape = np.array(at_once["meta-policy"]).shape
    assert shape == (len(part["users"]), 20)
    assert conditions.run(settings, workspace, lambda *_: None).raw == result.raw
    assert [table.title for table in result.tables] == list(conditions.CONDITIONS)


def test_run_plays_the_start_that_those_who_judge_choose(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(), workspace.dataset)
    # Whoever trusts no answer does not adapt: nobody would choose what is given here.
    given = InnerParams(value_weight=value_weight_of(100.0))
    ours = small_config(
        iterations=TrainConfig().iterations, evaluate_every=TrainConfig().evaluate_every, start_noises=(0.2,)
    ).model_copy(update={"inner": given})
    result = conditions.run(conditions.Settings(splits=1, shown=10, choose=FEW, run=ours), workspace, lambda *_: None)
    assert result.raw["splits"][0]["inner"]["value_weight"] == pytest.approx(value_weight_of(0.2))


def test_run_refuses_to_show_more_items_than_there_are(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(items=80), workspace.dataset)
    with pytest.raises(ConfigError, match="setting shown: 90 items cannot be shown of 80, none twice"):
        conditions.run(conditions.Settings(splits=1, shown=90, choose=FEW, run=OURS), workspace, lambda *_: None)


def test_settings_refuse_a_number_of_items_that_slates_of_ten_do_not_make_up() -> None:
    with pytest.raises(ValidationError, match="multiple of 10"):
        conditions.Settings(shown=15)


@pytest.mark.parametrize(
    "assignment",
    [
        "train.algorithm=fomaml",
        "train.iterations=3",
        "train.learning_rate=0.1",
        "train.population=latent",
        "train.form=session",
        "train.device=cuda",
        "train.outer_temperature=1",
    ],
)
def test_settings_refuse_what_changes_nothing_here(assignment: str) -> None:
    name = assignment.partition("=")[0]
    with pytest.raises(ValidationError, match=f"run.{name} is decided by the protocol; leave it out"):
        conditions.Settings.model_validate({"run": assigned({}, [assignment])})


def test_settings_take_who_chooses_the_start() -> None:
    chosen = {"run": assigned({}, ["train.harm_cost=0", "train.jury_users=9", "train.start_noises=[0.2]"])}
    assert conditions.Settings.model_validate(chosen).run.train.jury_users == 9


def _report(shown: int, hits: dict[str, list[list[int]]]) -> conditions.ProtocolResult:
    """Person a plays in both splits, b in the first: the report of their hits, which come in the first slates."""
    played = [
        {
            "split": split,
            "users": users,
            "chosen": {"shrinkage": 0.1},
            "rewards": {
                name: {
                    policy: [
                        [min(size, max(0, count - size * step)) for step in range(shown // size)]
                        for count in hits.get(policy, hits["others"])[split]
                    ]
                    for policy in conditions.POLICIES
                }
                for name, (size, _) in conditions.CONDITIONS.items()
            },
        }
        for split, users in enumerate((["a", "b"], ["a"]))
    ]
    return conditions.report(conditions.Settings(splits=2, shown=shown), small_dataset(), played)


def test_report_says_on_whom_in_which_unit_and_how_uncertain() -> None:
    result = _report(10, {ADAPTED: [[1, 6], [3]], "others": [[2, 3], [1]]})
    tested = " ".join(result.tested)
    assert "small: 300 users, 80 items; test users of splits 0 to 1: 3 episodes of 2 people" in tested
    assert "Have less: share of episodes with strictly fewer hits under adapted meta-policy" in tested
    assert "the start that validation users and cross-fitted train users choose" in tested
    rows = {row[0]: row[1:] for row in result.tables[0].rows}
    # Over people +.5 and +3; over episodes 10 / 3, where a's miss the mean by 8 / 3 together, and b's too.
    assert rows[ADAPTED] == ("3.33 ± 1.78", "", "")
    assert rows["meta-policy"] == ("2.00 ± 0.67", "+1.75 ± 1.25", "33.3 %")
    assert result.verdict[0] == (
        "slates of 1, answers at once: adapting is worth +1.75 ± 1.25 hits in 10 shown, and 33.3 % of episodes have "
        "fewer hits than without it; sampled minus greedy +1.75 ± 1.25 hits."
    )
    own = next(curve for curve in result.panels[0].curves if curve.label == ADAPTED)
    assert own.error is not None
    assert (own.y[-1], own.error[-1]) == pytest.approx((1.75, 1.25)), "over people, each one's splits first"
    bar = result.bars[0]
    assert (bar.name, bar.found, bar.reached) == (
        "slates of 1, answers at once: adapted above meta-policy",
        "+1.75 ± 1.25",
        False,
    )
    assert len(result.bars) == len(conditions.CONDITIONS), "cold start's bars are about 40 items"


def test_report_has_cold_starts_bars_where_forty_items_are_shown_one_by_one() -> None:
    hits = {ADAPTED: [[20, 20], [19]], "adapted, greedy": [[20, 20], [20]], "others": [[20, 21], [20]]}
    bars = [bar for bar in _report(40, hits).bars if "40 shown" in bar.name]
    # Sampled minus greedy is -.5 and 0 a person, greedy minus HB 0 and -1.
    assert [(bar.name, bar.asked, bar.found, bar.reached) for bar in bars] == [
        (
            "slates of 1, answers at once: sampled against greedy, 40 shown",
            "not below by more than .2",
            "-0.25 ± 0.25",
            False,
        ),
        (
            "slates of 1, answers at once: greedy against tuned HB, 40 shown",
            "not below by more than .1",
            "-0.50 ± 0.50",
            False,
        ),
    ]
