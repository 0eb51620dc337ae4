"""Fatigue as it is served: what was just shown is worth less, says so, and is forgotten after a pause."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from metarl_rec.checkpoint import load_checkpoint, save_checkpoint
from metarl_rec.errors import CheckpointError
from metarl_rec.fatigue import RETENTIONS
from service.catalogue import LiveCatalogue
from service.fatigue import fatigue_of
from service.store.codec import NO_SLATE, TRANSITION, Slate, UserState
from tests.running_service import running
from tests.service_checkpoint import GENRES, genre_of, synthetic_checkpoint, write_checkpoint

FATIGUE = (0.5, 0.0, 0.25)


def row(item: int, time: int, slate: bytes = NO_SLATE) -> tuple[object, ...]:
    return (bytes(16), item, 1.0, 0.0, time, slate, 0, 0)


def penalty(state: UserState, now: int, gap: int = 100) -> np.ndarray | None:
    checkpoint = synthetic_checkpoint(fatigue=FATIGUE)
    catalogue = LiveCatalogue(checkpoint, list(range(len(checkpoint.items))))
    return fatigue_of(state, catalogue, checkpoint.inner, now=now, session_gap_s=gap)


def expected(*slates: list[int]) -> np.ndarray:
    """Returns what slates of items take off each genre, oldest first, by the formula."""
    out = np.zeros(4)
    for h, r in zip(FATIGUE, RETENTIONS, strict=True):
        level = np.zeros(4)
        for items in slates:
            level = r * level + (1 - r) * np.bincount([item % 4 for item in items], minlength=4) / len(items)
        out += h * level
    return out


def test_fatigue_of_counts_whole_slates_once_and_organic_events_alone() -> None:
    one, two = b"slate--1", b"slate--2"
    rows = [row(4, 10), row(1, 20, one), row(2, 30, two), row(5, 40, one)]
    state = UserState(transitions=np.array(rows, TRANSITION), slates={one: Slate(0, (1, 5, 3)), two: Slate(0, (2, 7))})
    found = penalty(state, now=50)
    assert found is not None
    # The first genre column is action, as the items' genres repeat in the order of GENRES, which is sorted.
    assert sorted(GENRES) == list(GENRES)
    np.testing.assert_allclose(found[:4], expected([4], [1, 5, 3], [2, 7]), rtol=1e-5)
    np.testing.assert_allclose(found[4:8], found[:4], rtol=1e-6)


def test_fatigue_of_ends_with_the_session() -> None:
    state = UserState(transitions=np.array([row(1, 100), row(2, 250), row(3, 300)], TRANSITION))
    found = penalty(state, now=390)
    assert found is not None
    np.testing.assert_allclose(found[:4], expected([2], [3]), rtol=1e-5)
    assert penalty(state, now=401) is None
    assert penalty(UserState(), now=1) is None


def test_fatigue_of_a_checkpoint_without_it_is_nothing() -> None:
    checkpoint = synthetic_checkpoint()
    catalogue = LiveCatalogue(checkpoint, list(range(len(checkpoint.items))))
    state = UserState(transitions=np.array([row(1, 100)], TRANSITION))
    assert fatigue_of(state, catalogue, checkpoint.inner, now=100, session_gap_s=10) is None


def test_recommendation_after_feedback_avoids_the_topic_says_why_and_forms_no_ratio(tmp_path: Path) -> None:
    async def run() -> None:
        write_checkpoint(tmp_path / "checkpoint", fatigue=(1.0, 0.0, 0.0))
        async with running(tmp_path / "checkpoint", tmp_path / "data") as service:
            first = await service.recommend("ada", k=1)
            shown = first["items"][0]["item_id"]
            event = {"event_id": "1", "user_id": "ada", "item_id": shown, "type": "like"}
            await service.post_feedback(**event, recommendation_id=first["recommendation_id"])
            second = await service.recommend("ada", k=10, explain=True, exploration={"enabled": False})
            assert genre_of(shown) not in {genre_of(item["item_id"]) for item in second["items"]}
            for item in second["items"]:
                parts = {reason["kind"]: reason["contribution"] for reason in item["reasons"]}
                whole = parts["population"] + parts["adaptation"] + parts["fatigue"]
                assert item["score"] == pytest.approx(whole, abs=1e-5)
            liked = await service.recommend("ada", k=100, explain=True)
            tired = [item for item in liked["items"] if genre_of(item["item_id"]) == genre_of(shown)]
            assert all(reason["contribution"] == -0.5 for item in tired for reason in item["reasons"][1:2])
            assert 0 < liked["slate_propensity"] < 1

    asyncio.run(run())


def test_new_item_is_tiring_by_its_attributes(tmp_path: Path) -> None:
    async def run() -> None:
        write_checkpoint(tmp_path / "checkpoint", fatigue=(1.0, 0.0, 0.0))
        async with running(tmp_path / "checkpoint", tmp_path / "data") as service:
            answer = await service.client.put("/v1/items/fresh", json={"attributes": {"genres": ["drama", "horror"]}})
            assert answer.status_code in (200, 201), answer.text
            await service.like("bob", "item2", "1")  # a drama
            body = await service.recommend("bob", candidates=[{"item_id": "fresh"}], k=1, explain=True)
            reasons = {reason["kind"]: reason["contribution"] for reason in body["items"][0]["reasons"]}
            assert reasons["fatigue"] == -0.25

    asyncio.run(run())


def test_checkpoint_with_fatigue_and_no_topics_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    save_checkpoint(replace(synthetic_checkpoint(fatigue=FATIGUE), topics=None), tmp_path)
    with pytest.raises(CheckpointError, match="fatigue needs topics"):
        load_checkpoint(tmp_path)
