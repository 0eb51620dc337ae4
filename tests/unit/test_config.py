"""Settings from a file and from assignments, with errors that name the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, ValidationError

from metarl_rec.config import RunConfig, TrainConfig, decided, load_config, names_of
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
        ("threshold=NaN", "threshold: Input should be a finite number"),
        ("threshold=-Infinity", "threshold: Input should be a finite number"),
        ("train.outer_value_coef=Infinity", r"train\.outer_value_coef: Input should be a finite number"),
        ("train.outer_temperature=Infinity", r"train\.outer_temperature: Input should be a finite number"),
        ("prior.user_ridge=Infinity", r"prior\.user_ridge: Input should be a finite number"),
        ("inner.value_weight=[NaN,0,0,0]", r"inner\.value_weight\.0: Input should be a finite number"),
        ("inner.step_sizes=[2.5]", "inner.step_sizes"),
        ("inner.step_sizes=[1.0,0]", r"inner\.step_sizes\.1"),
        ("inner.step_sizes=[2]", r"inner\.step_sizes\.0"),
        ("inner.fatigue=[1001,0,0]", r"inner\.fatigue\.0"),
        ("seed=x", "seed"),
        ("seed.a=1", "seed"),
        ("nonsense", "name=value"),
        ("trian.x=3", "setting trian: there is none of this name; choose from seed, threshold"),
        ("train.iterationz=3", "choose from algorithm, iterations"),
        ("train.world.drift.raet=0.1", "choose from rate, jump"),
        ("inner.clip.x=1", "setting inner.clip"),
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


def test_train_config_sessions_of_one_step_are_refused_with_the_remedy() -> None:
    assert TrainConfig(horizon=1).form == "bandit"
    with pytest.raises(
        ConfigError, match=r"^setting train: .* set train\.horizon to 2 or more, or train\.form=bandit; see"
    ):
        load_config(None, ["train.form=session", "train.horizon=1"])


def test_names_of_refuses_the_unknown_and_what_stands_there_twice() -> None:
    check = names_of("world", ("drift", "sessions"))
    assert check(("sessions", "drift")) == ("sessions", "drift")
    with pytest.raises(ValueError, match="no such world: moon; choose from drift, sessions"):
        check(("drift", "moon"))
    with pytest.raises(ValueError, match="world named twice: drift; name each once"):
        check(("drift", "sessions", "drift"))


class Decided(BaseModel):
    """Settings that leave a seed and a temperature to a protocol whose own temperature is .5."""

    run: Annotated[
        RunConfig,
        AfterValidator(
            decided({"seed": "splits", "inner.temperature": ""}, load_config(None, ["inner.temperature=0.5"]))
        ),
    ]


def test_decided_compares_with_the_protocols_own_default() -> None:
    assert Decided(run=load_config(None, ["inner.temperature=0.5", "threshold=3"])).run.threshold == 3
    with pytest.raises(ValidationError, match=r"run\.seed is decided by the protocol; set splits instead"):
        Decided(run=load_config(None, ["inner.temperature=0.5", "seed=1"]))
    with pytest.raises(ValidationError, match=r"run\.inner\.temperature is decided by the protocol; leave it out"):
        Decided(run=RunConfig())
