"""Keyed randomness: independent of batching and order, and uniform enough."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.randomness import normals, uniforms


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**62),
    users=st.lists(st.integers(0, 2**40), min_size=1, max_size=20),
    step=st.integers(0, 10**6),
)
def test_uniforms_batch_draws_what_single_users_draw(seed: int, users: list[int], step: int) -> None:
    keys = torch.tensor(users)
    together = uniforms(seed, "click", keys, torch.tensor(step))
    alone = torch.stack([uniforms(seed, "click", key, torch.tensor(step)) for key in keys])
    assert torch.equal(together, alone)
    assert bool(((together >= 0) & (together < 1)).all())


def test_uniforms_every_key_matters() -> None:
    one, two = torch.tensor(1), torch.tensor(2)
    base = uniforms(3, "click", one, two)
    others = [uniforms(4, "click", one, two), uniforms(3, "leave", one, two), uniforms(3, "click", two, one)]
    assert all(not torch.equal(base, other) for other in others)


def test_uniforms_grid_of_users_and_items_looks_uniform_and_independent() -> None:
    draws = uniforms(12, "response", torch.arange(1000).unsqueeze(1), torch.arange(1000).unsqueeze(0))
    counts = torch.histc(draws, bins=50, min=0.0, max=1.0)
    expected = draws.numel() / 50
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 49 + 4 * (2 * 49) ** 0.5
    for shifted in (draws.roll(1, 0), draws.roll(1, 1), draws.T):
        correlation = torch.corrcoef(torch.stack([draws.flatten(), shifted.flatten()]))[0, 1]
        assert abs(float(correlation)) < 4 / draws.numel() ** 0.5


def test_normals_have_the_standard_normal_moments() -> None:
    draws = normals(5, "taste", torch.arange(200_000))
    assert float(draws.mean()) == pytest.approx(0, abs=4 / 200_000**0.5)
    assert float(draws.var()) == pytest.approx(1, abs=4 * (2 / 200_000) ** 0.5)
    assert bool(draws.isfinite().all())
