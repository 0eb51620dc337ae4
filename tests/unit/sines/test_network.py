from __future__ import annotations

import numpy as np
import pytest
import torch

from metarl_rec.sines.network import curvature_product, initial_weights, loss_gradient, predict, weight_count
from tests.unit.sines.networks import HIDDEN, points, torch_loss


def test_predict_written_out_network_matches_literal() -> None:
    # Width 1: w1, b1, w2, b2, w3, b3. At x = 2: 2 * 1 - 1 = 1, 1 * 3 + .5 = 3.5, 3.5 * 2 - 1 = 6. At x = 0 both rest.
    weights = np.array([1.0, -1.0, 3.0, 0.5, 2.0, -1.0])
    np.testing.assert_allclose(predict(weights, np.array([2.0, 0.0]), False), [6.0, 0.0])
    np.testing.assert_allclose(
        predict(weights, np.array([2.0]), True), [2 * np.tanh(3 * np.tanh(1.0) + 0.5) - 1], rtol=1e-12
    )


@pytest.mark.parametrize("tanh", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_gradient_and_curvature_compiled_match_torch(tanh: bool, dtype: type, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    weights, vector = initial_weights(rng, HIDDEN, dtype), rng.normal(size=weight_count(HIDDEN)).astype(dtype)
    x, y = points(1, 7, dtype)
    grad, product = np.empty_like(weights), np.empty_like(weights)
    loss = loss_gradient(weights, x, y, tanh, grad)
    curvature_product(weights, x, y, tanh, vector, product)

    leaf = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    inputs, targets = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    expected = torch_loss(leaf, inputs, targets, tanh)
    (slope,) = torch.autograd.grad(expected, leaf, create_graph=True)
    (curve,) = torch.autograd.grad(slope @ torch.tensor(vector, dtype=torch.float64), leaf)

    assert loss == pytest.approx(expected.item(), rel=tolerance)
    for found, wanted in ((grad, slope), (product, curve)):
        wanted_array = wanted.detach().numpy()
        np.testing.assert_allclose(found, wanted_array, rtol=tolerance, atol=tolerance * np.abs(wanted_array).max())


def test_gradient_smooth_network_matches_finite_differences() -> None:
    weights = initial_weights(np.random.default_rng(3), HIDDEN, np.float64)
    x, y = points(4, 5)
    grad, scrap = np.empty_like(weights), np.empty_like(weights)
    loss_gradient(weights, x, y, True, grad)
    steps = 1e-6 * np.eye(len(weights))
    differences = [
        (loss_gradient(weights + s, x, y, True, scrap) - loss_gradient(weights - s, x, y, True, scrap)) / 2e-6
        for s in steps
    ]
    np.testing.assert_allclose(grad, differences, rtol=1e-5, atol=1e-8)


def test_initial_weights_bounds_are_those_of_torch_linear() -> None:
    weights = initial_weights(np.random.default_rng(5), 64)
    assert weights.shape == (64 * 64 + 4 * 64 + 1,)
    assert 0.97 < np.abs(weights[:128]).max() <= 1.0
    assert 0.1245 < np.abs(weights[128:]).max() <= 0.125
