from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metarl_rec.seeding import generator
from metarl_rec.sines.adapting import error_curves
from metarl_rec.sines.demonstration import PUBLISHED_ERROR, demonstrate
from metarl_rec.sines.network import initial_weights, loss_gradient
from metarl_rec.sines.reptile import ReptileRecipe, draw_batches, reptile_update, train_reptile
from metarl_rec.sines.tasks import draw_sines, grid, grid_shots
from tests.unit.sines.networks import HIDDEN, points

_BATCHES = np.arange(10).reshape(2, 5)


def test_reptile_update_one_inner_step_moves_against_the_gradient() -> None:
    weights, (x, y) = initial_weights(np.random.default_rng(0), HIDDEN, np.float32), points(1, 10, np.float32)
    before, grad = weights.copy(), np.empty_like(weights)
    loss_gradient(weights, x[:5], y[:5], True, grad)
    reptile_update(weights, x, y, _BATCHES[:1], 0.02, 0.5)
    np.testing.assert_allclose(weights - before, -0.5 * 0.02 * grad, rtol=1e-3, atol=1e-7)


def test_reptile_update_several_steps_goes_a_share_of_the_way_to_where_sgd_ends() -> None:
    start, (x, y) = initial_weights(np.random.default_rng(0), HIDDEN, np.float32), points(1, 10, np.float32)
    end, grad = start.copy(), np.empty_like(start)
    for batch in _BATCHES:
        loss_gradient(end, x[batch], y[batch], True, grad)
        end -= np.float32(0.02) * grad
    weights = start.copy()
    reptile_update(weights, x, y, _BATCHES, 0.02, 0.25)
    np.testing.assert_allclose(weights, start + 0.25 * (end - start), atol=1e-7)


def test_train_reptile_outer_step_anneals_linearly_to_zero() -> None:
    recipe = ReptileRecipe(iterations=4, hidden=HIDDEN)
    rng = generator(2, "reptile", "tasks", 0)
    tasks, x = draw_sines(rng, 4, 2 * np.pi), grid(50)
    batches = draw_batches(rng, tasks, recipe)
    weights = initial_weights(generator(2, "reptile", "weights"), HIDDEN)
    for task, outer_rate in enumerate((0.1, 0.075, 0.05, 0.025)):
        y = tasks.values(x)[task].astype(np.float32)
        reptile_update(weights, x.astype(np.float32), y, batches[task], 0.02, outer_rate)
    np.testing.assert_allclose(train_reptile(recipe, 2), weights, atol=1e-7)


def test_draw_batches_pass_over_every_point_once_an_epoch_and_truncate() -> None:
    recipe = ReptileRecipe(epochs=2)
    tasks = draw_sines(np.random.default_rng(0), 3, 2 * np.pi)
    batches = draw_batches(np.random.default_rng(1), tasks, recipe)
    assert batches.shape == (3, 10, 10)
    for epoch in (batches[1, :5], batches[1, 5:]):
        assert sorted(epoch.ravel()) == list(range(50))
    truncated = draw_batches(np.random.default_rng(1), tasks, replace(recipe, truncate=1))
    np.testing.assert_array_equal(truncated, batches[:, :1])


def test_train_reptile_few_updates_lowers_the_error_after_adapting() -> None:
    rng = generator(3, "test")
    shots = grid_shots(rng, draw_sines(rng, 50, 2 * np.pi), 10, grid(50), repeats=True)
    recipe = ReptileRecipe(iterations=300, outer_rate=1.0, batch=2)
    start = initial_weights(generator(3, "reptile", "weights"), recipe.hidden)
    trained = train_reptile(recipe, 3)
    before, after = (error_curves(w, 0.02, shots, 32, tanh=True)[:, -1].mean() for w in (start, trained))
    assert after < 0.7 * before


def test_error_curves_first_entries_match_hand_computed_steps() -> None:
    rng = generator(4, "test")
    shots = grid_shots(rng, draw_sines(rng, 3, 2 * np.pi), 10, grid(50), repeats=False)
    weights = initial_weights(rng, HIDDEN)
    curves, grad = error_curves(weights, 0.1, shots, 2, tanh=True), np.empty_like(weights)
    adapted = weights.copy()
    for step in range(3):
        expected = loss_gradient(adapted, shots.query_x[1], shots.query_y[1], True, grad)
        assert curves[1, step] == pytest.approx(expected, rel=1e-5)
        loss_gradient(adapted, shots.support_x[1], shots.support_y[1], True, grad)
        adapted -= np.float32(0.1) * grad
    last = error_curves(weights, 0.1, shots, 2, tanh=True, last_only=True)
    np.testing.assert_array_equal(last, curves[:, 2:])


def test_demonstration_its_own_random_numbers_gives_the_published_error() -> None:
    weights, shown = demonstrate()
    error = error_curves(weights, 0.02, shown, 32, tanh=True)[0, -1]
    assert error == pytest.approx(PUBLISHED_ERROR, abs=0.001)
