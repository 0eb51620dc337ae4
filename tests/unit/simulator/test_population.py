"""Populations: logged users answer as their log does, drawn users as their response model says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulator import LatentFactorUsers, LoggedUsers, LogisticResponse, SimulatorError, fit_logistic_response

REWARDS = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
RATED = np.array([[True, True, False], [False, True, True]])


def drawn(n_users: int = 10, **changes: object) -> LatentFactorUsers:
    fields = {
        "features": torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]]),
        "popularity": torch.tensor([0.5, 0.2, 0.9]),
        "response": LogisticResponse(0.0, 1.0, 1.0),
        "n_users": n_users,
        "seed": 3,
    }
    return LatentFactorUsers(**(fields | changes))  # type: ignore[arg-type]


def test_logged_users_conventions_offer_different_candidates() -> None:
    users = torch.tensor([1, 0])
    everything = LoggedUsers(REWARDS, RATED)
    rated_only = LoggedUsers(REWARDS, RATED, "rated-only")
    assert everything.reward_probabilities(users).tolist() == [[0, 1, 1], [1, 0, 0]]
    assert bool(everything.candidates(users).all())
    assert rated_only.candidates(users).tolist() == [[False, True, True], [True, True, False]]
    assert rated_only.activity(users).tolist() == [2, 2]


def test_latent_factor_users_do_not_depend_on_who_else_is_drawn() -> None:
    few, many = drawn(4), drawn(4000)
    users = torch.tensor([3, 1])
    assert torch.equal(few.reward_probabilities(users), many.reward_probabilities(torch.tensor([3, 0, 1]))[[0, 2]])
    assert torch.equal(few.activity(users), many.activity(users))


def test_logistic_response_probabilities_equal_hand_computed_values() -> None:
    found = LogisticResponse(-1.0, 0.5, 2.0).probabilities(torch.tensor([0.5, 0.8]), torch.tensor([[0.5, 0.0]]))
    # sigmoid(-1 + 0 + 1) and sigmoid(-1 + .5 ln 4) = 2 / (2 + e)
    torch.testing.assert_close(found, torch.tensor([[0.5, 2 / (2 + np.e)]], dtype=torch.float32))


def test_fit_logistic_response_recovers_the_model_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    popularity, taste = rng.uniform(0.05, 0.9, 200), rng.normal(size=(1000, 200))
    truth = LogisticResponse(-0.7, 0.9, 1.6)
    p = truth.probabilities(torch.from_numpy(popularity), torch.from_numpy(taste)).numpy()
    found = fit_logistic_response(popularity, taste, (rng.random(p.shape) < p).astype(np.uint8))
    assert found.intercept == pytest.approx(-0.7, abs=0.05)
    assert found.population == pytest.approx(0.9, abs=0.05)
    assert found.personal == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n_users": 0}, "n_users"),
        ({"popularity": torch.tensor([0.5, 1.2, 0.1])}, "popularity"),
        ({"popularity": torch.tensor([0.5])}, "popularity"),
        ({"activity_median": 0.0}, "activity_median"),
    ],
)
def test_latent_factor_users_bad_field_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(SimulatorError, match=field):
        drawn(**changes)


def test_logged_users_bad_tables_are_named() -> None:
    with pytest.raises(SimulatorError, match="rewards"):
        LoggedUsers(REWARDS, RATED[:, :2])
    with pytest.raises(SimulatorError, match="rewards must be 0 or 1, not 5"):
        LoggedUsers(REWARDS * 5, RATED)
    with pytest.raises(SimulatorError, match="convention"):
        LoggedUsers(REWARDS, RATED, "maybe")  # type: ignore[arg-type]
