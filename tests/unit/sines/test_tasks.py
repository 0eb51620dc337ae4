from __future__ import annotations

import numpy as np

from metarl_rec.sines.tasks import SineTasks, draw_shots, draw_sines, grid, grid_shots


def test_values_of_a_sine_match_literals() -> None:
    tasks = SineTasks(np.array([2.0, 0.5]), np.array([0.0, np.pi / 2]))
    expected = [[0.0, 2.0], [-0.5, 0.0]]
    np.testing.assert_allclose(tasks.values(np.array([0.0, np.pi / 2])), expected, atol=1e-12)


def test_draw_sines_fill_the_published_ranges() -> None:
    tasks = draw_sines(np.random.default_rng(0), 5000, np.pi)
    assert 0.1 <= tasks.amplitude.min() < 0.12
    assert 4.98 < tasks.amplitude.max() <= 5.0
    assert 0.0 <= tasks.phase.min() < 0.01
    assert 3.13 < tasks.phase.max() <= np.pi


def test_draw_shots_lie_on_the_task_and_support_is_not_query() -> None:
    rng = np.random.default_rng(1)
    tasks = draw_sines(rng, 20, np.pi)
    shots = draw_shots(rng, tasks, 10, 7)
    assert shots.support_x.shape == (20, 10)
    assert shots.query_y.shape == (20, 7)
    np.testing.assert_allclose(shots.query_y, tasks.values(shots.query_x), atol=1e-5)
    assert not np.isin(shots.support_x, shots.query_x).any()


def test_grid_shots_repeat_points_only_where_asked() -> None:
    rng = np.random.default_rng(2)
    tasks, x = draw_sines(rng, 200, 2 * np.pi), grid(50)
    distinct, repeated = (grid_shots(rng, tasks, 10, x, repeats=repeats) for repeats in (False, True))
    assert all(len(np.unique(row)) == 10 for row in distinct.support_x)
    # Ten draws of fifty hold a repeat with probability .62.
    share = np.mean([len(np.unique(row)) < 10 for row in repeated.support_x])
    assert 0.5 < share < 0.74
    for shots in (distinct, repeated):
        np.testing.assert_allclose(shots.support_y, tasks.values(shots.support_x), atol=1e-5)
        np.testing.assert_array_equal(shots.query_x[5], x.astype(np.float32))
