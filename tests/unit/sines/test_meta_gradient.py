from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metarl_rec.sines.meta_gradient import meta_gradient
from metarl_rec.sines.network import initial_weights
from tests.unit.sines.networks import HIDDEN, points

_SUPPORT, _QUERY = points(11, 10), points(12, 10)


def _start() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(10)
    weights = initial_weights(rng, HIDDEN, np.float64)
    return weights, rng.uniform(0.005, 0.1, len(weights))


def _gradients(weights: Any, rates: Any, steps: int, second_order: bool = True) -> tuple[float, Any, Any]:
    weight_grad, rate_grad = np.empty_like(weights), np.empty_like(weights)
    loss = meta_gradient(weights, rates, *_SUPPORT, *_QUERY, steps, second_order, weight_grad, rate_grad)
    return loss, weight_grad, rate_grad


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_meta_gradient_exact_matches_finite_differences(steps: int) -> None:
    weights, rates = _start()
    _, weight_grad, rate_grad = _gradients(weights, rates, steps)
    moves = 1e-6 * np.eye(len(weights))
    by_weight = [(_gradients(weights + m, rates, steps)[0] - _gradients(weights - m, rates, steps)[0]) for m in moves]
    by_rate = [(_gradients(weights, rates + m, steps)[0] - _gradients(weights, rates - m, steps)[0]) for m in moves]
    np.testing.assert_allclose(weight_grad, np.array(by_weight) / 2e-6, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(rate_grad, np.array(by_rate) / 2e-6, rtol=1e-5, atol=1e-7)
    assert (np.abs(rate_grad).max() > 0.01) == (steps > 0)


def test_meta_gradient_first_order_is_slope_at_the_adapted_weights_and_not_the_exact_one() -> None:
    weights, rates = _start()
    _, exact, rate_grad = _gradients(weights, rates, 1)
    _, first_order, same_rate_grad = _gradients(weights, rates, 1, second_order=False)
    _, own_slope, _ = _gradients(weights, np.zeros_like(rates), 1, second_order=False)
    np.testing.assert_array_equal(rate_grad, same_rate_grad)
    assert np.linalg.norm(exact - first_order) > 0.1 * np.linalg.norm(exact)
    assert np.linalg.norm(own_slope - first_order) > 0.1 * np.linalg.norm(first_order)


def test_meta_gradient_no_rate_is_gradient_without_adapting() -> None:
    weights, rates = _start()
    loss, stuck, _ = _gradients(weights, np.zeros_like(rates), 2)
    plain_loss, plain, _ = _gradients(weights, rates, 0)
    assert loss == plain_loss
    np.testing.assert_array_equal(stuck, plain)
