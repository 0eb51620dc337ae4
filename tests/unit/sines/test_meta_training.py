from __future__ import annotations

import numpy as np
import torch

from metarl_rec.seeding import generator
from metarl_rec.sines.meta_training import LEARNERS, MetaRecipe, meta_train
from metarl_rec.sines.network import initial_weights
from metarl_rec.sines.tasks import draw_shots, draw_sines
from tests.unit.sines.networks import torch_loss

_SMALL = MetaRecipe(iterations=5, meta_batch=3, hidden=8)
_ONE = MetaRecipe(iterations=1, meta_batch=3, hidden=8)


def test_meta_sgd_first_step_moves_weights_as_maml_and_rates_besides() -> None:
    # Rates start equal to MAML's, so the first gradient of the weights is the same; later ones are not.
    maml, fixed = meta_train(LEARNERS["maml"], _ONE, 7)
    meta_sgd, learned = meta_train(LEARNERS["meta_sgd"], _ONE, 7)
    np.testing.assert_array_equal(maml, meta_sgd)
    np.testing.assert_array_equal(fixed, np.float32(0.01))
    # Adam's first step is its learning rate wherever there is a gradient.
    moved = np.abs(learned - np.float32(0.01))
    assert abs(np.median(moved) - 0.001) < 1e-6
    assert not np.array_equal(
        meta_train(LEARNERS["maml"], _SMALL, 7)[0], meta_train(LEARNERS["meta_sgd"], _SMALL, 7)[0]
    )


def test_fomaml_first_step_differs_from_maml() -> None:
    recipe = MetaRecipe(iterations=5, meta_batch=3, hidden=8, inner_rate=0.05)
    maml, fomaml = (meta_train(LEARNERS[name], recipe, 7)[0] for name in ("maml", "fomaml"))
    assert np.abs(maml - fomaml).max() > 1e-4


def test_meta_train_same_seed_same_bits_and_other_seed_other_weights() -> None:
    first, again, other = (meta_train(LEARNERS["maml"], _SMALL, seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_joint_training_matches_adam_of_torch_on_all_points() -> None:
    found, _ = meta_train(LEARNERS["joint"], _SMALL, 9)

    rng = generator(9, "meta", "tasks", 0)
    shots = draw_shots(rng, draw_sines(rng, 15, np.pi), 10, 10)
    x = torch.tensor(np.concatenate([shots.support_x, shots.query_x], axis=1).reshape(5, -1))
    y = torch.tensor(np.concatenate([shots.support_y, shots.query_y], axis=1).reshape(5, -1))
    weights = torch.tensor(initial_weights(generator(9, "meta", "weights"), 8), requires_grad=True)
    adam = torch.optim.Adam([weights], lr=0.001)
    for step in range(5):
        adam.zero_grad()
        torch_loss(weights, x[step], y[step], False, 8).backward()
        adam.step()

    np.testing.assert_allclose(found, weights.detach().numpy(), atol=2e-6)


def test_maml_matches_torch_second_order_over_several_steps() -> None:
    found, _ = meta_train(LEARNERS["maml"], _SMALL, 9)

    rng = generator(9, "meta", "tasks", 0)
    shots = draw_shots(rng, draw_sines(rng, 15, np.pi), 10, 10)
    sx, sy, qx, qy = (torch.tensor(p) for p in (shots.support_x, shots.support_y, shots.query_x, shots.query_y))
    weights = torch.tensor(initial_weights(generator(9, "meta", "weights"), 8), requires_grad=True)
    adam = torch.optim.Adam([weights], lr=0.001)
    for step in range(5):
        total = torch.zeros(())
        for task in range(3 * step, 3 * step + 3):
            (slope,) = torch.autograd.grad(
                torch_loss(weights, sx[task], sy[task], False, 8), weights, create_graph=True
            )
            total = total + torch_loss(weights - 0.01 * slope, qx[task], qy[task], False, 8) / 3
        adam.zero_grad()
        total.backward()
        adam.step()

    np.testing.assert_allclose(found, weights.detach().numpy(), atol=5e-6)
