"""Writes the README's headline from a committed evaluation: run the protocol first, then this.

    metarl-rec import ml-100k && metarl-rec evaluate --splits 10
    python -m tests.learning.headline metarl-data/evaluation

Copies evaluation.json (raw rewards of every episode, seeds, settings, machine) and curve.png beside this file and
replaces the text between README.md's headline markers. No figure in the README is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from metarl_rec.protocol import ADAPTED, HORIZONS
from metarl_rec.report import read_json
from metarl_rec.statistics import Episodes, compare, summarize

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- headline:begin -->", "<!-- headline:end -->"


def headline(episodes: Episodes, machine: dict[str, object], curve: str, raw: str) -> str:
    """Returns the README's section as Markdown."""
    splits = len(set(episodes.splits))
    lines = [
        f"Hits of {len(set(episodes.user_ids))} held-out users of MovieLens-100K ({len(episodes.user_ids)} episodes, "
        f"{splits} splits, users with at least 50 positives): every step shows one of 1,626 items, never one twice; a "
        "hit is a rating of 4 or 5. Mean ± standard error over users; every policy plays the same users.",
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
        lines.append(f"| {row.policy} | {cells} | {gap} | {100 * against.harmed[40]:.0f} % |")
    lines += [
        "",
        "*harmed*: share of episodes in which the adapted policy has strictly fewer hits than that one. *HB linear* is "
        "the hierarchical-Bayes linear bandit with the same prior and user attributes, its noise tuned on validation "
        "users; the adapted meta-policy samples at the temperature it is served with. Raw results, seeds and settings: "
        f"[{raw}]({raw}); {machine['cores']} cores ({machine['machine']}), Python {machine['python']}, torch "
        f"{machine['torch']}, commit {str(machine['commit'])[:12]}.",
        "",
        f"![cold-start curve]({curve})",
    ]
    return "\n".join(lines)


def main() -> None:
    """Copies the evaluation and rewrites the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path, help="the work directory's evaluation/")
    source = parser.parse_args().evaluation
    target = HERE / "ml-100k"
    target.mkdir(exist_ok=True)
    for name in ("evaluation.json", "curve.png"):
        shutil.copyfile(source / name, target / name)
    machine = json.loads((target / "evaluation.json").read_text(encoding="utf-8"))["context"]["machine"]
    base = target.relative_to(README.parent)
    section = headline(read_json(target / "evaluation.json"), machine, f"{base}/curve.png", f"{base}/evaluation.json")
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{section}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
