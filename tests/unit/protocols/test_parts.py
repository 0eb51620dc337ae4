"""Kept parts of a protocol: read again by the same code from the same settings, made anew otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metarl_rec.protocols import parts


def test_kept_reads_its_own_parts_and_not_those_of_other_settings_or_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(len(made))
        return {"made": made[-1]}

    assert parts.kept(tmp_path, "0", ["a"], make) == {"made": 0}
    assert parts.kept(tmp_path, "0", ["a"], make) == {"made": 0}
    assert parts.kept(tmp_path, "0", ["b"], make) == {"made": 1}
    monkeypatch.setattr(parts, "sources", lambda **_: "another digest")
    assert parts.kept(tmp_path, "0", ["a"], make) == {"made": 2}
