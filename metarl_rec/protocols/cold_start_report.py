"""What the cold start of real people says: hits, paired differences, whom adapting harms, bars and curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metarl_rec.choosing import CHOSEN_WITHIN, DEFAULTS_SEEN, chosen_text
from metarl_rec.config import RunConfig
from metarl_rec.protocol import ADAPTED, HORIZONS
from metarl_rec.protocols.limits import AGAINST_HB, HARM, HITS, STRETCH, remarked
from metarl_rec.protocols.result import Bar, Curve, Panel, ProtocolResult, Table
from metarl_rec.statistics import Comparison, Episodes, PolicyRow, compare, curve, over_episodes, over_users, summarize

__all__ = ["episodes_of", "harm_tables", "report"]

GREEDY, UNADAPTED, UNADAPTED_GREEDY = "adapted, greedy", "meta-policy", "meta-policy, greedy"
TUNED, PLAIN, CAUTIOUS = "HB linear, greedy", "HB linear, SVD 10", "adapted, cautious"
LEARNERS = (
    UNADAPTED,
    "popularity",
    "LinUCB",
    "HB linear, Thompson",
    "MeLU",
    "PPO from scratch",
    "PPO, joint pre-training",
)
PRINTED = {"ml-100k": 25.0, "ml-1m-cold": 21.7}
"""What the greedy adapted policy has to reach at 40 on users with at least 50 positives."""
NICF = (
    ("random", "0.22", "0.44", "0.90", "1.81"),
    ("popularity", "2.49", "4.64", "8.63", "15.61"),
    ("Thompson sampling on factors", "3.10", "5.87", "11.03", "18.35"),
    ("GLM-UCB on factors", "3.29", "6.21", "11.58", "19.09"),
    ("MeLU", "3.36", "6.32", "11.95", "19.73"),
    ("NICF", "3.56", "6.78", "12.94", "21.59"),
)
"""Printed by Zou et al., SIGIR 2020, for MovieLens-1M: hits at 5, 10, 20 and 40."""


def episodes_of(played: list[dict[str, Any]]) -> Episodes:
    """Returns all splits' episodes."""
    return Episodes(
        [user for part in played for user in part["users"]],
        [part["split"] for part in played for _ in part["users"]],
        {
            name: np.array(
                [[int(digit) for digit in row] for part in played for row in part["rewards"][name]], np.float32
            )
            for name in played[0]["rewards"]
        },
    )


def report(run: RunConfig, settings: dict[str, Any], played: list[dict[str, Any]]) -> ProtocolResult:
    """Returns the report of splits that were played.

    Args:
        run: the settings that every split started from.
        settings: all of the protocol's, as JSON.
        played: every split's users, rewards and choices.
    """
    episodes, first = episodes_of(played), played[0]
    name, people = first["dataset"]["name"], len(set(episodes.user_ids))
    judged = [policy for policy in (ADAPTED, GREEDY) if policy in episodes.rewards]
    versus = {policy: _versus(episodes, policy) for policy in judged}
    rows = summarize(episodes)
    means = {row.policy: row.hits[40] for row in rows}
    chose = any(settings["choose"].values())
    tested = [
        f"{name}: {first['dataset']['users']:,} users, {first['items']:,} items, {len(played)} splits of the users "
        f"into 85 % to train, 5 % to choose, 10 % to test: {len(episodes.user_ids):,} episodes of {people:,} "
        "people, none of whom had any part in training or choosing within their split.",
        CHOSEN_WITHIN if chose else DEFAULTS_SEEN,
        "Each plays 40 steps. Every step shows one item of the whole catalogue, never one twice; a hit is an item that "
        f"the person rated at least {run.threshold:g}, and what they did not rate is no hit. Every policy "
        "plays the same people with the same random numbers.",
        "Baselines are tuned by those who are not tested: the hierarchical-Bayes family by everybody who judges which "
        "parameters of ours ship (validation users, and train users in spaces that have not seen them), LinUCB, "
        "logistic UCB, BPR fold-in, MeLU and PPO by validation users. HB linear, SVD 10 is the published plain form: "
        "nothing of it is tuned. PPO, joint pre-training: one policy for everybody, which is every item's mean reward, "
        "adapted in the raw embedding, without the prior; what joint training of our own parameters is worth is in the "
        "protocol ablation.",
        "Hits and shares are means over episodes, as published tables average, with standard errors clustered by "
        "person. A difference is averaged over a person's episodes first, then over people, so it is not exactly that "
        "of the two levels. Harmed: share of episodes with strictly fewer hits than the policy compared with.",
    ]
    return ProtocolResult(
        protocol="cold-start",
        title=f"Cold start on {name}",
        tested=tested,
        verdict=[*_verdict(means, versus), _shipped(played), *([chosen_text(played)] if chose else [])],
        bars=remarked(_bars(episodes, means, versus, name, run)),
        tables=[
            _hits(rows),
            *([_printed()] if name == "ml-1m-cold" and _is_printed(run) else []),
            _effects(played, episodes.user_ids),
            *harm_tables(episodes),
            *(_differences(policy, compared) for policy, compared in versus.items()),
        ],
        panels=_panels(episodes),
        raw={"splits": played},
        context={"settings": settings, "dataset": first["dataset"]},
    )


def _versus(episodes: Episodes, policy: str) -> dict[str, Comparison]:
    return {other: compare(episodes, policy, other) for other in episodes.rewards if other != policy}


def _at(comparison: Comparison, horizon: int = 40) -> str:
    return f"{comparison.difference[horizon]:+.2f} ± {comparison.standard_errors[horizon]:.2f}"


def _share(comparison: Comparison) -> str:
    return f"{100 * comparison.harmed[40]:.1f} ± {100 * comparison.harmed_errors[40]:.1f} %"


def _verdict(means: dict[str, float], versus: dict[str, dict[str, Comparison]]) -> list[str]:
    out = []
    best = max((name for name in means if name != "oracle"), key=lambda name: means[name])
    out.append(f"Most hits at 40: {best}, {means[best]:.2f}.")
    for policy, rows in versus.items():
        beaten = [o for o, c in rows.items() if o != "oracle" and c.difference[40] > 2 * c.standard_errors[40]]
        lost = [o for o, c in rows.items() if o != "oracle" and c.difference[40] < -2 * c.standard_errors[40]]
        level = [o for o in rows if o not in beaten and o not in lost and o != "oracle"]
        out.append(
            f"{policy} ({means[policy]:.2f}) beats by more than two standard errors: "
            f"{_named(beaten)}. Level with: {_named(level)}. Loses to: {_named(lost)}."
        )
        against = UNADAPTED if policy == ADAPTED else UNADAPTED_GREEDY
        if against in rows:
            out.append(
                f"Adapting is worth {_at(rows[against])} hits at 40 to {policy}; {_share(rows[against])} of episodes "
                "have fewer hits than without it."
            )
    return out


def _named(policies: list[str]) -> str:
    # Names have commas of their own.
    return "; ".join(policies) or "none"


def _shipped(played: list[dict[str, Any]]) -> str:
    start = sum(part["best_iteration"] == 0 for part in played)
    return (
        f"Of {len(played)} splits {start} shipped the empirical-Bayes start, {len(played) - start} meta-trained "
        "parameters: these ship only where those who judge gain by them, harm counted, by more than a standard error."
    )


def _bars(
    episodes: Episodes,
    means: dict[str, float],
    versus: dict[str, dict[str, Comparison]],
    name: str,
    run: RunConfig,
) -> list[Bar]:
    bars: list[Bar] = []
    greedy, sampled = versus.get(GREEDY, {}), versus.get(ADAPTED, {})
    if name in PRINTED and _is_printed(run) and GREEDY in means:
        bars.append(Bar(HITS, f">= {PRINTED[name]}", f"{means[GREEDY]:.3f}", means[GREEDY] >= PRINTED[name]))
    if PLAIN in greedy:
        bars.append(_above("adapted, greedy above plain HB", greedy[PLAIN]))
    if TUNED in greedy:
        gap = greedy[TUNED]
        asked = "not below by more than .1"
        bars.append(Bar(f"adapted, {AGAINST_HB}", asked, _at(gap), gap.difference[40] >= -0.1))
        bars.append(_above(STRETCH, gap))
    if GREEDY in sampled:
        gap = sampled[GREEDY]
        asked = "not below by more than .2"
        bars.append(Bar("sampled against greedy", asked, _at(gap), gap.difference[40] >= -0.2))
    if TUNED in sampled:
        gap, asked = sampled[TUNED], "not below by more than .2"
        bars.append(Bar("sampled against tuned HB", asked, _at(gap), gap.difference[40] >= -0.2))
    for other in LEARNERS:
        if other in sampled:
            bars.extend(_above(f"adapted above {other} at {h}", sampled[other], h) for h in (20, 40))
    for how, rows, against in (("sampled", sampled, UNADAPTED), ("greedy", greedy, UNADAPTED_GREEDY)):
        if against in rows:
            for share, stretch in ((0.15, ""), (0.12, "stretch: ")):
                reached = rows[against].harmed[40] <= share
                asked = f"<= {100 * share:.0f} %"
                bars.append(Bar(f"{stretch}{HARM}, {how}", asked, _share(rows[against]), reached))
    if CAUTIOUS in episodes.rewards and UNADAPTED in episodes.rewards and ADAPTED in episodes.rewards:
        harm, gain = compare(episodes, CAUTIOUS, UNADAPTED), compare(episodes, CAUTIOUS, ADAPTED)
        reached = harm.harmed[40] <= 0.15 and gain.difference[40] >= -0.1
        found = f"{_share(harm)}, {_at(gain)}"
        bars.append(Bar(f"{HARM} with caution; hits minus those without", "<= 15 %, >= -.1 hits", found, reached))
    return bars


def _above(name: str, comparison: Comparison, horizon: int = 40) -> Bar:
    error = comparison.standard_errors[horizon]
    reached = comparison.difference[horizon] > 2 * error
    return Bar(name, "by more than 2 paired standard errors", _at(comparison, horizon), reached)


def _hits(summary: list[PolicyRow]) -> Table:
    rows = [(row.policy, *(f"{row.hits[h]:.2f} ± {row.standard_errors[h]:.2f}" for h in HORIZONS)) for row in summary]
    title = "Hits by interaction count: mean over episodes ± standard error"
    return Table(title, ("policy", *(f"@{h}" for h in HORIZONS)), rows, strong=(ADAPTED, GREEDY))


def _is_printed(run: RunConfig) -> bool:
    """Returns whether the people are those of the published tables."""
    return run.min_positives == 50 and run.min_ratings == 0 and run.threshold == 4


def _printed() -> Table:
    note = "Other people of the same source, and not the same number of them in every row: levels compare with care."
    columns = ("policy", "@5", "@10", "@20", "@40")
    return Table("Hits that NICF's authors print for MovieLens-1M (SIGIR 2020)", columns, NICF, note)


def _effects(played: list[dict[str, Any]], people: Sequence[str]) -> Table:
    """Returns how often the clip acts and how far the policy goes, where there is an adaptation."""
    rows = []
    for name in played[0]["effects"]:
        ratios, clipped, kl = (
            np.array([value for part in played for value in part["effects"][name][what]])
            for what in ("ratios", "clipped", "kl_nats")
        )
        share = f"{100 * clipped.sum() / ratios.sum():.0f} %" if ratios.sum() else "-"
        (mean,), (error,) = over_episodes(people, kl[:, None])
        rows.append((name, f"{ratios.mean():.1f}", share, f"{mean:.1f} ± {error:.1f}"))
    columns = ("policy", "ratios in all epochs", "of which clipped", "KL to the initialization, nats")
    note = (
        "Means over episodes of the adaptation after the last step. Clipped: by PPO's clip, the second clip or the "
        "bound of the log-ratio. What the policy-gradient term adds is in the rows 'adapted, value term only'."
    )
    return Table("What the adaptation did", columns, rows, note, strong=(ADAPTED,))


def _differences(policy: str, versus: dict[str, Comparison]) -> Table:
    rows = [
        (
            other,
            _at(c, 5),
            _at(c, 10),
            _at(c, 20),
            _at(c, 40),
            f"{100 * c.harmed[20]:.1f} %",
            _share(c),
        )
        for other, c in versus.items()
    ]
    columns = ("policy", "@5", "@10", "@20", "@40", "harmed @20", "harmed @40")
    return Table(f"{policy} minus the other, paired", columns, rows, "Harmed: fewer hits than the other policy.")


def harm_tables(episodes: Episodes) -> list[Table]:
    """Returns whom each policy harms, and how many more than tuned HB does, paired; nothing where neither played."""
    if not {UNADAPTED_GREEDY, TUNED} <= episodes.rewards.keys():
        return []
    ids, hits = episodes.user_ids, {name: table.sum(axis=1) for name, table in episodes.rewards.items()}
    harmed = {name: own < hits[UNADAPTED_GREEDY] for name, own in hits.items()}
    rows = []
    for name, own in harmed.items():
        if name not in (UNADAPTED_GREEDY, "oracle"):
            share, share_error = over_episodes(ids, own[:, None])
            more, error = over_users(ids, (own.astype(np.float64) - harmed[TUNED])[:, None])
            paired = "" if name == TUNED else f"{100 * more[0]:+.1f} ± {100 * error[0]:.1f}"
            rows.append((name, f"{100 * share[0]:.1f} ± {100 * share_error[0]:.1f} %", paired))
    columns = ("policy", f"fewer hits at 40 than {UNADAPTED_GREEDY}", f"points minus {TUNED}'s")
    return [Table("Whom each policy harms", columns, rows, strong=(ADAPTED, GREEDY))]


def _panels(episodes: Episodes) -> list[Panel]:
    def drawn(names: list[str], against: str | None) -> list[Curve]:
        out = []
        for name in names:
            mean, error = curve(episodes, name, against=against)
            out.append(Curve(name, list(range(1, len(mean) + 1)), mean.tolist(), error.tolist()))
        return out

    names = [name for name in episodes.rewards if name != "oracle"]
    strong = [name for name in names if name not in ("random", "PPO from scratch", "LinUCB", "MeLU")]
    panels = [Panel("hits", "interactions", "hits, mean over episodes", drawn(names, None))]
    if "popularity" in names:
        panels.append(Panel("what adapting adds", "interactions", "hits above popularity", drawn(strong, "popularity")))
    return panels
