"""The client stands alone, the serving process does without it, and its types are what editors are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HTTPX_AND_ITS_OWN = {"httpx", "httpcore", "h11", "h2", "anyio", "sniffio", "idna", "certifi", "typing_extensions"}
# httpx has a command line of its own, and loads what that needs where it is installed.
HTTPX_COMMAND_LINE = {"click", "rich", "pygments", "markdown_it", "mdurl"}
BLOCK = """
import sys
before = set(sys.modules)
import service.client
new = {name for name in set(sys.modules) - before if name.split(".")[0] not in sys.stdlib_module_names}
print("\\n".join(sorted(new)))
"""


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_client_loads_httpx_and_nothing_else_of_the_project() -> None:
    names = run(BLOCK).split()
    assert {name.split(".")[0] for name in names} <= HTTPX_AND_ITS_OWN | HTTPX_COMMAND_LINE | {"service"}
    ours = {name for name in names if name.startswith("service")}
    assert all(name == "service" or name.startswith("service.client") for name in ours)


@pytest.mark.parametrize("module", ["service.server", "service.main", "service.commands.serve", "service.cli"])
def test_serving_process_does_not_load_the_client(module: str) -> None:
    program = f"import sys, {module}; print([name for name in ('httpx', 'service.client') if name in sys.modules])"
    assert run(program) == "[]\n"


def test_client_usage_passes_a_strict_type_check_and_mistakes_do_not(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from service.client import Client, Event\n"
        "client = Client()\n"
        "client.recommend('ada', limit=5)\n"
        "client.users.get(7)\n"
        "name: int = client.users.get('ada').user_id\n"
        "Event('lik', '50')\n"
    )
    options = ["--strict", "--no-error-summary", "--config-file", str(ROOT / "pyproject.toml")]
    out, errors, status = mypy.run([*options, str(ROOT / "tests" / "unit" / "client" / "usage.py"), str(wrong)])
    assert errors == ""
    assert status == 1
    assert [line.partition("wrong.py:")[2].partition(":")[0] for line in out.splitlines()] == ["3", "4", "5", "6"]
