"""How long the whole meta-training of ML-100K takes, as a user waits for it: `metarl-rec train` in a new process.

    python -m tests.bench.meta_training --out tests/bench/meta_training.json

A fresh work directory gets the data set and the embedding; then `train` runs, imports, fold embeddings, prior, outer
loop and validations included. The first run of a new checkout also compiles; it is reported beside the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from metarl_rec.provenance import machine


def run(workdir: Path, *verb: str) -> float:
    """Returns the seconds that one command took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "service.cli", *verb, "--workdir", str(workdir)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Times the command and writes every sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    seconds = []
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory() as directory:
            workdir = Path(directory)
            run(workdir, "import", "ml-100k")
            embed = run(workdir, "embed")
            seconds.append({"embed": round(embed, 1), "train": round(run(workdir, "train"), 1)})
            print(seconds[-1], flush=True)
    report = {"machine": machine(), "seed": 0, "seconds": seconds}
    asked.out.write_text(json.dumps(report) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
