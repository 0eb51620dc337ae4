"""Settings from a file and from assignments, with errors that name the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarl_rec.config import load_config
from metarl_rec.errors import ConfigError


def test_load_config_assignment_overrides_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('seed = 3\n[train]\nalgorithm = "reptile"\niterations = 12\n', encoding="utf-8")
    config = load_config(path, ["train.iterations=7", "embedding.model=BPR"])
    assert (config.seed, config.train.algorithm, config.train.iterations) == (3, "reptile", 7)
    assert config.embedding.model == "BPR"


@pytest.mark.parametrize(
    ("assignment", "names"),
    [
        ("train.algorithm=evolution", "train.algorithm"),
        ("train.iterations=-1", "train.iterations"),
        ("train.speed=9", "train.speed"),
        ("inner.temperature=0", "inner.temperature"),
        ("inner.step_sizes=[2.5]", "inner.step_sizes"),
        ("seed=x", "seed"),
        ("seed.a=1", "seed"),
        ("nonsense", "name=value"),
    ],
)
def test_load_config_bad_assignment_names_the_setting(assignment: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        load_config(None, [assignment])


def test_load_config_bad_file_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        load_config(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(broken)
