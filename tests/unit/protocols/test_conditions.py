"""Conditions of production, small: everybody is shown as much, late answers cost, parts are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metarl_rec import dataset_store
from metarl_rec.protocol import ADAPTED
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


def test_report_says_on_whom_in_which_unit_and_how_uncertain() -> None:
    # Person a plays in both splits: 1 and 3 hits as adapted, 2 and 1 not; person b in the first, 6 and 3.
    adapted, others = [[1.0, 6.0], [3.0]], [[2.0, 3.0], [1.0]]
    played = [
        {
            "split": split,
            "users": users,
            "rewards": {
                name: {
                    policy: [[hits] + [0.0] * (9 if size == 1 else 0) for hits in own[split]]
                    for policy, own in ((p, adapted if p == ADAPTED else others) for p in conditions.POLICIES)
                }
                for name, (size, _) in conditions.CONDITIONS.items()
            },
        }
        for split, users in enumerate((["a", "b"], ["a"]))
    ]
    result = conditions.report(conditions.Settings(splits=2, shown=10), small_dataset(), played)
    tested = " ".join(result.tested)
    assert "small: 300 users, 80 items; test users of splits 0 to 1: 3 episodes of 2 people" in tested
    assert "Have less: share of episodes with strictly fewer hits under adapted meta-policy" in tested
    rows = {row[0]: row[1:] for row in result.tables[0].rows}
    # Over people 2 and 6 (1.5 and 3), over episodes 10 / 3 and 2; of three episodes one has fewer hits.
    assert rows[ADAPTED] == ("3.33 ± 2.00", "", "")
    assert rows["meta-policy"] == ("2.00 ± 0.75", "+1.75 ± 1.25", "33.3 %")
    assert result.verdict[0] == (
        "slates of 1, answers at once: adapting is worth +1.75 ± 1.25 hits in 10 shown, and 33.3 % of episodes have "
        "fewer hits than without it; sampled minus greedy +1.75 ± 1.25 hits."
    )
