"""What the play of real users in time order says: hit rates, paired differences, bars, and curves by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.choosing import DEFAULTS_SEEN
from metarl_rec.errors import DataError
from metarl_rec.protocols.limits import REAL_DRIFT_LIMITS
from metarl_rec.protocols.moving import moving_bars
from metarl_rec.protocols.result import Bar, Curve, Panel, ProtocolResult, Table, mean_and_error, measured
from metarl_rec.statistics import by_user

__all__ = [
    "FORGETTING",
    "LATEST",
    "OURS",
    "POPULARITY",
    "STATIONARY",
    "UNADAPTED",
    "least_similar_third",
    "report",
]

POPULARITY = "popularity"
UNADAPTED = "meta-policy"
STATIONARY = "HB linear, greedy"
FORGETTING = "HB linear, forgetting"
LATEST = "adapted, as served"
OURS = "adapted, forgetting"

ALL, THIRD = "all", "least similar third"


def report(settings: dict[str, Any], data: str, played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of the splits that were played.

    Args:
        settings: the protocol's settings, as JSON.
        data: the data set's name.
        played: every split's users, hits and tuned settings.

    Raises:
        DataError: fewer than two people were judged.
    """
    episodes = [user for part in played for user in part["users"]]
    people = np.array([user["user"] for user in episodes])
    if len(set(people.tolist())) < 2:
        raise DataError(
            f"too few test users have more than {settings['above']} ratings; lower `above` or import more data"
        )
    rates: dict[str, NDArray[np.float64]] = {
        name: 100.0 * np.array([sum(user["hits"][name]) / user["judged"] for user in episodes], np.float64)
        for name in episodes[0]["hits"]
    }
    third = least_similar_third({user["user"]: user["cosine"] for user in episodes})
    groups = {ALL: np.ones(len(people), np.bool_), THIRD: np.isin(people, list(third))}
    tables, verdict, panels = [], [], []
    bars: list[Bar] = []
    for group, here in groups.items():
        ids, count = people[here], len(set(people[here].tolist()))
        if count < 2:
            verdict.append(f"{group}: one person, and an error needs two; lower `above` or import more data.")
            continue
        mine = {name: rate[here] for name, rate in rates.items()}
        tables.append(_table(f"{group}: {count} people, {len(ids)} episodes", ids, mine, _note(played)))
        gaps = {other: by_user(ids, mine[OURS] - mine[other]) for other in (STATIONARY, FORGETTING, UNADAPTED)}
        panels += _panels(group, ids, [user for user, inside in zip(episodes, here, strict=True) if inside])
        level = float(by_user(ids, mine[FORGETTING]).mean())
        bars += moving_bars(group, gaps[STATIONARY], gaps[FORGETTING], level, REAL_DRIFT_LIMITS)
        verdict.append(
            f"{group}: {OURS} minus HB without forgetting {measured(gaps[STATIONARY], sign=True)} points of hit rate, "
            f"minus HB with tuned forgetting {measured(gaps[FORGETTING], sign=True)}, minus no adaptation "
            f"{measured(gaps[UNADAPTED], sign=True)}."
        )
    return ProtocolResult(
        protocol="real-drift",
        title=f"Drift of real users' tastes, {data}",
        tested=_tested(settings, data, len(played), len(episodes), len(set(people.tolist()))),
        verdict=verdict,
        bars=bars,
        tables=tables,
        panels=panels,
        raw={"parts": played},
        context={"settings": settings},
    )


def least_similar_third(cosines: Mapping[str, float]) -> set[str]:
    """Returns the third of the users, rounded up, with the lowest cosines; ties go by id."""
    order = sorted(cosines, key=lambda user: (cosines[user], user))
    return set(order[: -(-len(order) // 3)])


def _tested(settings: dict[str, Any], data: str, splits: int, episodes: int, people: int) -> list[str]:
    history, window, above = settings["history"], settings["window"], settings["above"]
    return [
        f"{data}, {splits} splits of the users into 85 % to train, 5 % to choose, 10 % to test. Judged are test users "
        f"with more than {above} ratings: {episodes} episodes of {people} people, none of whom had any part in "
        "fitting or tuning within their split.",
        f"A person's ratings stand in time order. Every policy is told the first {history} one by one: the item, and a "
        f"reward of 1 for a rating of at least {settings['run']['threshold']:g}, else 0. From then on, before each "
        "further rating, it shows one item of the whole catalogue that the person has not rated yet and that it has "
        f"not shown before: a hit if the item is among the person's next {window} ratings with a reward of 1. Then the "
        "next real rating is told to everybody. What was shown is not answered, so all have the same information, and "
        "only their memory differs. Everybody shows the best item by their values; nothing is drawn.",
        "The prior (popularity, features, start from user attributes) is the same for all, fitted on the split's train "
        "users; the inner loop's settings are those before meta-training (the empirical-Bayes start). There are no "
        "propensities, so it has its value term alone: without forgetting that is hierarchical Bayes' posterior mean; "
        "with forgetting, old ratings weigh exponentially less against the same prior, where HB's Kalman filter lets "
        f"tastes diffuse. `{LATEST}`: settings of the service, the {settings['buffer']} latest ratings, as many as it "
        f"keeps. `{OURS}` and both HB: weight of a rating and forgetting are tuned together, from the same two lists, "
        "by the hit rate of the same people: validation users and cross-fitted train users (in a space that has not "
        "seen them) with as many ratings.",
        DEFAULTS_SEEN,
        "Figures are percentages: a person's hits over their judged ratings, a person's splits averaged first, then "
        "over people, with standard errors over people; differences are paired. Least similar third: people with the "
        "lowest cosine between the mean genres (each item's genres share 1) of the first and second half of their "
        "ratings. Have less: share of episodes with a lower hit rate.",
    ]


def _note(played: list[dict[str, Any]]) -> str:
    chosen = []
    for name in played[0]["tuned"]:
        pairs = [tuple(part["tuned"][name]) for part in played]
        common = max(sorted(set(pairs)), key=pairs.count)
        chosen.append(f"{name} {common} in {pairs.count(common)} of {len(pairs)}")
    return f"Tuned (noise, forgetting), most frequent choice: {'; '.join(chosen)}."


def _table(title: str, ids: NDArray[Any], rates: dict[str, NDArray[np.float64]], note: str) -> Table:
    rows = []
    for name, rate in rates.items():
        gap = rates[OURS] - rate
        cells = ("", "")
        if name != OURS:
            cells = (measured(by_user(ids, gap), sign=True), f"{100 * (gap < 0).mean():.1f} %")
        rows.append((name, measured(by_user(ids, rate)), *cells))
    return Table(title, ("policy", "hit rate, %", f"{OURS} minus it", "have less"), rows, note, strong=(OURS,))


def _panels(group: str, ids: NDArray[Any], chosen: list[dict[str, Any]]) -> list[Panel]:
    """Returns hit rates by position; no panel where fewer than two people have ten judged ratings."""
    bins = np.array([user["judged"] // 10 for user in chosen])
    # Further right the curves would be those of a few people, and of one there is no error.
    last = max(int(np.quantile(bins, 0.75)), 1)
    places = [place for place in range(last) if len(set(ids[bins > place].tolist())) > 1]
    if not places:
        return []
    curves = []
    for name in chosen[0]["hits"]:
        if name == POPULARITY:
            continue
        means, errors = [], []
        for place in places:
            whole = np.flatnonzero(bins > place)
            gap = [10.0 * (chosen[e]["hits"][name][place] - chosen[e]["hits"][POPULARITY][place]) for e in whole]
            mean, error = mean_and_error(by_user(ids[whole], np.array(gap)))
            means.append(mean)
            errors.append(error)
        curves.append(Curve(name, [10 * place + 5 for place in places], means, errors))
    return [Panel(group, "ratings told since the first item shown", "hit rate above popularity, points", curves)]
