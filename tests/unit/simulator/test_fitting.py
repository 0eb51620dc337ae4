"""Fitting users on a log: the numbers that made the data come back, and what is known of a user predicts the rest."""

from __future__ import annotations

import pytest
import torch

from simulator import LatentFactorUsers, SimulatorError
from simulator.fitting import UserPrior, fit_user_prior, smoothed_popularity, standardized

N_USERS, N_ITEMS, DIM = 1500, 300, 3


def made_up(taste: float, spread: float, seed: int = 0) -> tuple[UserPrior, torch.Tensor]:
    """Returns a distribution and the answers of N_USERS of its users to everything."""
    generator = torch.Generator().manual_seed(seed)
    popularity = torch.rand(N_ITEMS, generator=generator) * 0.5 + 0.05
    features = torch.randn(N_ITEMS, DIM, generator=generator) * 0.15
    prior = UserPrior(standardized(features, popularity), popularity, taste, spread)
    p = prior.draw(N_USERS, seed=5).reward_probabilities(torch.arange(N_USERS))
    return prior, (torch.rand(p.shape, generator=generator) < p).to(torch.uint8)


@pytest.mark.parametrize(("taste", "spread"), [(1.0, 0.5), (2.0, 1.0)])
def test_fit_user_prior_recovers_what_made_the_data(taste: float, spread: float) -> None:
    prior, rewards = made_up(taste, spread)
    raw = prior.features * (prior.popularity * (1 - prior.popularity)).sqrt().unsqueeze(1)
    found = fit_user_prior(raw, prior.popularity, rewards, torch.ones_like(rewards, dtype=torch.bool), rounds=30)
    assert found.taste == pytest.approx(taste, rel=0.1)
    assert found.spread == pytest.approx(spread, rel=0.1)


def test_posterior_predicts_unseen_answers_better_than_popularity() -> None:
    prior, rewards = made_up(1.5, 0.8)
    shown = torch.rand(rewards.shape, generator=torch.Generator().manual_seed(9)) < 0.3
    p = prior.posterior(rewards, shown).probabilities().double().clamp(1e-6, 1 - 1e-6)

    def log_loss(q: torch.Tensor) -> torch.Tensor:
        y = rewards.double()
        return (-(y * q.log() + (1 - y) * (1 - q).log()) * ~shown).sum(dim=1) / (~shown).sum(dim=1)

    gain = log_loss(prior.popularity.double().expand_as(p)) - log_loss(p)
    assert float(gain.mean()) > 10 * float(gain.std()) / N_USERS**0.5
    assert abs(float(p[~shown].mean()) - float(rewards[~shown].double().mean())) < 0.01


def test_posterior_of_a_user_without_answers_is_the_prior() -> None:
    prior, rewards = made_up(1.0, 0.5)
    nothing = prior.posterior(rewards[:3], torch.zeros(3, N_ITEMS, dtype=torch.bool))
    assert float(nothing.mean.abs().max()) == 0.0
    torch.testing.assert_close(nothing.covariance, torch.eye(DIM + 1).expand(3, -1, -1))


def test_smoothed_popularity_equals_hand_computed_values() -> None:
    rewards = torch.tensor([[1, 0], [1, 1]])
    observed = torch.tensor([[True, True], [True, False]])
    # overall 2 of 3; items (2 + 2/3) / (2 + 1) and (0 + 2/3) / (1 + 1)
    torch.testing.assert_close(smoothed_popularity(rewards, observed, 1.0), torch.tensor([8 / 9, 1 / 3]))


def test_fit_user_prior_bad_tables_are_named() -> None:
    prior, rewards = made_up(1.0, 0.5)
    everything = torch.ones_like(rewards, dtype=torch.bool)
    with pytest.raises(SimulatorError, match="do not fit"):
        fit_user_prior(prior.features, prior.popularity[:5], rewards, everything)
    with pytest.raises(SimulatorError, match="all the same"):
        fit_user_prior(prior.features, prior.popularity, rewards * 0, everything)


def test_draw_gives_latent_factor_users_with_the_fitted_rates() -> None:
    prior, _ = made_up(1.0, 0.5)
    users = prior.draw(20_000, seed=1)
    assert isinstance(users, LatentFactorUsers)
    rates = users.reward_probabilities(torch.arange(20_000)).mean(dim=0)
    torch.testing.assert_close(rates, prior.popularity, rtol=0.05, atol=0.01)
