"""Reports: the raw results survive, the tables say what the statistics say, the curve is a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metarl_rec.errors import DataError
from metarl_rec.protocol import CORE_POLICIES
from metarl_rec.report import comparison_table, hits_table, plot_curve, read_json, write_json
from metarl_rec.statistics import Episodes, summarize


def some_episodes() -> Episodes:
    rng = np.random.default_rng(0)
    rewards = {
        name: (rng.random((6, 40)) < 0.1 * (index + 1)).astype(np.float32) for index, name in enumerate(CORE_POLICIES)
    }
    return Episodes(["a", "b", "c", "a", "d", "e"], [0, 0, 0, 1, 1, 1], rewards)


def test_json_round_trip_keeps_every_reward_and_the_context(tmp_path: Path) -> None:
    path, episodes = tmp_path / "evaluation.json", some_episodes()
    write_json(path, episodes, {"seed": 3})
    loaded = read_json(path)
    assert all(np.array_equal(loaded.rewards[name], episodes.rewards[name]) for name in CORE_POLICIES)
    assert (list(loaded.user_ids), list(loaded.splits)) == (list(episodes.user_ids), list(episodes.splits))
    content = json.loads(path.read_text())
    assert content["context"] == {"seed": 3}
    assert content["policies"][0]["hits"]["40"] == pytest.approx(summarize(episodes)[0].hits[40])


@pytest.mark.parametrize("text", ["", "{}", '{"episodes": 3}'])
def test_read_json_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evaluation.json"
    with pytest.raises(DataError, match="cannot be read"):
        read_json(path)
    path.write_text(text)
    with pytest.raises(DataError, match="not an evaluation report"):
        read_json(path)


def test_tables_fit_80_columns_and_name_every_policy() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(hits_table(some_episodes()))
    console.print(comparison_table(some_episodes()))
    text = console.export_text()
    assert "…" not in text
    assert all(text.count(name) >= 2 for name in CORE_POLICIES)


def test_plot_curve_writes_a_png(tmp_path: Path) -> None:
    plot_curve(tmp_path / "curve.png", some_episodes(), "title")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
