"""Simulations on a small world: the same users for everybody, figures that add up, and settings refused by name."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from metarl_rec.errors import ConfigError
from metarl_rec.meta_params import MetaParams
from metarl_rec.problem import Problem
from metarl_rec.protocol import POLICIES
from metarl_rec.simulation import DEFAULT_POLICIES, SimulationConfig, SimulationRun, Simulator, play_policies
from metarl_rec.simulation_report import horizons, outcomes, plot_simulation, simulation_table, write_simulation
from metarl_rec.worlds import PRESETS
from simulator import FactorUsers
from tests.unit.synthetic import small_config, small_problem


@pytest.fixture(scope="module")
def problem() -> Problem:
    return small_problem(small_config())


def simulator(problem: Problem, factors: FactorUsers | None = None, **changes: object) -> Simulator:
    base = small_config()
    meta = MetaParams.start(problem.space.features.shape[1], base.inner, base.prior.attribute_gain)
    config = SimulationConfig.model_validate({"users": 60, "steps": 12, "session_length": 6, **changes})
    return Simulator(problem, meta, base, config, factors)


def equal(a: SimulationRun, b: SimulationRun) -> bool:
    assert a.rewards.keys() == b.rewards.keys()
    return all(np.array_equal(a.rewards[name], b.rewards[name]) for name in a.rewards)


@pytest.mark.parametrize("world", PRESETS)
def test_play_policies_every_world_same_seed_same_result(problem: Problem, world: str) -> None:
    names = ("random", "HB linear, greedy", "adapted meta-policy", "oracle")
    one = simulator(problem, world=PRESETS[world], slate_size=2)
    first = play_policies(one, names)
    assert equal(first, play_policies(simulator(problem, world=PRESETS[world], slate_size=2), names))
    assert not equal(first, play_policies(simulator(problem, world=PRESETS[world], slate_size=2, seed=1), names))
    for name in names:
        assert first.rewards[name].shape == (60, 12)
        assert (first.rewards[name][~first.present[name]] == 0).all()
        assert first.shown[name].sum() == first.present[name].sum() * 2


def test_outcomes_static_world_oracle_has_no_regret_and_knowledge_pays(problem: Problem) -> None:
    run = play_policies(simulator(problem, users=200), POLICIES)
    rows = {row.policy: row for row in outcomes(run)}
    assert all(row.regret is not None for row in rows.values())
    assert all(abs(value) < 1e-6 for value in rows["oracle"].regret.values())  # type: ignore[union-attr]
    assert min(row.regret[12] for row in rows.values()) > -1e-6  # type: ignore[index]
    order = [rows[name].reward[12] for name in ("oracle", "adapted meta-policy", "meta-policy", "random")]
    assert order == sorted(order, reverse=True)
    assert rows["random"].coverage > rows["popularity"].coverage
    assert rows["meta-policy"].harmed == 0.0
    assert rows["random"].harmed > 0.5  # type: ignore[operator]
    assert all(row.left is None and row.presence == 1.0 for row in rows.values())


def test_outcomes_in_sessions_count_who_left(problem: Problem) -> None:
    run = play_policies(simulator(problem, world=PRESETS["sessions"]), ["random", "adapted meta-policy"])
    row = outcomes(run)[0]
    assert row.left is not None
    assert row.regret is None
    assert row.harmed is None
    left = [row.left[h] for h in horizons(12)]
    assert left == sorted(left)
    assert 0 < left[-1] <= 1
    assert row.presence < 1


def test_logged_users_are_held_out_and_given_factors_are_played(problem: Problem) -> None:
    logged = simulator(problem, population="logged")
    assert set(logged.users) == set(problem.split.test.tolist())
    run = play_policies(logged, ["oracle"])
    assert (run.rewards["oracle"] <= 1).all()
    assert np.allclose(run.rewards["oracle"], run.expected["oracle"], atol=1e-6)
    count = len(problem.dataset.item_ids)
    given = FactorUsers(torch.zeros(count, 2), torch.full((count,), -30.0), torch.zeros(9, 2))
    nobody = play_policies(simulator(problem, given, population="factors"), ["random"])
    assert nobody.rewards["random"].shape == (9, 12)
    assert nobody.rewards["random"].sum() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policies": ("best",)}, "policy 'best' is unknown"),
        ({"population": "factors"}, "--factors"),
        ({"population": "logged", "world": {"drift": {}}}, "use --population latent"),
        ({"population": "rated-only", "slate_size": 60}, "slate_size 60"),
    ],
)
def test_settings_that_do_not_fit_are_named(problem: Problem, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        simulator(problem, **changes)
    assert "\n" not in str(caught.value)


def test_given_factors_of_another_catalogue_are_refused(problem: Problem) -> None:
    other = FactorUsers(torch.zeros(3, 2), torch.zeros(3), torch.zeros(9, 2))
    with pytest.raises(ConfigError, match="3 items"):
        simulator(problem, other, population="factors")


def test_report_files_hold_the_figures(problem: Problem, tmp_path: Path) -> None:
    run = play_policies(simulator(problem, world=PRESETS["everything"]), DEFAULT_POLICIES)
    write_simulation(tmp_path / "made" / "simulation.json", run, {"seed": 0})
    found = json.loads((tmp_path / "made" / "simulation.json").read_text())
    assert [row["policy"] for row in found["policies"]] == list(DEFAULT_POLICIES)
    for name in DEFAULT_POLICIES:
        lines = found["rewards"][name]
        assert [[int(c) if c != "." else 0 for c in line] for line in lines] == run.rewards[name].astype(int).tolist()
        assert [[c != "." for c in line] for line in lines] == run.present[name].tolist()
    assert found["config"]["world"]["leaving"]["loyalty"] == 1
    plot_simulation(tmp_path / "simulation.png", run, "everything")
    assert (tmp_path / "simulation.png").read_bytes().startswith(b"\x89PNG")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(simulation_table(run))
    assert "…" not in console.export_text()
