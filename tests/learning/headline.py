"""Writes the README's figures from protocols' reports: run the protocols first, then this.

    metarl-rec import ml-100k && metarl-rec evaluate --protocol cold-start
    python -m tests.learning.headline metarl-data/evaluation --data ml-100k

Copies every protocol's report.json (raw results, seeds, settings, machine) and curves.png beside this file, and
replaces the text between README.md's markers: the cold-start table, and what each protocol had to show. No figure there
is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from metarl_rec.protocol import ADAPTED, HORIZONS
from metarl_rec.protocols.cold_start import episodes_of, hits
from metarl_rec.protocols.registry import PROTOCOLS
from metarl_rec.statistics import compare, summarize

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"


def headline(report: dict[str, Any], base: str) -> str:
    """Returns the cold-start table as Markdown."""
    played = report["raw"]["splits"]
    episodes, data, machine = episodes_of(played), played[0]["dataset"], report["machine"]
    lines = [
        f"Hits of {len(set(episodes.user_ids))} held-out users of {data['name']} ({len(episodes.user_ids)} episodes, "
        f"{len(played)} splits, users with at least 50 positives): every step shows one of {played[0]['items']:,} "
        "items, never one twice; a hit is a rating of 4 or 5. Mean over episodes ± standard error over users; every "
        "policy plays the same users with the same random numbers.",
        "",
        "| policy | " + " | ".join(f"@{h}" for h in HORIZONS) + " | adapted minus it, @40 | harmed |",
        "|---" * (len(HORIZONS) + 3) + "|",
    ]
    means = {h: hits(episodes, h) for h in HORIZONS}
    for row in summarize(episodes):
        cells = " | ".join(f"{means[h][row.policy]:.2f} ± {row.standard_errors[h]:.2f}" for h in HORIZONS)
        if row.policy == ADAPTED:
            lines.append(f"| **{row.policy}** | {cells} | | |")
            continue
        against = compare(episodes, ADAPTED, row.policy)
        gap = f"{against.difference[40]:+.2f} ± {against.standard_errors[40]:.2f}"
        lines.append(f"| {row.policy} | {cells} | {gap} | {100 * against.harmed[40]:.1f} % |")
    lines += [
        "",
        "*harmed*: share of episodes in which the adapted policy has strictly fewer hits than that one. *HB linear* is "
        "the hierarchical-Bayes linear bandit with the same prior, item and user attributes, its noise tuned on "
        "validation users; *adapted meta-policy* samples at the temperature it is served with. Raw results, seeds and "
        f"settings: [{base}.json]({base}.json); {described(machine)}.",
        "",
        f"![cold-start curve]({base}.png)",
    ]
    return "\n".join(lines)


def shown(reports: dict[str, dict[str, Any]]) -> str:
    """Returns what each protocol had to show, as Markdown."""
    lines = ["| protocol | what | bar | found | reached |", "|---|---|---|---|---|"]
    for name, report in reports.items():
        for bar in report["bars"]:
            cells = (bar["name"], bar["asked"], bar["found"], "yes" if bar["reached"] else "**no**")
            lines.append(f"| `{name}` | " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    sources = ", ".join(f"`{name}`: {described(report['machine'])}" for name, report in reports.items())
    return "\n".join([*lines, "", f"Where the figures come from: {sources}."])


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
    parser.add_argument("--data", default="ml-100k", help="folder beside this file that the reports are copied to")
    asked = parser.parse_args()
    target = HERE / asked.data
    target.mkdir(exist_ok=True)
    for name in PROTOCOLS:
        if (asked.evaluation / name / "report.json").exists():
            for file, kind in (("report.json", "json"), ("curves.png", "png")):
                if (asked.evaluation / name / file).exists():
                    shutil.copyfile(asked.evaluation / name / file, target / f"{name}.{kind}")
    if asked.data != "ml-100k":
        return
    found = {name: target / f"{name}.json" for name in PROTOCOLS}
    reports = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path.exists()}
    text = README.read_text(encoding="utf-8")
    base = (target / "cold-start").relative_to(README.parent).as_posix()
    text = replaced(text, "headline", headline(reports["cold-start"], base))
    README.write_text(replaced(text, "protocols", shown(reports)), encoding="utf-8")


if __name__ == "__main__":
    main()
