"""Real drift, small: what the data must hold is said before anything is played, and few people still make a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarl_rec import dataset_store
from metarl_rec.config import TrainConfig
from metarl_rec.errors import DataError
from metarl_rec.protocols import real_drift
from metarl_rec.protocols.real_drift_report import (
    FORGETTING,
    LATEST,
    OURS,
    POPULARITY,
    STATIONARY,
    THIRD,
    UNADAPTED,
    report,
)
from metarl_rec.protocols.writing import write_report
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_config, small_dataset

RUN = small_config().model_copy(update={"train": TrainConfig(folds=3)})


def test_run_nobody_with_more_ratings_than_asked_for_is_refused_with_the_remedy(tmp_path: Path) -> None:
    dataset = small_dataset()
    dataset = replace(dataset, timestamp=np.arange(len(dataset.rating), dtype=np.float64))
    workspace = Workspace(tmp_path)
    dataset_store.save(dataset, workspace.dataset)
    settings = real_drift.Settings(splits=1, above=80, run=RUN)
    with pytest.raises(DataError, match=r"^split 0 has no user with more than 80 ratings to tune on; lower `above`"):
        real_drift.run(settings, workspace, lambda *_: None)


def played(*lengths: int) -> list[dict[str, object]]:
    """One split with a person for each number of judged ratings, the first the least similar to themselves."""
    names = (POPULARITY, UNADAPTED, STATIONARY, FORGETTING, LATEST, OURS)
    people = [
        {
            "user": str(person),
            "judged": length,
            "cosine": person / 10,
            "hits": {name: [rank + person] * -(-length // 10) for rank, name in enumerate(names)},
        }
        for person, length in enumerate(lengths)
    ]
    tuned = dict.fromkeys((STATIONARY, FORGETTING, OURS), (0.2, 0.0))
    return [{"split": 0, "users": people, "tuned": tuned}]


@pytest.mark.parametrize(
    ("lengths", "panels", "judged"),
    [
        ((25, 15, 12, 31), {"all": [5, 15], THIRD: [5]}, 2),
        ((9, 8, 35, 7), {}, 2),
        ((9, 8, 7, 6), {}, 2),
        ((40, 30), {"all": [5, 15, 25]}, 1),
    ],
)
def test_report_of_few_people_leaves_out_what_one_person_alone_would_show(
    tmp_path: Path, lengths: tuple[int, ...], panels: dict[str, list[int]], judged: int
) -> None:
    settings = real_drift.Settings().model_dump(mode="json")
    result = report(settings, "small", played(*lengths))
    assert {panel.title: list(panel.curves[0].x) for panel in result.panels} == panels
    assert (len(result.tables), len(result.bars)) == (judged, 3 * judged)
    assert any("one person, and an error needs two" in line for line in result.verdict) == (judged == 1)
    write_report(result, tmp_path, {})
