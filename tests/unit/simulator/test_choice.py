"""Choice models and graded feedback: probabilities by hand, samples against probabilities, bad settings by name."""

from __future__ import annotations

import math

import pytest
import torch

from simulator import (
    Cascade,
    ChoiceModel,
    DwellTime,
    Independent,
    MultinomialLogit,
    PositionBased,
    SimulatorError,
    StarRating,
)

UTILITIES = torch.tensor([[0.0, math.log(3), -math.log(3)]], dtype=torch.float64)  # sigmoid: 1/2, 3/4, 1/4


def close(found: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found[0], torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_probabilities_equal_hand_computed_values() -> None:
    close(Independent().probabilities(UTILITIES), [1 / 2, 3 / 4, 1 / 4])
    # exp(u) is 1, 3, 1/3 and no choice 1: shares of 16/3
    close(MultinomialLogit().probabilities(UTILITIES), [3 / 16, 9 / 16, 1 / 16])
    close(MultinomialLogit(no_choice=math.log(2)).probabilities(UTILITIES), [3 / 19, 9 / 19, 1 / 19])
    close(PositionBased((1.0, 0.5, 0.2)).probabilities(UTILITIES), [1 / 2, 3 / 8, 1 / 20])
    close(PositionBased.reciprocal(3).probabilities(UTILITIES), [1 / 2, 3 / 8, 1 / 12])
    close(Cascade().probabilities(UTILITIES), [1 / 2, 3 / 8, 1 / 32])
    close(Cascade(persistence=0.5).probabilities(UTILITIES), [1 / 2, 3 / 16, 1 / 128])


def test_multinomial_of_one_item_is_a_binary_logit() -> None:
    one = UTILITIES[:, 1:2]
    torch.testing.assert_close(MultinomialLogit().probabilities(one), Independent().probabilities(one))


@pytest.mark.parametrize(
    "model",
    [Independent(), MultinomialLogit(0.5), PositionBased((0.9, 0.6, 0.3)), Cascade(), Cascade(0.7)],
    ids=["independent", "multinomial", "position", "cascade", "impatient cascade"],
)
def test_sample_frequencies_match_the_probabilities_within_four_standard_errors(model: ChoiceModel) -> None:
    draws = 100_000
    generator = torch.Generator().manual_seed(0)
    attraction, examination = torch.rand(2, draws, 3, generator=generator, dtype=torch.float64)
    clicks = model.sample(UTILITIES.expand(draws, 3), attraction, examination).double()
    p = model.probabilities(UTILITIES)[0]
    assert bool(((clicks.mean(dim=0) - p).abs() < 4 * (p * (1 - p) / draws).sqrt()).all())
    if isinstance(model, (MultinomialLogit, Cascade)):
        assert int(clicks.sum(dim=1).max()) == 1


def test_star_rating_probabilities_sum_to_one_and_four_stars_are_a_like() -> None:
    p = StarRating().probabilities(UTILITIES)
    assert p.shape == (1, 3, 5)
    torch.testing.assert_close(p.sum(dim=-1), torch.ones(1, 3, dtype=torch.float64))
    torch.testing.assert_close(p[..., 3:].sum(dim=-1), torch.sigmoid(UTILITIES))


def test_star_rating_samples_match_probabilities_and_go_with_the_click() -> None:
    draws = 100_000
    attraction = torch.rand(draws, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wide = UTILITIES.expand(draws, 3)
    stars = StarRating().sample(wide, attraction)
    assert torch.equal(stars >= 4, Independent().sample(wide, attraction, attraction))
    p = StarRating().probabilities(UTILITIES)[0]
    for star in range(1, 6):
        share = (stars == star).double().mean(dim=0)
        expected = p[:, star - 1]
        assert bool(((share - expected).abs() < 4 * (expected * (1 - expected) / draws).sqrt()).all())


def test_dwell_time_mean_matches_and_is_zero_without_a_click() -> None:
    model = DwellTime(median=30.0, slope=0.5, sigma=0.8)
    noise = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    clicked = torch.ones(200_000, 3, dtype=torch.bool)
    clicked[:, 2] = False
    seconds = model.sample(UTILITIES.expand(200_000, 3), noise, clicked).double()
    expected = model.mean(UTILITIES)[0]
    assert float(expected[0]) == pytest.approx(30 * math.exp(0.32))
    gap = (seconds.mean(dim=0) - expected).abs()[:2]
    assert bool((gap < 4 * seconds.std(dim=0)[:2] / 200_000**0.5).all())
    assert float(seconds[:, 2].max()) == 0.0


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: PositionBased(()), "examination"),
        (lambda: PositionBased((0.5, 1.5)), r"examination\[1\]"),
        (lambda: PositionBased((1.0,)).probabilities(UTILITIES), "examination has 1 positions"),
        (lambda: Cascade(-0.1), "persistence"),
        (lambda: MultinomialLogit(math.inf), "no_choice"),
        (lambda: StarRating((1.0, 1.0)), "cuts"),
        (lambda: DwellTime(median=0.0), "median"),
        (lambda: DwellTime(sigma=-1.0), "sigma"),
    ],
)
def test_bad_settings_are_named_in_one_line(make: object, field: str) -> None:
    with pytest.raises(SimulatorError, match=field) as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
