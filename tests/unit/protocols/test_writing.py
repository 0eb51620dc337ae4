"""A protocol's report: the page shows every figure and nothing in it is markup, the JSON keeps the raw results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metarl_rec.protocols.result import Bar, Curve, Panel, ProtocolResult, Table, mean_and_error, measured
from metarl_rec.protocols.terminal import bars_table, shown
from metarl_rec.protocols.writing import write_report


def some_result() -> ProtocolResult:
    return ProtocolResult(
        protocol="made-up",
        title="A <b>made-up</b> protocol",
        tested=["Everybody & nobody."],
        verdict=["Ours won by 1.00 ± 0.10."],
        bars=[Bar("gain", ">= .5", "1.00", True), Bar("harm", "<= 1 %", "2 %", False, "limited by luck")],
        tables=[
            Table("Rewards", ("policy", "reward"), [("ours", "2.00"), ("theirs [x]", "1.00")], "a note", ("ours",))
        ],
        panels=[Panel("curve", "steps", "reward", [Curve("ours", [1, 2], [0.5, 1.0], [0.1, 0.1])], log_x=True)],
        raw={"rewards": [1, 2, 3]},
        context={"seed": 7},
    )


def test_write_report_page_has_every_figure_and_no_markup_from_data(tmp_path: Path) -> None:
    page = write_report(some_result(), tmp_path / "made-up", {"cores": 2}).read_text()
    for text in ("Ours won by 1.00 ± 0.10.", "Everybody &amp; nobody.", "limited by luck", "2.00", "a note"):
        assert text in page
    assert "<b>made-up" not in page
    assert "&lt;b&gt;made-up" in page
    assert page.count('class="yes"') == page.count('class="no"') == 1
    assert "data:image/png;base64," in page


def test_write_report_json_keeps_raw_results_context_and_machine(tmp_path: Path) -> None:
    write_report(some_result(), tmp_path, {"cores": 2})
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["raw"] == {"rewards": [1, 2, 3]}
    assert content["context"] == {"seed": 7}
    assert content["machine"] == {"cores": 2}
    assert [bar["reached"] for bar in content["bars"]] == [True, False]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_terminal_tables_show_brackets_as_they_are() -> None:
    console = Console(width=80, record=True, file=None, force_terminal=False)
    console.print(shown(some_result().tables[0]), bars_table(some_result().bars))
    text = console.export_text()
    assert "theirs [x]" in text
    assert "harm" in text


def test_mean_and_error_three_values_equals_hand_computed() -> None:
    mean, error = mean_and_error([1.0, 2.0, 6.0])
    assert (mean, error) == (3.0, pytest.approx(np.sqrt(7.0 / 3.0)))
    assert measured([1.0, 2.0, 6.0], sign=True) == "+3.00 ± 1.53"
