"""The loss's parts against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from metarl_rec.losses import advantages, clipped_surrogate, entropy, log_policy, transition_precision


def test_clipped_surrogate_each_side_of_the_clip_equals_hand_computed_values() -> None:
    ratio = torch.tensor([1.1, 1.5, 0.5, 1.5, 0.5, 1.0, 4.0])
    advantage = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -3.0, -2.0])
    # min(1.1*2, 1.1*2); min(3, 1.2*2); min(1, .8*2); min(-3, -2.4); min(-1, -1.6); -3; max(-8, 3 * -2)
    expected = torch.tensor([2.2, 2.4, 1.0, -3.0, -1.6, -3.0, -6.0])
    torch.testing.assert_close(clipped_surrogate(ratio.log(), advantage, 0.2), expected)


def test_clipped_surrogate_gradient_is_zero_only_where_the_clip_acts() -> None:
    log_ratio = torch.log(torch.tensor([1.1, 1.5, 0.5, 1.5, 0.5, 4.0])).requires_grad_()
    advantage = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0])
    clipped_surrogate(log_ratio, advantage, 0.2).sum().backward()
    assert log_ratio.grad is not None
    # d(rho A)/d(log rho) = rho A where the clip does not act
    torch.testing.assert_close(log_ratio.grad, torch.tensor([2.2, 0.0, 1.0, -3.0, 0.0, 0.0]))


def test_clipped_surrogate_ratio_beyond_the_bound_contributes_nothing_and_no_nan() -> None:
    log_ratio = torch.tensor([10.5, -11.0, 1000.0]).requires_grad_()
    loss = clipped_surrogate(log_ratio, torch.tensor([-1.0, 1.0, -1.0]), 0.2).sum()
    loss.backward()
    assert log_ratio.grad is not None
    assert loss.item() == 0.0
    assert log_ratio.grad.tolist() == [0.0, 0.0, 0.0]


def test_advantages_session_of_three_equals_hand_computed_discounted_sums() -> None:
    errors = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    continues = torch.tensor([[True, True, False, False]])
    # 1 + .5 (2 + .5 * 4), 2 + .5 * 4, 4, and 8 in a session of its own
    torch.testing.assert_close(advantages(errors, continues, 0.5), torch.tensor([[3.0, 4.0, 4.0, 8.0]]))
    torch.testing.assert_close(advantages(errors, continues, 0.0), errors)


def test_log_policy_own_candidate_sets_equal_hand_computed_values() -> None:
    values = torch.log(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    rest = torch.tensor([[True, False, False, True]])
    touched = torch.tensor([[1, 2]])
    allowed = torch.tensor([[[True, True], [False, True]]])
    chosen = torch.tensor([[1, 2]])
    # 2 / (1 + 4 + 2 + 3) and 3 / (1 + 4 + 3)
    expected = torch.log(torch.tensor([[0.2, 0.375]]))
    torch.testing.assert_close(log_policy(values, chosen, rest, touched, allowed, 1.0), expected)


def test_entropy_uniform_rest_is_log_of_its_size_and_has_zero_gradient() -> None:
    values = torch.zeros(1, 5, requires_grad=True)
    rest = torch.tensor([[True, True, True, True, False]])
    result = entropy(values, rest, 0.1)
    result.sum().backward()
    assert result.item() == pytest.approx(math.log(4))
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.zeros(1, 5), atol=1e-6, rtol=0)


def test_transition_precision_literal_coefficients_equal_hand_computed_value() -> None:
    o = torch.tensor([1.0, 2.0, 3.0, 4.0])
    omega = transition_precision(o, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.1]]))
    expected = [math.exp(1 + 2 + 3 * 0.2 + 4 * 0.2), math.exp(1 + 3 * -0.2)]
    torch.testing.assert_close(omega, torch.tensor([expected]))
