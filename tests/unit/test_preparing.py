"""A data set that is too small for its settings: the error names what limits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarl_rec import dataset_store
from metarl_rec.config import RunConfig, TrainConfig
from metarl_rec.errors import DataError
from metarl_rec.preparing import prepared
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_dataset


@pytest.mark.parametrize(
    ("users", "settings", "message"),
    [
        (
            300,
            {"min_positives": 0, "min_ratings": 64},
            r"^7 users have at least 64 ratings: too few to split; lower min_ratings, or import more data$",
        ),
        (
            300,
            {"min_positives": 60, "threshold": 3.5},
            r"^3 users have at least 60 ratings >= 3\.5: too few to split; lower min_positives, or import more data$",
        ),
        (
            300,
            {"min_positives": 1, "min_ratings": 64},
            r"^7 users have at least 1 ratings >= 4 and 64 ratings: too few to split; "
            r"lower min_positives or min_ratings, or import more data$",
        ),
        (19, {"min_positives": 0}, r"^19 users: too few to split; import more data$"),
        (
            60,
            {"min_positives": 0, "min_ratings": 1, "train": TrainConfig(folds=64)},
            r"^60 users have at least 1 ratings, 51 of them to train: too few for train\.folds=64; "
            r"lower train\.folds, lower min_ratings, or import more data$",
        ),
    ],
)
def test_prepared_too_few_users_names_what_limits(
    users: int, settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    dataset_store.save(small_dataset(users), workspace.dataset)
    with pytest.raises(DataError, match=message):
        prepared(workspace, RunConfig.model_validate(settings))
