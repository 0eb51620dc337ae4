"""The trainer's saved state: what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metarl_rec import training_state
from metarl_rec.errors import CheckpointError
from metarl_rec.train import start_of
from metarl_rec.training_state import TrainingState, load_state, save_state
from metarl_rec.validate import Validation
from tests.unit.synthetic import small_config, small_problem

CONFIG = small_config()
PROBLEM = small_problem(CONFIG)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    state = TrainingState.begin(start_of(PROBLEM, CONFIG), Validation(1.0, 2.0, (1.0, 3.0), (0.0, 0.5)))
    save_state(state, tmp_path, CONFIG, PROBLEM)
    assert load_state(tmp_path, CONFIG, PROBLEM).best == state.best
    return tmp_path


@pytest.mark.parametrize("key", ["fingerprint", "tensors_sha256", "adam_steps", "best", "history"])
def test_load_state_without_a_key_says_that_it_is_damaged(saved: Path, key: str) -> None:
    record = json.loads((saved / "trainer.json").read_text(encoding="utf-8"))
    del record[key]
    (saved / "trainer.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"the saved state is damaged .*{key}.*; train without --resume"):
        load_state(saved, CONFIG, PROBLEM)


@pytest.mark.parametrize("content", ["[]", "null", "{", '"text"'])
def test_load_state_that_is_no_record_says_that_it_is_damaged(saved: Path, content: str) -> None:
    (saved / "trainer.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"the saved state is damaged .*; train without --resume"):
        load_state(saved, CONFIG, PROBLEM)


def test_load_state_of_other_code_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_state, "sources", lambda: "another digest")
    with pytest.raises(CheckpointError, match="the saved state is that of other code; train without --resume"):
        load_state(saved, CONFIG, PROBLEM)
