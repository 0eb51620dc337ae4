"""Worlds as settings, the topics that they work with, and fatigue's memories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metarl_rec.config import assigned, validated
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.fatigue import RETENTIONS, Exposure
from metarl_rec.topics import item_topics
from metarl_rec.worlds import PRESETS, WorldConfig, make_env
from simulator import FactorUsers

ITEMS = ({"genres": ["war", "drama"]}, {"genres": ["drama"], "year": 1990.0}, {"tags": ["old"]}, {})
TOPICS = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], np.float32)


def users() -> FactorUsers:
    return FactorUsers(torch.randn(4, 2), torch.zeros(4), torch.randn(5, 2))


def test_item_topics_come_from_the_commonest_list_attribute() -> None:
    np.testing.assert_array_equal(item_topics(ITEMS), TOPICS)
    np.testing.assert_array_equal(item_topics(ITEMS, "tags"), [[0.0], [0.0], [1.0], [0.0]])
    assert item_topics(({"year": 1990.0}, {})) is None
    with pytest.raises(DataError, match=r"topic_attribute year .* has genres, tags"):
        item_topics(ITEMS, "year")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_makes_an_environment_that_plays(name: str) -> None:
    world = WorldConfig.model_validate(PRESETS[name])
    env = make_env(world, users(), TOPICS, np.arange(5), session_length=2, discount=0.0, slate_size=2, seed=0)
    env.reset()
    env.step(torch.tensor([[0, 1]] * 5))
    observation, _ = env.step(torch.tensor([[2, 3]] * 5))
    assert not bool(observation.present.any())  # nothing is left to be shown


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("leaving.hazard=2", "leaving.hazard is 2; give a number from 0 to 1"),
        ("satiation.strength=-1", "satiation.strength is -1"),
        ("satiation.strenth=1", "satiation.strenth"),
        ("bots=1.5", "bots"),
        ("choice=guess", "choice"),
        ("topic_retention=1", "topic_retention"),
    ],
)
def test_world_bad_setting_is_one_line_that_names_it(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        validated(WorldConfig, assigned({}, [assignment]), "help")
    assert "\n" not in str(caught.value)


def test_world_with_satiation_and_no_topics_says_what_is_missing() -> None:
    world = WorldConfig.model_validate(PRESETS["satiation"])
    with pytest.raises(ConfigError, match="topics"):
        make_env(world, users(), None, np.arange(5), session_length=2, discount=0.0, seed=0)
    world = WorldConfig(adversarial=0.6, bots=0.6)
    with pytest.raises(ConfigError, match=r"sum to 1\.2"):
        make_env(world, users(), None, np.arange(5), session_length=2, discount=0.0, seed=0)


def test_exposure_remembers_and_forgets_at_its_rates() -> None:
    exposure = Exposure(TOPICS, users=2)
    assert not exposure.any().any()
    present = np.array([True, False])
    exposure.show(np.array([[0], [0]], np.int32), present)
    exposure.show(np.array([[1], [1]], np.int32), present)
    for memory, r in enumerate(RETENTIONS):
        expected = [(1 - r) * (0.5 * r + 1.0), (1 - r) * 0.5 * r]
        np.testing.assert_allclose(exposure.levels[0, memory], expected, rtol=1e-6)
    assert exposure.any().tolist() == [True, False]
    penalty = exposure.penalty((1.0, 0.0, 2.0))
    level = exposure.levels[0, 0] + 2 * exposure.levels[0, 2]
    np.testing.assert_allclose(penalty[0], TOPICS @ level, rtol=1e-6)
    assert not penalty[1].any()
