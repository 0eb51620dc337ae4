"""Worlds that move: satiation, drift, leaving and coming back, late answers; randomness stays each user's own."""

from __future__ import annotations

import math

import pytest
import torch

from simulator import (
    BatchEnv,
    Cascade,
    Drift,
    DwellTime,
    Dynamics,
    FeedbackLoss,
    LatentFactorUsers,
    Leaving,
    LoggedUsers,
    MultinomialLogit,
    PositionBased,
    Satiation,
    SimulatorError,
    StarRating,
    Topics,
)

N_ITEMS = 12
TOPICS = Topics(torch.eye(3)[torch.arange(N_ITEMS) % 3], retention=0.5)
EVERYTHING = Dynamics(
    topics=TOPICS,
    satiation=Satiation(1.0),
    drift=Drift(0.1, 0.1),
    leaving=Leaving(0.1, 0.3, 1.0, 0.4, returning=0.6, loyalty=1.0),
    feedback=FeedbackLoss(3, 0.2),
    lifetimes=True,
)


def latent(n_users: int) -> LatentFactorUsers:
    features = torch.randn(N_ITEMS, 2, generator=torch.Generator().manual_seed(0))
    return LatentFactorUsers.calibrated(
        features, torch.full((N_ITEMS,), 0.4), n_users, seed=1, activity_median=6, activity_sigma=0.5
    )


def world(n_users: int = 50, dynamics: Dynamics | None = None, **changes: object) -> BatchEnv:
    arguments = {"form": "session", "horizon": 4, "discount": 0.9, "dynamics": dynamics, "seed": 2, **changes}
    return BatchEnv(latent(n_users), torch.arange(n_users), **arguments)  # type: ignore[arg-type]


def test_satiation_lowers_the_utility_by_strength_times_exposure() -> None:
    env = world(dynamics=Dynamics(topics=TOPICS, satiation=Satiation(2.0)))
    env.reset()
    before = env.utilities()
    env.step(torch.zeros(50, 1, dtype=torch.int64))
    env.step(torch.ones(50, 1, dtype=torch.int64))
    # exposure: topic 0 was shown first and has faded once, (1 - .5) .5; topic 1 is fresh, .5; topic 2 was never shown
    fall = (before - env.utilities())[:, :3]
    torch.testing.assert_close(fall, torch.tensor([[0.5, 1.0, 0.0]]).expand(50, 3), rtol=0, atol=1e-5)


def test_drift_keeps_tastes_standard_normal_and_moves_as_fast_as_configured() -> None:
    population, users = latent(20_000), torch.arange(20_000)
    first = population.tastes(users)
    tastes = first
    for step in range(10):
        tastes = Drift(rate=0.3).move(tastes, users, torch.full_like(users, step), seed=4)
    assert abs(float(tastes.mean())) < 4 / (40_000**0.5)
    assert abs(float(tastes.var()) - 1) < 4 * (2 / 40_000) ** 0.5
    correlation = float((first * tastes).mean())
    assert abs(correlation - math.sqrt(1 - 0.09) ** 10) < 4 / 40_000**0.5


def test_drift_jumps_happen_at_their_rate_and_leave_others_alone() -> None:
    population, users = latent(20_000), torch.arange(20_000)
    first = population.tastes(users)
    moved = Drift(rate=0.0, jump=0.1).move(first, users, torch.zeros_like(users), seed=4)
    jumped = (moved != first).any(dim=1)
    assert abs(float(jumped.double().mean()) - 0.1) < 4 * (0.09 / 20_000) ** 0.5


def test_leaving_rate_and_absence_match_the_configured_hazard() -> None:
    env = world(20_000, Dynamics(leaving=Leaving(hazard=0.1, failure=0.0)), horizon=3)
    observation = env.reset()
    _, first = env.step(torch.zeros(20_000, 1, dtype=torch.int64))
    rate = float(first.terminated.double().mean())
    assert abs(rate - 0.1) < 4 * (0.09 / 20_000) ** 0.5
    observation, second = env.step(torch.ones(20_000, 1, dtype=torch.int64))
    assert torch.equal(second.present, ~first.terminated)
    assert float(second.rewards[~second.present].sum()) == 0.0
    assert not bool((second.terminated & ~second.present).any())
    observation, third = env.step(torch.full((20_000, 1), 2))
    # With certain return everybody is there again when the next session begins; those who stayed were cut, not gone.
    assert bool(observation.present.all())
    assert torch.equal(third.truncated, third.present & ~third.terminated)
    assert observation.session_step.tolist() == [0] * 20_000


def test_failures_and_boredom_raise_the_hazard_as_the_formula_says() -> None:
    leaving = Leaving(hazard=0.1, failure=0.5, boredom=2.0, tolerance=0.3)
    found = leaving.probabilities(torch.tensor([0, 2, 0]), torch.tensor([0.0, 0.0, 0.4]))
    base = math.log(0.1 / 0.9)
    expected = [1 / (1 + math.exp(-x)) for x in (base, base + 1.0, base + 2.0)]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_returning_goes_by_the_reward_of_the_session_that_ended() -> None:
    found = Leaving(returning=0.5, loyalty=2.0).return_probabilities(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor([0.5, 1 / (1 + math.exp(-2))]))
    env = world(20_000, Dynamics(leaving=Leaving(hazard=1.0, returning=0.25)), horizon=1)
    env.reset()
    observation, _ = env.step(torch.zeros(20_000, 1, dtype=torch.int64))
    assert abs(float(observation.present.double().mean()) - 0.25) < 4 * (0.1875 / 20_000) ** 0.5
    observation, _ = env.step(torch.ones(20_000, 1, dtype=torch.int64))
    assert abs(float(observation.present.double().mean()) - 0.0625) < 4 * (0.0586 / 20_000) ** 0.5


def test_lifetimes_end_users_for_good_with_termination() -> None:
    env = world(2_000, Dynamics(lifetimes=True), horizon=4)
    observation = env.reset()
    limits = latent(2_000).activity(torch.arange(2_000))
    for step in range(N_ITEMS):
        assert torch.equal(observation.present, limits > step)
        observation, response = env.step(torch.full((2_000, 1), step))
        assert torch.equal(response.terminated, response.present & ((limits == step + 1) | (step + 1 == N_ITEMS)))


def test_feedback_delays_are_uniform_and_losses_at_their_rate() -> None:
    users = torch.arange(40_000)
    delays = FeedbackLoss(max_delay=3, missing=0.2).delays(users, torch.zeros_like(users), seed=5)
    share = torch.stack([(delays == value).double().mean() for value in (-1, 0, 1, 2, 3)])
    assert bool(((share - 0.2).abs() < 4 * (0.16 / 40_000) ** 0.5).all())


@pytest.mark.parametrize("choice", [None, MultinomialLogit(), Cascade(0.8), PositionBased.reciprocal(2)])
def test_same_seed_same_bits_and_a_batch_draws_what_single_users_draw(choice: object) -> None:
    def run(users: torch.Tensor, first: int) -> list[tuple[object, ...]]:
        env = BatchEnv(
            latent(40), users, form="session", horizon=3, discount=0.9, slate_size=2, choice=choice,  # type: ignore[arg-type]
            dynamics=EVERYTHING, stars=StarRating(), dwell=DwellTime(), seed=6,
        )  # fmt: skip
        env.reset()
        seen = []
        for step in range(6):
            slates = torch.tensor([[2 * step, 2 * step + 1]]).repeat(len(users), 1)
            p = env.reward_probabilities()
            # The first users are shown their slates the other way round: nobody else may notice.
            slates[:first] = slates[:first].flip(1)
            _, response = env.step(slates)
            fields = (response.rewards, response.terminated, response.truncated, response.present, response.delays)
            seen.append((p, *fields, response.stars, response.dwell_seconds))
        return seen

    together, again, other = run(torch.arange(40), 0), run(torch.arange(40), 0), run(torch.arange(40), 39)
    alone = run(torch.tensor([39]), 0)
    for a, b, c, single in zip(together, again, other, alone, strict=True):
        for one, same in zip(a, b, strict=True):
            assert torch.equal(one, same)  # type: ignore[arg-type]
        torch.testing.assert_close(a[0][39], single[0][0], rtol=0, atol=1e-6)  # type: ignore[index]
        for one, disturbed, own in zip(a[1:], c[1:], single[1:], strict=True):
            assert torch.equal(one[39], disturbed[39])  # type: ignore[index]
            torch.testing.assert_close(one[39], own[0], rtol=1e-5, atol=1e-6)  # type: ignore[index]


def test_replace_puts_a_new_user_at_their_beginning_and_leaves_the_others() -> None:
    env, fresh = world(40, EVERYTHING), world(40, EVERYTHING)
    env.reset()
    for step in range(3):
        env.step(torch.full((40, 1), step))
    before = env.reward_probabilities()
    observation = env.replace(torch.tensor([5]), torch.tensor([30]))
    after = env.reward_probabilities()
    assert bool(observation.candidates[5].all())
    assert bool(observation.present[5])
    assert int(observation.session_step[5]) == 0
    fresh.reset()
    torch.testing.assert_close(after[5], fresh.reward_probabilities()[30], rtol=0, atol=1e-6)
    others = [row for row in range(40) if row != 5]
    torch.testing.assert_close(after[others], before[others], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Topics(torch.tensor([[0.5, 0.6]])), "item 0 has weights that sum to 1.1"),
        (lambda: Topics(torch.tensor([[-0.5, 1.5]])), "negative"),
        (lambda: Topics(torch.eye(2), retention=1.0), "retention"),
        (lambda: Dynamics(satiation=Satiation()), "satiation needs topics"),
        (lambda: Dynamics(leaving=Leaving(boredom=1.0)), "leaving.boredom needs topics"),
        (lambda: Satiation(-1.0), "satiation.strength"),
        (lambda: Drift(rate=1.5), "drift.rate"),
        (lambda: Drift(jump=float("nan")), "drift.jump"),
        (lambda: Leaving(hazard=-0.1), "leaving.hazard"),
        (lambda: Leaving(returning=2.0), "leaving.returning"),
        (lambda: FeedbackLoss(max_delay=-1), "feedback.max_delay"),
        (lambda: FeedbackLoss(missing=1.1), "feedback.missing"),
        (lambda: world(dynamics=Dynamics(topics=Topics(torch.eye(3)))), "topics has 3 items, the population 12"),
        (
            lambda: world(dynamics=Dynamics(leaving=Leaving()), form="bandit", discount=0.0),
            "leaving needs form session",
        ),
        (lambda: world(slate_size=13), "slate_size"),
        (lambda: world(0), "n_users"),
    ],
)
def test_bad_settings_are_named_in_one_line(make: object, field: str) -> None:
    with pytest.raises(SimulatorError, match=field) as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_drift_of_logged_users_is_refused_because_they_have_no_tastes() -> None:
    import numpy as np

    logged = LoggedUsers(np.eye(3, dtype=np.uint8), np.ones((3, 3), bool))
    with pytest.raises(SimulatorError, match="population with tastes"):
        BatchEnv(logged, torch.arange(3), horizon=1, dynamics=Dynamics(drift=Drift()), seed=0)
