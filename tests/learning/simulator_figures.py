"""Writes the README's section on the simulator from committed results, so that no figure there is typed by hand.

metarl-rec calibrate --workdir W          # and copy W/calibration/* to tests/learning/ml-100k
python -m tests.learning.session_discount --seeds 5 --out tests/learning/session_discount.json
python -m tests.bench.simulator_speed --peers PYTHON --out tests/bench/simulator_speed.json
python -m tests.learning.simulator_figures
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- simulator:begin -->", "<!-- simulator:end -->"


def read(path: Path) -> Any:
    """Returns a JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))


def calibration() -> list[str]:
    """Returns the table of simulated beside held-out real users."""
    lines = [
        "Simulated beside real users, each held out once (10 folds; `metarl-rec calibrate`):",
        "",
        "| data, convention | reward rate, real / simulated | popularity deciles that agree | spread between users | "
        "calibration error | log-loss, model / item popularity |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("ml-100k", "ml-1m-cold"):
        for convention, row in read(HERE / name / "calibration.json")["conventions"].items():
            real, simulated = row["spread"]
            agree = sum(decile[3] for decile in row["deciles"])
            lines.append(
                f"| {name}, {convention} | {row['rate'][0]:.4f} / {row['rate'][1]:.4f} | {agree} of 10 | "
                f"{real:.4f} / {simulated:.4f} ({simulated / real - 1:+.0%}) | {row['calibration_error']:.4f} | "
                f"{row['log_loss'][0]:.4f} / {row['log_loss'][1]:.4f} |"
            )
    return [*lines, "", "![calibration on ml-100k](tests/learning/ml-100k/calibration.png)"]


def sessions() -> list[str]:
    """Returns what a discount is worth."""
    report = read(HERE / "session_discount.json")
    low, high = report["context"]["discounts"]
    lines = [
        f"The same trainer with discount {low:g} and {high:g}, five seeds, both from a fatigue of "
        f"{report['context'].get('fatigue', 0.03):g}: reward over 40 steps of users drawn from a prior fitted on "
        "held-out people (`python -m tests.learning.session_discount --out F`). In *sessions* users leave when one "
        "topic fills what they see, in *static* nobody leaves:",
        "",
        f"| trained and judged in | discount {low:g} | {high:g} minus {low:g}, ± standard error over seeds |",
        "|---|---|---|",
    ]
    for name, row in report["table"].items():
        error = row["standard_error_over_seeds"]
        lines.append(f"| {name} | {row['reward_without']:.2f} | {row['difference']:+.2f} ± {error:.2f} |")
    return [
        *lines,
        "",
        "Training starts where fatigue is good untrained, so this is what returns teach beyond having one at all; "
        "those who validate keep the start where they teach nothing.",
    ]


def speed() -> list[str]:
    """Returns user-steps per second beside the public simulators."""
    report = read(ROOT / "tests" / "bench" / "simulator_speed.json")
    lines = [
        "User-steps per CPU second on one core, random slates, in turns within one run "
        "(`python -m tests.bench.simulator_speed --peers PYTHON --out F`):",
        "",
        "| beside | items | its response | ours | ours per second | its per second | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['peer']} | {row['items']:,} | {row['their_response']} | {row['our_response']} | {row['ours']:,.0f} | "
        f"{row['theirs']:,.0f} | {row['ratio']:.0f} |"
        for row in report["rows"]
    ]
    sizes = list(report["scaling_ns"])
    machine = report["machine"]
    return [
        *lines,
        "",
        f"At {int(sizes[-1]):,} users a user-step costs {report['growth']:.2f} times what it costs at "
        f"{int(sizes[0]):,}. "
        f"{machine['cores']} cores ({machine['machine']}), Python {machine['python']}, torch {machine['torch']}.",
    ]


def main() -> None:
    """Rewrites the section."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    section = "\n".join([*calibration(), "", *sessions(), "", *speed()])
    README.write_text(f"{before}{BEGIN}\n{section}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
