"""How close simulated users are to real ones that had no part in them: every user held out in turn.

In each fold simulated users are fitted on the other users. Each held-out user then lends their list of items to one
simulated user, so that both are asked about the same things in the same order; and half of a held-out user's answers,
drawn at random, predict the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.config import RunConfig
from metarl_rec.dataset import Dataset
from metarl_rec.seeding import generator
from metarl_rec.user_models import Convention, fit_user_model
from simulator.fitting import UserPrior

__all__ = ["INDEX_EDGES", "Calibration", "HeldOut", "calibrate"]

DECILES = 10
BINS = 10
INDEX_EDGES = (0, 5, 10, 20, 40, 80)
"""Interaction indexes at which reward rates by index are split; the last group is open."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Raw results of N held-out users, pooled over folds.

    Attributes:
        users: [N] int64.
        shown: [N, 10] number of interactions by popularity decile; deciles hold the same number of ratings each.
        real: [N, 10] rewards of the real user.
        simulated: [N, 10] rewards of the simulated user with the same list.
        by_index: [N, I, 3] interactions, real and simulated rewards by interaction index; zeros without an order.
        neighbours: [N, 2] lag-1 autocorrelation of rewards within the user, real and simulated; NaN where undefined.
        predicted: [Q] P(like) given half of a user's answers, of the other half.
        popularity: [Q] the item's rate among the other users.
        outcome: [Q] 0 or 1.
        asked: [Q] int64, position of the user in `users`.
    """

    users: NDArray[np.int64]
    shown: NDArray[np.float64]
    real: NDArray[np.float64]
    simulated: NDArray[np.float64]
    by_index: NDArray[np.float64]
    neighbours: NDArray[np.float64]
    predicted: NDArray[np.float64]
    popularity: NDArray[np.float64]
    outcome: NDArray[np.float64]
    asked: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a report shows.

    Attributes:
        rate: reward rate, real and simulated.
        deciles: by popularity decile, least popular first: real rate, simulated rate, standard error of the difference
            over users, and whether they agree within 10 % or 2 standard errors.
        by_index: first index, real rate, simulated rate; empty where ratings have no order.
        spread: between-user standard deviation of the reward rate, real and simulated.
        neighbours: mean lag-1 autocorrelation within a user, real and simulated; None without an order.
        reliability: mean prediction, observed rate and count of ten bins with the same number of predictions.
        calibration_error: expected calibration error over these bins.
        popularity_error: the same of the item-popularity predictor.
        log_loss: mean log-loss in nats, of the model and of item popularity.
        log_loss_gain: popularity's loss minus the model's, mean over users, and its standard error.
    """

    rate: tuple[float, float]
    deciles: list[tuple[float, float, float, bool]]
    by_index: list[tuple[int, float, float]]
    spread: tuple[float, float]
    neighbours: tuple[float, float] | None
    reliability: list[tuple[float, float, int]]
    calibration_error: float
    popularity_error: float
    log_loss: tuple[float, float]
    log_loss_gain: tuple[float, float]

    @classmethod
    def of(cls, raw: HeldOut) -> Calibration:
        """Returns the summary of raw results."""
        shown, real, simulated = raw.shown.sum(axis=0), raw.real.sum(axis=0), raw.simulated.sum(axis=0)
        gap = raw.real - raw.simulated
        error = gap.std(axis=0, ddof=1) * np.sqrt(len(gap)) / shown
        rates = np.stack([real / shown, simulated / shown])
        agrees = np.abs(rates[0] - rates[1]) <= np.maximum(0.1 * rates[0], 2 * error)
        own = np.stack([raw.real.sum(axis=1), raw.simulated.sum(axis=1)]) / raw.shown.sum(axis=1)
        loss, base = _log_loss(raw.predicted, raw.outcome), _log_loss(raw.popularity, raw.outcome)
        counts = np.bincount(raw.asked)
        gains = np.bincount(raw.asked, weights=base - loss)[counts > 0] / counts[counts > 0]
        index = raw.by_index.sum(axis=0)
        known = ~np.isnan(raw.neighbours).any(axis=1)
        return cls(
            rate=(float(real.sum() / shown.sum()), float(simulated.sum() / shown.sum())),
            deciles=[(float(r), float(s), float(e), bool(a)) for r, s, e, a in zip(*rates, error, agrees, strict=True)],
            by_index=[
                (edge + 1, float(r / n), float(s / n))
                for edge, (n, r, s) in zip(INDEX_EDGES, index, strict=True)
                if n > 0
            ],
            spread=(float(own[0].std(ddof=1)), float(own[1].std(ddof=1))),
            neighbours=_pair(raw.neighbours[known].mean(axis=0)) if known.any() else None,
            reliability=_bins(raw.predicted, raw.outcome),
            calibration_error=_calibration_error(_bins(raw.predicted, raw.outcome)),
            popularity_error=_calibration_error(_bins(raw.popularity, raw.outcome)),
            log_loss=(float(loss.mean()), float(base.mean())),
            log_loss_gain=(float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))),
        )


def calibrate(
    dataset: Dataset,
    config: RunConfig,
    convention: Convention,
    *,
    folds: int = 10,
    on_fold: Callable[[int], None] | None = None,
) -> HeldOut:
    """Returns raw results of all users of a data set, each held out once.

    Args:
        dataset: ratings.
        config: embedding, prior and threshold settings; the seed decides folds and draws.
        convention: "rated-only" asks about rated items, "unrated-zero" about all.
        folds: parts of the users, >= 2.
        on_fold: called with the number of folds done.
    """
    log = _Log.of(dataset, config.threshold, convention)
    order = generator(config.seed, "calibration folds").permutation(len(log.rewards))
    parts = []
    for fold in range(folds):
        held_out = order[fold::folds]
        others = np.setdiff1d(order, held_out, assume_unique=True)
        prior = fit_user_model(dataset, others, config, convention)
        parts.append(_fold(log, prior, held_out, others, generator(config.seed, "calibration", fold)))
        if on_fold is not None:
            on_fold(fold + 1)
    first = np.cumsum([0, *(len(part.users) for part in parts)])
    pooled = {name: np.concatenate([getattr(part, name) for part in parts]) for name in HeldOut.__dataclass_fields__}
    pooled["asked"] = np.concatenate([part.asked + start for part, start in zip(parts, first[:-1], strict=True)])
    return HeldOut(**pooled)


@dataclass(frozen=True, eq=False)
class _Log:
    """The real users: rewards, rated and what they are asked about, [U, n] each, and every user's items in order."""

    rewards: NDArray[np.uint8]
    rated: NDArray[np.bool_]
    observed: NDArray[np.bool_]
    sequences: list[NDArray[np.int32]] | None

    @classmethod
    def of(cls, dataset: Dataset, threshold: float, convention: Convention) -> _Log:
        rewards, rated = dataset.reward_table(threshold), dataset.rated_table()
        observed = rated if convention == "rated-only" else np.ones_like(rated)
        if convention == "unrated-zero" or dataset.timestamp is None:
            return cls(rewards, rated, observed, None)
        by_time = np.lexsort((dataset.timestamp, dataset.user_index))
        ends = np.cumsum(np.bincount(dataset.user_index, minlength=len(rewards)))
        return cls(rewards, rated, observed, np.split(dataset.item_index[by_time], ends[:-1]))


def _fold(
    log: _Log, prior: UserPrior, held_out: NDArray[np.int64], others: NDArray[np.int64], rng: np.random.Generator
) -> HeldOut:
    """Returns the raw results of one fold's users."""
    real, observed = log.rewards[held_out].astype(np.float64), log.observed[held_out]
    twins = prior.draw(len(held_out), seed=int(rng.integers(2**31)))
    p = twins.reward_probabilities(torch.arange(len(held_out))).numpy()
    simulated = (rng.random(p.shape) < p).astype(np.float64)
    group = _deciles(log.rated[others].sum(axis=0))
    cells = [observed & (group == decile) for decile in range(DECILES)]
    half = rng.random(observed.shape) < 0.5
    known = prior.posterior(torch.from_numpy(log.rewards[held_out]), torch.from_numpy(observed & half))
    asked, item = np.nonzero(observed & ~half)
    return HeldOut(
        users=held_out,
        shown=np.stack([cell.sum(axis=1) for cell in cells], axis=1).astype(np.float64),
        real=np.stack([(real * cell).sum(axis=1) for cell in cells], axis=1),
        simulated=np.stack([(simulated * cell).sum(axis=1) for cell in cells], axis=1),
        by_index=_by_index(log, held_out, simulated),
        neighbours=_neighbours(log, held_out, simulated),
        predicted=known.probabilities().numpy()[asked, item].astype(np.float64),
        popularity=prior.popularity.numpy()[item].astype(np.float64),
        outcome=real[asked, item],
        asked=asked,
    )


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _deciles(ratings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the group 0 .. 9 of each item, by ascending number of ratings; all groups hold as many ratings."""
    order = np.argsort(ratings, kind="stable")
    before = np.cumsum(ratings[order]) - ratings[order] / 2
    out = np.zeros(len(ratings), np.int64)
    out[order] = np.minimum((before * DECILES / ratings.sum()).astype(np.int64), DECILES - 1)
    return out


def _by_index(log: _Log, users: NDArray[np.int64], simulated: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros((len(users), len(INDEX_EDGES), 3))
    if log.sequences is None:
        return out
    for row, user in enumerate(users):
        items = log.sequences[user]
        groups = np.searchsorted(INDEX_EDGES, np.arange(len(items)), side="right") - 1
        for column, weights in enumerate((np.ones(len(items)), log.rewards[user, items], simulated[row, items])):
            out[row, :, column] = np.bincount(groups, weights, minlength=len(INDEX_EDGES))
    return out


def _neighbours(log: _Log, users: NDArray[np.int64], simulated: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.full((len(users), 2), np.nan)
    if log.sequences is None:
        return out
    for row, user in enumerate(users):
        items = log.sequences[user]
        for column, series in enumerate((log.rewards[user, items].astype(np.float64), simulated[row, items])):
            centred = series - series.mean()
            if len(series) > 2 and centred.any():
                out[row, column] = (centred[1:] * centred[:-1]).sum() / np.square(centred).sum()
    return out


def _log_loss(predicted: NDArray[np.float64], outcome: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(predicted, 1e-6, 1 - 1e-6)
    return np.asarray(-(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))


def _bins(predicted: NDArray[np.float64], outcome: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    parts = np.array_split(np.argsort(predicted, kind="stable"), BINS)
    return [(float(predicted[at].mean()), float(outcome[at].mean()), len(at)) for at in parts if len(at)]


def _calibration_error(bins: list[tuple[float, float, int]]) -> float:
    """Returns the expected calibration error: mean |predicted - observed| over bins, weighed by count.

    Reference: Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    total = sum(count for _, _, count in bins)
    return sum(abs(p - y) * count for p, y, count in bins) / total
