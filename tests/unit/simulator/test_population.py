"""Populations: logged users answer as their log does, drawn ones as their distribution says, others as told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulator import (
    BernoulliBandits,
    FactorUsers,
    LatentFactorUsers,
    LoggedUsers,
    Population,
    SimulatorError,
    UserTypes,
    calibrated_intercepts,
)

REWARDS = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
RATED = np.array([[True, True, False], [False, True, True]])
FEATURES = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]])


def drawn(n_users: int = 10, **changes: object) -> LatentFactorUsers:
    fields = {"features": FEATURES, "popularity": torch.tensor([0.5, 0.2, 0.9]), "n_users": n_users, "seed": 3}
    return LatentFactorUsers.calibrated(**(fields | changes))  # type: ignore[arg-type]


def test_logged_users_conventions_offer_different_candidates() -> None:
    users = torch.tensor([1, 0])
    everything = LoggedUsers(REWARDS, RATED)
    rated_only = LoggedUsers(REWARDS, RATED, "rated-only")
    assert everything.reward_probabilities(users).tolist() == [[0, 1, 1], [1, 0, 0]]
    assert bool(everything.candidates(users).all())
    assert rated_only.candidates(users).tolist() == [[False, True, True], [True, True, False]]
    assert rated_only.activity(users).tolist() == [2, 2]


def test_latent_factor_users_do_not_depend_on_who_else_is_drawn() -> None:
    few, many = drawn(4, spread=0.7), drawn(4000, spread=0.7)
    users = torch.tensor([3, 1])
    together = many.reward_probabilities(torch.tensor([3, 0, 1]))[[0, 2]]
    torch.testing.assert_close(few.reward_probabilities(users), together, rtol=0, atol=1e-6)
    assert torch.equal(few.activity(users), many.activity(users))


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_latent_factor_users_like_every_item_at_its_rate(spread: float) -> None:
    population = drawn(40_000, spread=spread)
    found = population.reward_probabilities(torch.arange(40_000)).double()
    error = found.std(dim=0) / 200
    assert bool(((found.mean(dim=0) - torch.tensor([0.5, 0.2, 0.9])).abs() < 4 * error).all())


def test_calibrated_intercepts_without_variance_are_logits() -> None:
    rates = torch.tensor([0.01, 0.5, 0.97])
    torch.testing.assert_close(calibrated_intercepts(rates, torch.zeros(3)), torch.logit(rates), rtol=1e-5, atol=1e-5)


def test_factor_users_utilities_equal_hand_computed_values() -> None:
    population = FactorUsers(FEATURES, torch.tensor([0.0, -1.0, 2.0]), torch.tensor([[1.0, 1.0], [0.0, -1.0]]))
    users = torch.tensor([1, 0])
    assert population.utilities(users, population.tastes(users)).tolist() == [[0.0, -3.0, 1.5], [1.0, 1.0, 3.0]]
    items = torch.tensor([[2, 0], [1, 1]])
    assert population.utilities(users, population.tastes(users), items).tolist() == [[1.5, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    "population",
    [drawn(50, spread=0.5), LoggedUsers(REWARDS, RATED), BernoulliBandits(3, 50, seed=1), UserTypes(drawn(50), 1, 0.5)],
    ids=["latent", "logged", "bandit", "types"],
)
def test_utilities_of_some_items_are_those_of_all_and_of_single_users(population: Population) -> None:
    users = torch.tensor([1, 0])
    tastes = population.tastes(users)
    every = population.utilities(users, tastes)
    items = torch.tensor([[2, 0], [1, 2]])
    torch.testing.assert_close(population.utilities(users, tastes, items), every.gather(1, items), rtol=0, atol=1e-6)
    torch.testing.assert_close(population.reward_probabilities(users), torch.sigmoid(every), rtol=0, atol=1e-6)
    for row, user in enumerate(users):
        alone = population.utilities(user.unsqueeze(0), population.tastes(user.unsqueeze(0)))
        torch.testing.assert_close(alone[0], every[row], rtol=0, atol=1e-6)


def test_user_types_shares_and_answers_are_as_configured() -> None:
    plain = drawn(20_000)
    population = UserTypes(plain, seed=2, adversarial=0.2, negative=0.1, bots=0.3, bot_rate=0.8)
    users = torch.arange(20_000)
    kind = population.types(users)
    shares = torch.bincount(kind, minlength=4) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.4, 0.2, 0.1, 0.3]), rtol=0, atol=4 * (0.25 / 20_000) ** 0.5)
    was, now = plain.reward_probabilities(users), population.reward_probabilities(users)
    assert torch.equal(now[kind == 0], was[kind == 0])
    torch.testing.assert_close(now[kind == 1], 1 - was[kind == 1], rtol=0, atol=1e-6)
    assert float(now[kind == 2].max()) < 1e-6
    torch.testing.assert_close(now[kind == 3], torch.full_like(now[kind == 3], 0.8), rtol=0, atol=1e-6)


def test_bernoulli_bandits_rates_are_uniform() -> None:
    rates = BernoulliBandits(5, 10_000, seed=7).reward_probabilities(torch.arange(10_000)).double()
    assert abs(float(rates.mean()) - 0.5) < 4 * (1 / 12 / 50_000) ** 0.5
    assert abs(float((rates < 0.1).double().mean()) - 0.1) < 4 * (0.09 / 50_000) ** 0.5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n_users": 0}, "n_users"),
        ({"popularity": torch.tensor([0.5, 1.2, 0.1])}, "popularity"),
        ({"popularity": torch.tensor([0.5])}, "popularity"),
        ({"features": torch.full((3, 2), float("nan"))}, "features"),
        ({"activity_median": 0.0}, "activity_median"),
        ({"spread": -1.0}, "spread"),
    ],
)
def test_latent_factor_users_bad_field_is_named_in_one_line(changes: dict[str, object], field: str) -> None:
    with pytest.raises(SimulatorError, match=field) as caught:
        drawn(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"adversarial": -0.1}, "adversarial"),
        ({"bots": 1.5}, "bots"),
        ({"adversarial": 0.6, "negative": 0.6}, "sum to 1.2"),
        ({"bot_rate": float("nan")}, "bot_rate"),
    ],
)
def test_user_types_bad_share_is_named(changes: dict[str, float], field: str) -> None:
    with pytest.raises(SimulatorError, match=field):
        UserTypes(drawn(), 0, **changes)


def test_logged_users_bad_tables_are_named() -> None:
    with pytest.raises(SimulatorError, match="rewards"):
        LoggedUsers(REWARDS, RATED[:, :2])
    with pytest.raises(SimulatorError, match="rewards must be 0 or 1, not 5"):
        LoggedUsers(REWARDS * 5, RATED)
    with pytest.raises(SimulatorError, match="convention"):
        LoggedUsers(REWARDS, RATED, "maybe")  # type: ignore[arg-type]
    with pytest.raises(SimulatorError, match="weights"):
        FactorUsers(FEATURES, torch.zeros(3), torch.zeros(2, 5))
    with pytest.raises(SimulatorError, match="n_arms"):
        BernoulliBandits(0, 5, seed=0)
