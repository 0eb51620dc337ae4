"""Calibration: figures by hand on made-up results, and a small data set whose users the model must resemble."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metarl_rec.calibration import INDEX_EDGES, Calibration, HeldOut, calibrate
from metarl_rec.calibration_report import calibration_table, plot_calibration, verdicts, write_calibration
from metarl_rec.errors import DataError
from metarl_rec.user_models import fit_user_model
from tests.unit.synthetic import small_config, small_dataset


def made_up(users: int = 400) -> HeldOut:
    """Users who are asked ten times in each decile and like half, real and simulated ones alike."""
    rng = np.random.default_rng(0)
    rate = rng.uniform(0.2, 0.8, (users, 1))
    shown = np.full((users, 10), 10.0)
    predicted = rng.uniform(0.05, 0.95, users * 5)
    return HeldOut(
        users=np.arange(users),
        shown=shown,
        real=rng.binomial(10, np.repeat(rate, 10, axis=1)).astype(float),
        simulated=rng.binomial(10, np.repeat(rate, 10, axis=1)).astype(float),
        by_index=np.zeros((users, len(INDEX_EDGES), 3)),
        neighbours=np.full((users, 2), np.nan),
        predicted=predicted,
        popularity=np.full(users * 5, 0.5),
        outcome=(rng.random(users * 5) < predicted).astype(float),
        asked=np.repeat(np.arange(users), 5),
    )


def test_calibration_of_good_users_passes_and_of_bad_ones_fails_each_bar() -> None:
    good = made_up()
    assert verdicts(Calibration.of(good), "rated-only") == {"deciles": True, "spread": True, "calibration error": True}
    assert verdicts(Calibration.of(good), "unrated-zero") == {"deciles": True, "spread": True, "log-loss": True}
    too_keen = replace(good, simulated=np.minimum(good.simulated + 2, 10))
    assert not verdicts(Calibration.of(too_keen), "rated-only")["deciles"]
    all_alike = replace(good, simulated=np.random.default_rng(1).binomial(10, 0.5, (400, 10)).astype(float))
    assert not verdicts(Calibration.of(all_alike), "rated-only")["spread"]
    overconfident = replace(good, predicted=np.where(good.predicted > 0.5, 0.99, 0.01))
    assert not verdicts(Calibration.of(overconfident), "rated-only")["calibration error"]
    assert not verdicts(Calibration.of(overconfident), "unrated-zero")["log-loss"]


def test_calibration_figures_equal_hand_computed_values() -> None:
    raw = replace(
        made_up(2),
        real=np.full((2, 10), 4.0),
        simulated=np.full((2, 10), 5.0),
        predicted=np.array([0.2] * 5 + [0.8] * 5),
        outcome=np.array([1.0, 0, 0, 0, 0, 1, 1, 1, 0, 0]),
    )
    result = Calibration.of(raw)
    assert result.rate == (0.4, 0.5)
    assert [agrees for *_, agrees in result.deciles] == [False] * 10
    # Ten bins of one prediction each: |.2 - 1| once, |.2 - 0| four times, |.8 - 1| thrice, |.8 - 0| twice
    assert result.calibration_error == pytest.approx((0.8 + 4 * 0.2 + 3 * 0.2 + 2 * 0.8) / 10)
    loss = -(np.log(0.2) + 4 * np.log(0.8) + 3 * np.log(0.8) + 2 * np.log(0.2)) / 10
    assert result.log_loss == pytest.approx((loss, np.log(2)))


def test_calibrate_small_world_users_are_held_out_once_and_resembled() -> None:
    dataset = small_dataset(users=240)
    config = small_config()
    for convention in ("rated-only", "unrated-zero"):
        done: list[int] = []
        raw = calibrate(dataset, config, convention, folds=3, on_fold=done.append)
        assert done == [1, 2, 3]
        assert sorted(raw.users.tolist()) == list(range(240))
        result = Calibration.of(raw)
        assert result.rate[1] == pytest.approx(result.rate[0], rel=0.1)
        assert result.log_loss_gain[0] > 2 * result.log_loss_gain[1]
        expected = dataset.rated_table() if convention == "rated-only" else np.ones((240, 80))
        assert raw.shown.sum() == expected.sum()
        again = calibrate(dataset, config, convention, folds=3)
        assert np.array_equal(again.simulated, raw.simulated)
        assert np.array_equal(again.predicted, raw.predicted)


def test_calibration_report_files_hold_the_figures(tmp_path: Path) -> None:
    raw = {"rated-only": made_up(), "unrated-zero": made_up()}
    results = {name: Calibration.of(held) for name, held in raw.items()}
    write_calibration(tmp_path / "calibration.json", raw, results, {"seed": 0})
    found = json.loads((tmp_path / "calibration.json").read_text())
    assert found["conventions"]["rated-only"]["verdicts"]["deciles"] is True
    assert found["users"]["rated-only"]["real"] == raw["rated-only"].real.sum(axis=1).astype(int).tolist()
    plot_calibration(tmp_path / "calibration.png", raw, results, "made up")
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(calibration_table(results))
    assert "…" not in console.export_text()


def test_fit_user_model_too_few_users_is_refused() -> None:
    with pytest.raises(DataError, match="7 users are too few"):
        fit_user_model(small_dataset(), np.arange(7), small_config())


def test_fit_user_model_only_likes_are_refused_where_only_they_count() -> None:
    likes = replace(small_dataset(), rating=np.full_like(small_dataset().rating, 5.0))
    with pytest.raises(DataError, match=r"rewards are all the same.*count unrated items as 0 \(unrated-zero\)"):
        fit_user_model(likes, np.arange(100), small_config(), "rated-only")
    assert fit_user_model(likes, np.arange(100), small_config()).taste > 0
