"""Kept parts of a protocol: read again by the same code from the same settings, made anew otherwise, and shared."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metarl_rec.protocols import parts

_WAIT_SECONDS = 60

# Makes two parts in a directory; nobody goes on from a part before as many have been begun as the second argument says.
_WORKER = """
import json, os, sys, time
from pathlib import Path
from metarl_rec.protocols.parts import Part, kept_parts

directory, together = Path(sys.argv[1]), int(sys.argv[2])

def make(name):
    (directory / f"begun-{name}-{os.getpid()}").touch()
    limit = time.monotonic() + 60
    while len(list(directory.glob("begun-*"))) < together:
        if time.monotonic() > limit:
            raise TimeoutError(name)
        time.sleep(0.01)
    return {"name": name}

wanted = [Part(name, name, [name], lambda name=name: make(name)) for name in ("a", "b")]
print(json.dumps(kept_parts(directory / "parts", wanted, lambda *_: None)))
"""


def _worker(directory: Path, together: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(directory), str(together)], stdout=subprocess.PIPE, text=True
    )


def _one(directory: Path, asked: list[str], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    [found] = parts.kept_parts(directory, [parts.Part("0", "part 0", asked, make)], lambda *_: None)
    return found


def test_parts_are_read_again_and_not_those_of_other_settings_or_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(len(made))
        return {"made": made[-1]}

    assert _one(tmp_path, ["a"], make) == {"made": 0}
    assert _one(tmp_path, ["a"], make) == {"made": 0}
    assert _one(tmp_path, ["b"], make) == {"made": 1}
    monkeypatch.setattr(parts, "sources", lambda **_: "another digest")
    assert _one(tmp_path, ["a"], make) == {"made": 2}
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


def test_a_part_that_failed_is_made_again(tmp_path: Path) -> None:
    def fail() -> dict[str, Any]:
        raise ArithmeticError("on purpose")

    with pytest.raises(ArithmeticError):
        _one(tmp_path, ["a"], fail)
    assert _one(tmp_path, ["a"], lambda: {"made": 1}) == {"made": 1}


def test_progress_tells_what_is_made_and_not_what_is_read(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    wanted = [parts.Part(name, f"part {name}", [name], lambda: {}) for name in ("a", "b")]
    parts.kept_parts(tmp_path, wanted[:1], lambda *_: None)
    parts.kept_parts(tmp_path, wanted, lambda *what: told.append(what))
    assert told == [("part b", 1, 2), ("report", 2, 2)]


def test_two_processes_share_the_parts_and_both_have_all(tmp_path: Path) -> None:
    workers = [_worker(tmp_path, together=2) for _ in range(2)]
    printed = [worker.communicate(timeout=2 * _WAIT_SECONDS)[0] for worker in workers]
    assert [json.loads(text) for text in printed] == [[{"name": "a"}, {"name": "b"}]] * 2
    # Nobody could have gone on alone, so each made one.
    begun = sorted(path.name.split("-")[1:] for path in tmp_path.glob("begun-*"))
    assert [name for name, _ in begun] == ["a", "b"]
    assert {int(pid) for _, pid in begun} == {worker.pid for worker in workers}


def test_what_a_killed_process_had_begun_is_made_by_another(tmp_path: Path) -> None:
    killed = _worker(tmp_path, together=100)
    limit = time.monotonic() + _WAIT_SECONDS
    while not list(tmp_path.glob("begun-*")):
        assert time.monotonic() < limit
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    other = _worker(tmp_path, together=2)
    assert json.loads(other.communicate(timeout=2 * _WAIT_SECONDS)[0]) == [{"name": "a"}, {"name": "b"}]
