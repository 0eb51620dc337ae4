"""Settings of protocols by name: on top of each one's own defaults, refused by name where they would change nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from metarl_rec.errors import ConfigError
from metarl_rec.protocols import drift_worlds
from metarl_rec.protocols.registry import PROTOCOLS, run_protocol
from metarl_rec.workspace import Workspace


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What a protocol's `run` is handed by name and assignments."""

    def settings_of(name: str, *assignments: str) -> Any:
        handed: list[Any] = []
        module = import_module(PROTOCOLS[name])
        monkeypatch.setattr(module, "run", lambda settings, *_: handed.append(settings))
        run_protocol(name, Workspace(tmp_path), assignments)
        return handed[0]

    return settings_of


@pytest.mark.parametrize("name", PROTOCOLS)
def test_run_protocol_nothing_set_is_the_published_protocol(given: Any, name: str) -> None:
    assert given(name) == import_module(PROTOCOLS[name]).Settings()


@pytest.mark.parametrize("assignment", ["run.threshold=3", 'run={"threshold": 3}'])
def test_run_protocol_one_setting_leaves_the_protocols_other_defaults(given: Any, assignment: str) -> None:
    settings = given("real-drift", assignment)
    assert (settings.run.threshold, settings.run.min_positives, settings.run.min_ratings) == (3, 0, 20)


def test_run_protocol_sets_what_is_absent_by_default(given: Any) -> None:
    settings = given("cold-start", "run.train.world.feedback.max_delay=2", "run.embedding.epochs=3")
    assert settings.run.train.world.feedback.max_delay == 2
    assert settings.run.embedding.epochs == 3


@pytest.mark.parametrize("name", ["real-drift", "cold-items", "signals", "conditions", "drift"])
@pytest.mark.parametrize("assignment", ["run.min_positive=3", "run.train.speed=9", "stops=3"])
def test_run_protocol_unknown_setting_is_named_in_one_line(given: Any, name: str, assignment: str) -> None:
    with pytest.raises(
        ConfigError, match=f"^setting {assignment.partition('=')[0]}: .*none of this name; choose from "
    ) as caught:
        given(name, assignment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["real-drift", "cold-items", "signals", "conditions", "drift"])
def test_run_protocol_seed_of_a_split_is_refused(given: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.seed is decided by the protocol; set splits instead; see") as caught:
        given(name, "run.seed=3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("assignments", "remedy"),
    [
        (['run.train.world={"feedback": {"missing": 0.1}}'], "set worlds instead"),
        (["run.train.form=session"], "set worlds instead"),
        (["run.train.population=mixed"], "leave it out"),
        (["run.train.session_length=5"], "leave it out"),
        (["run.train.horizon=30"], "set steps instead"),
        (["run.train.iterations=3"], "set iterations instead"),
        (["run.train.evaluate_every=3"], "set iterations instead"),
        (["run.train.simulated_users=3"], "set train_users instead"),
        (["run.train.validation_users=3"], "set validation_users instead"),
        (["run.train.validation_repeats=2"], "leave it out"),
        (["run.train.fatigue_rate=0.2"], "leave it out"),
        (["run.inner.forgetting=0.2"], "set worlds instead"),
        (["run.inner.fatigue=[1,1,1]"], "set worlds instead"),
        (["run.inner.discount=0.5"], "set worlds instead"),
    ],
)
def test_drift_settings_that_the_protocol_decides_are_refused(given: Any, assignments: list[str], remedy: str) -> None:
    name = assignments[0].partition("=")[0]
    with pytest.raises(ConfigError, match=f"^setting run: {name} is decided by the protocol; {remedy}; see"):
        given("drift", *assignments)


@pytest.mark.parametrize("name", ["real-drift", "cold-items", "signals"])
@pytest.mark.parametrize(
    "assignment",
    [
        "run.train.iterations=3",
        "run.train.algorithm=joint",
        "run.train.jury_users=9",
        "run.train.world.adversarial=0.1",
    ],
)
def test_settings_of_training_are_refused_where_nothing_is_trained(given: Any, name: str, assignment: str) -> None:
    setting = assignment.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^setting run: {setting} is decided by the protocol; leave it out; see"):
        given(name, assignment)


@pytest.mark.parametrize("name", ["real-drift", "cold-items", "signals"])
def test_settings_that_are_used_without_training_are_taken(given: Any, name: str) -> None:
    settings = given(name, "run.train.folds=3", "run.train.horizon=30", "run.train.world.topic_attribute=genres")
    assert (settings.run.train.folds, settings.run.train.world.topic_attribute) == (3, "genres")


@pytest.mark.parametrize("setting", ["policy_coef", "entropy_coef", "temperature", "clip", "discount"])
def test_real_drift_settings_of_drawn_actions_are_refused(given: Any, setting: str) -> None:
    assert given("signals", f"run.inner.{setting}=0.5")
    with pytest.raises(
        ConfigError, match=f"^setting run: run.inner.{setting} is decided by the protocol; leave it out"
    ):
        given("real-drift", f"run.inner.{setting}=0.5")


def test_drift_trains_as_it_is_told(given: Any) -> None:
    settings = given("drift", "run.train.algorithm=fomaml", "run.train.folds=3", "run.inner.temperature=0.02")
    for world in drift_worlds.WORLDS:
        config = drift_worlds.config_of(settings, world, 2)
        assert (config.train.algorithm, config.train.folds, config.inner.temperature) == ("fomaml", 3, 0.02)
        assert (config.train.population, config.train.horizon) == ("latent", settings.steps)


@pytest.mark.parametrize(
    ("name", "assignment", "words"),
    [
        ("drift", "worlds=[]", "setting worlds: "),
        ("signals", "slate_sizes=[]", "setting slate_sizes: "),
        ("signals", "slate_sizes=[5, 0]", r"setting slate_sizes\.1: "),
        ("signals", "slate_sizes=[200]", "slate_sizes has 200, and shown=100 items are no whole number"),
        ("signals", "steps=4", "setting steps: "),
        ("bandit", "pulls=[50]", "setting pulls: no such horizon: 50; choose from 10, 100, 500"),
        ("bandit", "arms=[5, 7]", "setting arms: no such number of arms: 7; choose from 5, 10, 50"),
        ("bandit", "pulls=[]", "setting pulls: "),
        ("bandit", "arms=[]", "setting arms: "),
        ("mdp", "episodes=[]", "setting episodes: "),
        ("mdp", "episodes=[10, 0]", r"setting episodes\.1: "),
    ],
)
def test_run_protocol_lists_that_would_play_nothing_are_refused(
    given: Any, name: str, assignment: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        given(name, assignment)
    assert "\n" not in str(caught.value)
