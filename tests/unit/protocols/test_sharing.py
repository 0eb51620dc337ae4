"""Processes that make a protocol's parts: what they make is what one process would, and what fails is left to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import pytest

from metarl_rec import dataset_store
from metarl_rec.errors import ConfigError, DataError
from metarl_rec.protocols import sharing, signals
from metarl_rec.protocols.registry import DIVIDED, PROTOCOLS, run_protocol
from metarl_rec.workspace import Workspace
from tests.unit.synthetic import small_dataset

SMALL = [
    "splits=3",
    "slate_sizes=[5]",
    "shown=10",
    "steps=6",
    "run.min_positives=5",
    "run.min_ratings=0",
    "run.train.folds=3",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    dataset_store.save(small_dataset(), found.dataset)
    return found


def kept(workspace: Workspace) -> list[Path]:
    return sorted((workspace.evaluation / "signals" / "parts").glob("*"))


def test_make_parts_makes_all_that_one_process_makes_and_tells_how_far(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []
    assert sharing.make_parts(2, "signals", workspace, SMALL, watch=lambda *what: told.append(what)) == []
    assert [path.suffix for path in kept(workspace)] == [".json"] * 3
    assert {note for note, _, _ in told} >= {"split 0", "split 1", "split 2", "report"}
    assert told[-1] == ("report", 3, 3)
    alone = Workspace(tmp_path / "alone")
    dataset_store.save(small_dataset(), alone.dataset)
    expected = run_protocol("signals", alone, SMALL).raw

    def fail(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(signals, "_part", fail)
    found = run_protocol("signals", workspace, SMALL).raw
    assert found == expected
    assert len(found["splits"]) == 3


def test_make_parts_that_fail_are_counted_and_the_protocol_says_why(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    impossible = [*SMALL, "steps=81"]
    assert sharing.make_parts(2, "signals", workspace, impossible) == [1, 1]
    assert capfd.readouterr() == ("", "")
    with pytest.raises(DataError, match="80 items are too few for steps"):
        run_protocol("signals", workspace, impossible)


@pytest.mark.parametrize(
    ("name", "assignments", "words"),
    [
        ("mdp", [], "protocol mdp is not made of parts that processes share; leave --processes out"),
        ("signals", ["stops=3"], "^setting stops: there is none of this name; choose from "),
        ("signal", [], "protocol 'signal' is unknown; choose from: cold-start, "),
    ],
)
def test_make_parts_refuses_before_a_process_starts(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, assignments: list[str], words: str
) -> None:
    monkeypatch.delattr(sharing, "get_context")
    with pytest.raises(ConfigError, match=words):
        sharing.make_parts(2, name, workspace, assignments)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_divided_protocols_are_those_that_keep_parts(name: str) -> None:
    keeps = {"kept_parts", "kept_splits"} & vars(import_module(PROTOCOLS[name])).keys()
    assert bool(keeps) == (name in DIVIDED)


def test_threads_are_set_for_who_starts_meanwhile_and_a_users_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with sharing._threads(3):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"]) == ("7", "3")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_a_worker_whose_parent_has_gone_makes_nothing_more(workspace: Workspace) -> None:
    reader, sender = get_context("spawn").Pipe(duplex=False)
    with reader, sender:
        sharing._work(sender, -1, "signals", workspace, SMALL, None)
        assert not reader.poll()
    assert [path.suffix for path in kept(workspace)] == [".lock"]


def test_a_killed_worker_is_counted_and_the_others_go_on(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    killed: list[int] = []

    def kill_one(*_: object) -> None:
        if not killed:
            victim = multiprocessing.active_children()[0]
            assert victim.pid is not None
            victim.kill()
            killed.append(victim.pid)

    assert sharing.make_parts(2, "signals", workspace, SMALL, watch=kill_one) == [-signal.SIGKILL]
    assert sum(path.suffix == ".json" for path in kept(workspace)) == 3
    assert capfd.readouterr() == ("", "")
