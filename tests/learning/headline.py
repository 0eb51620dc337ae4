"""Writes the README's figures from protocols' reports: run the protocols first, then this.

    metarl-rec import ml-100k && metarl-rec evaluate --protocol cold-start
    python -m tests.learning.headline metarl-data/evaluation --data ml-100k

Copies every protocol's report.json (raw results, seeds, settings, machine) and curves.png beside this file, and writes
what all of them say: the README's cold-start table, its list of protocols with what each reached, and every bar in
bars.md. No figure there is typed by hand. Another data set, or other users of one, has another folder:

    metarl-rec evaluate --protocol cold-start --workdir W --set run.min_positives=0 --set run.min_ratings=20
    python -m tests.learning.headline W/evaluation --data ml-100k-all-users

The recipe whose figures are known from elsewhere (no item attributes, nothing chosen, nothing meta-trained) is another,
`ml-100k-recipe`; tests/learning/README.md has its command.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from metarl_rec.protocol import ADAPTED, HORIZONS
from metarl_rec.protocols.cold_start_report import episodes_of, harm_tables
from metarl_rec.protocols.registry import PROTOCOLS
from metarl_rec.statistics import Episodes, compare, summarize

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
BARS = HERE / "bars.md"
FOLDERS = {
    "ml-100k": "ML-100K, at least 50 positives",
    "ml-1m-cold": "ml-1m-cold, at least 50 positives",
    "ml-100k-all-users": "ML-100K, at least 20 ratings",
    "ml-1m-cold-all-users": "ml-1m-cold, at least 20 ratings",
    "ml-100k-recipe": "ML-100K, at least 50 positives, the published recipe",
    "ml-1m-cold-recipe": "ml-1m-cold, at least 50 positives, the published recipe",
}
"""Folders of reports, with whom they are about."""
OWN_TASKS = {
    "bandit": "100,000 tasks a cell",
    "mdp": "100,000 tasks",
    "sine": "1,000 tasks, five trainings",
    "metarec": "ML-100K, 13 to 100 ratings",
    "real-drift": "ML-100K, more than 80 ratings",
}
"""Protocols that are about others than their folder's people."""


def headline(report: dict[str, Any], base: str) -> str:
    """Returns the cold-start table as Markdown."""
    played = report["raw"]["splits"]
    episodes, data, machine = episodes_of(played), played[0]["dataset"], report["machine"]
    lines = [
        f"Hits of {len(set(episodes.user_ids))} held-out users of {data['name']} ({len(episodes.user_ids)} episodes, "
        f"{len(played)} splits, users with at least 50 positives): every step shows one of {played[0]['items']:,} "
        "items, never one twice; a hit is a rating of 4 or 5. Mean over episodes ± standard error clustered by user; "
        "every policy plays the same users with the same random numbers.",
        "",
        "| policy | " + " | ".join(f"@{h}" for h in HORIZONS) + " | adapted minus it, @40 | harmed |",
        "|---" * (len(HORIZONS) + 3) + "|",
    ]
    for row in summarize(episodes):
        cells = " | ".join(f"{row.hits[h]:.2f} ± {row.standard_errors[h]:.2f}" for h in HORIZONS)
        if row.policy == ADAPTED:
            lines.append(f"| **{row.policy}** | {cells} | | |")
            continue
        against = compare(episodes, ADAPTED, row.policy)
        gap = f"{against.difference[40]:+.2f} ± {against.standard_errors[40]:.2f}"
        harmed = f"{100 * against.harmed[40]:.1f} ± {100 * against.harmed_errors[40]:.1f} %"
        lines.append(f"| {row.policy} | {cells} | {gap} | {harmed} |")
    lines += [
        "",
        "*harmed*: share of episodes in which the adapted policy has strictly fewer hits than that one. Differences "
        "are averaged over a user's episodes first, so they are not exactly those of the levels. *HB linear* is the "
        "hierarchical-Bayes linear bandit with the same prior, item and user attributes, its noise tuned by those who "
        "choose ours; *joint pre-training* is one policy for all, adapted without the prior (joint training from the "
        "prior plays in `ablation`); *adapted meta-policy* "
        f"samples at the temperature it is served with. {_shipped(report['verdict'])} {_harms(episodes)} Raw results, "
        f"seeds and settings: [{base}.json]({base}.json); {described(machine)}.",
        "",
        f"![cold-start curve]({base}.png)",
    ]
    return "\n".join(lines)


def _shipped(verdict: list[str]) -> str:
    """Returns what the splits shipped, and what they chose before."""
    return " ".join(line for line in verdict if line.startswith(("Of ", "Chosen within ")))


def _harms(episodes: Episodes) -> str:
    """Returns whom tuned HB and ours harm, all held against the greedy meta-policy without adaptation."""
    (table,) = harm_tables(episodes)
    names = ("HB linear, greedy", ADAPTED, "adapted, greedy", "adapted, cautious")
    shares = [f"{name} {share}" for name, share, _ in table.rows if name in names]
    return f"Episodes with fewer hits than the greedy meta-policy has without adapting: {', '.join(shares)}."


def summary(found: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Returns how much of what each protocol had to show it shows, as Markdown."""
    lines = ["| protocol | on | bars reached | not reached |", "|---|---|---|---|"]
    for (name, folder), report in found.items():
        bars = report["bars"]
        if not bars:
            continue
        missed = [f"{bar['name']}: {bar['found']} ({bar['asked']})" for bar in bars if not bar["reached"]]
        reached = f"{len(bars) - len(missed)} of {len(bars)}"
        cells = (about(name, folder, report), reached, "; ".join(missed).replace("|", "/"))
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Every bar with its figure: [tests/learning/bars.md](tests/learning/bars.md)."])


def all_bars(found: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Returns every bar, as a Markdown document."""
    lines = ["# What each protocol had to show", "", "Written by `python -m tests.learning.headline`.", ""]
    lines += ["| protocol | on | what | bar | found | reached |", "|---|---|---|---|---|---|"]
    for (name, folder), report in found.items():
        for bar in report["bars"]:
            cells = (
                about(name, folder, report),
                bar["name"],
                bar["asked"],
                bar["found"],
                "yes" if bar["reached"] else "**no**",
            )
            lines.append(f"| `{name}` | " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    lines += ["", "Where the figures come from:", ""]
    for (name, folder), report in found.items():
        lines.append(f"- `{name}`, [{folder}]({folder}/{name}.json): {described(report['machine'])}")
    return "\n".join([*lines, ""])


def about(protocol: str, folder: str, report: dict[str, Any]) -> str:
    """Returns whom a report is about, in words."""
    people = OWN_TASKS.get(protocol, FOLDERS[folder])
    splits = report["context"].get("settings", {}).get("splits")
    return people if splits is None else f"{people}, {splits} split{'s' if splits > 1 else ''}"


def described(machine: dict[str, Any]) -> str:
    """Returns where a figure came from, in words."""
    return (
        f"{machine['cores']} cores ({machine['machine']}), Python {machine['python']}, torch {machine['torch']}, "
        f"commit {str(machine['commit'])[:12]}"
    )


def replaced(text: str, marker: str, section: str) -> str:
    """Returns the README with another text between two markers."""
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{section}\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Copies the reports and rewrites the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path, help="the work directory's evaluation/")
    parser.add_argument("--data", default="ml-100k", choices=FOLDERS, help="folder that the reports are copied to")
    asked = parser.parse_args()
    target = HERE / asked.data
    target.mkdir(exist_ok=True)
    for name in PROTOCOLS:
        if (asked.evaluation / name / "report.json").exists():
            for file, kind in (("report.json", "json"), ("curves.png", "png")):
                if (asked.evaluation / name / file).exists():
                    shutil.copyfile(asked.evaluation / name / file, target / f"{name}.{kind}")
    paths = {(name, folder): HERE / folder / f"{name}.json" for name in PROTOCOLS for folder in FOLDERS}
    found = {key: json.loads(path.read_text(encoding="utf-8")) for key, path in paths.items() if path.exists()}
    text = README.read_text(encoding="utf-8")
    base = (HERE / "ml-100k" / "cold-start").relative_to(README.parent).as_posix()
    text = replaced(text, "headline", headline(found["cold-start", "ml-100k"], base))
    README.write_text(replaced(text, "protocols", summary(found)), encoding="utf-8")
    BARS.write_text(all_bars(found), encoding="utf-8")


if __name__ == "__main__":
    main()
