from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from metarl_rec.errors import ConfigError
from metarl_rec.protocols.registry import run_protocol
from metarl_rec.sines.figures import error_curve, error_text, median_text, raw_errors, span_text, worse_text
from metarl_rec.workspace import Workspace

_SMALL = [
    "tasks=30",
    "validation_tasks=10",
    "reptile_iterations=50",
    "reptile_seeds=2",
    "reptile_steps=8",
    "demonstration=false",
    "meta_iterations=300",
    "meta_batch=5",
    "meta_seeds=1",
]
# Two trainings, three tasks, errors before and after one step.
_ERRORS = np.array([[[4.0, 1.0], [2.0, 3.0], [3.0, 2.0]], [[4.0, 3.0], [2.0, 1.0], [3.0, 5.0]]])


def test_sine_protocol_small_run_reports_every_learner_and_the_bars(tmp_path: Path) -> None:
    seen: list[str] = []
    result = run_protocol("sine", Workspace(tmp_path), _SMALL, watch=lambda what, *_: seen.append(what))
    learners = [row[0] for row in result.tables[2].rows]
    assert learners[:4] == ["MAML", "FOMAML", "Meta-SGD", "joint training"]
    assert len(result.bars) == 5
    by_name = {bar.name: bar for bar in result.bars}
    # 300 steps are enough for learned rates to pay, and far too few for Reptile's bar.
    assert by_name["Meta-SGD below MAML, paired over tasks, after one step"].reached
    assert not by_name["Reptile as published"].reached
    raw = json.loads(json.dumps(asdict(result), allow_nan=False))["raw"]
    assert np.shape(raw["reptile"]["errors"]["Reptile as published"]["8"]) == (2, 30)
    assert np.shape(raw["one_step"]["errors"]["Meta-SGD"]["1"]) == (1, 30)
    assert {"Reptile", "MAML, FOMAML, Meta-SGD, joint training"} <= set(seen)


def test_sine_protocol_unknown_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shots"):
        run_protocol("sine", Workspace(tmp_path), ["shots=5"])


def test_figures_of_literal_errors() -> None:
    # Tasks over trainings after the step: 2, 2, 3.5; mean 2.5, standard error .5.
    assert error_text(_ERRORS, 1) == "2.500 ± 0.500"
    assert median_text(_ERRORS, 1) == "2.500"
    assert span_text(_ERRORS, 1) == "2.000 to 3.000"
    assert worse_text(_ERRORS, 1) == "33.3%"


def test_figures_of_diverged_weights_say_so_and_stay_json() -> None:
    errors = np.concatenate([_ERRORS, np.full((2, 3, 1), np.inf)], axis=2)
    assert error_text(errors, 2) == median_text(errors, 2) == span_text(errors, 2) == "diverges"
    assert error_curve("x", errors).x == [0.0, 1.0]
    assert raw_errors(errors, (1, 2))["2"][0] == [None, None, None]
