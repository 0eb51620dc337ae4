"""The command line end to end: every stage as a verb, caching, errors in one line, and a served quickstart."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from metarl_rec.checkpoint import load_checkpoint
from metarl_rec.choosing import choices_of
from metarl_rec.config import RunConfig
from service.cli import app
from tests.quick_training import quick_training

QUICK = quick_training(4, 2)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100", "METARL_WORKDIR": None})


def test_stages_one_by_one_make_a_checkpoint_and_a_report(tmp_path: Path) -> None:
    workdir = ["--workdir", str(tmp_path)]
    for arguments in (["import", "ml-100k"], ["embed"], ["train", "--algorithm", "reptile", *QUICK]):
        result = invoke(*arguments, *workdir)
        assert result.exit_code == 0, result.output
    assert "943 users, 1,682 items, 100,000 ratings" in invoke("import", "ml-100k", *workdir).output
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    assert checkpoint.lineage["config"]["train"]["algorithm"] == "reptile"
    assert checkpoint.lineage["users"] == {"train": 314, "validation": 19, "test": 37}
    result = invoke("evaluate", *workdir)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    hits = {row["policy"]: row["hits"] for row in report["policies"]}
    assert hits["adapted meta-policy"]["40"] > hits["meta-policy"]["40"] > hits["random"]["40"]
    assert report["context"]["policy_version"] == checkpoint.version
    assert (tmp_path / "evaluation" / "curve.png").read_bytes().startswith(b"\x89PNG")
    inspected = invoke("inspect", *workdir)
    assert checkpoint.version in inspected.output
    again = invoke("train", "--algorithm", "reptile", "--resume", *QUICK, *workdir)
    assert again.exit_code == 0, again.output
    assert load_checkpoint(tmp_path / "checkpoint").version == checkpoint.version


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["embed"], "run `metarl-rec import` first"),
        (["evaluate"], "manifest.json"),
        (["inspect"], "manifest.json"),
        (["serve"], "manifest.json"),
        (["train", "--set", "train.iterations=many"], "train.iterations"),
        (["evaluate", "--seed", "1"], "--protocol"),
        (["evaluate", "--processes", "2"], "--processes need --protocol"),
        (["evaluate", "--protocol", "mdp", "--processes", "2"], "leave --processes out"),
        (["evaluate", "--protocol", "signals", "--processes", "2"], "2 of 2 processes failed (exit code 1, 1)"),
        (["evaluate", "--protocol", "signals", "--processes", "2"], "run `metarl-rec import` first"),
        (["import", "missing.csv"], "missing.csv"),
        (["train", "--config", "missing.toml"], "missing.toml"),
        (["train", "--set", "train.world.drift.rate=2"], "drift.rate is 2"),
        (["train", "--set", "train.world.drift.rate=0.1"], "set train.population=latent"),
        (["train", "--set", "train.world.leaving.hazard=0.1"], "set train.form=session"),
        (["simulate"], "manifest.json"),
        (["simulate", "--users", "0"], "setting users"),
        (["simulate", "--set", "world.leaving.hazard=2"], "leaving.hazard is 2; give a number from 0 to 1"),
        (["simulate", "--set", "world.satiation.strenth=2"], "world.satiation.strenth"),
        (["simulate", "--factors", "missing.npz"], "missing.npz"),
        (["calibrate"], "run `metarl-rec import` first"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = invoke(*arguments, "--workdir", str(tmp_path))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert words in result.output.replace("\n", "")


def test_embedding_model_unknown_or_without_embeddings_names_those_that_work(tmp_path: Path) -> None:
    invoke("import", "ml-100k", "--workdir", str(tmp_path))
    for name in ("EASE", "Nonsense"):
        result = invoke("embed", "--embedding-model", name, "--workdir", str(tmp_path))
        assert result.exit_code == 2
        assert "LightGCN" in result.output.replace("\n", "")


def test_help_of_every_verb_teaches() -> None:
    for verb in ("quickstart", "import", "embed", "train", "evaluate", "simulate", "calibrate", "serve", "inspect"):
        assert verb in invoke("--help").output
        assert len(invoke(verb, "--help").output.splitlines()) > 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served_quickstart(workdir: Path, port: int) -> tuple[subprocess.Popen[str], list[str]]:
    """Starts quickstart and returns it with its output once it says that it is ready."""
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "quickstart",
        "--port",
        str(port),
        "--workdir",
        str(workdir),
        *QUICK,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METARL_")}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if '"explain"' in line:
            return process, lines
    process.communicate()
    raise AssertionError(f"quickstart ended with {process.returncode}: {''.join(lines)}")


def stop(process: subprocess.Popen[str]) -> None:
    """Ends it as Ctrl+C does; it must end in order."""
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_quickstart_serves_prints_three_commands_and_uses_its_cache(tmp_path: Path) -> None:
    port = free_port()
    process, lines = served_quickstart(tmp_path, port)
    try:
        assert any("stages 1-5 took" in line for line in lines)
        config = RunConfig.model_validate(load_checkpoint(tmp_path / "checkpoint").lineage["config"], strict=False)
        chosen = ", ".join(f"{name} {value}" for name, value in choices_of(config).items())
        assert any(f"chosen within the split: {chosen}" in line for line in lines), lines
        commands = [line for line in lines if line.startswith("curl ")]
        assert len(commands) == 3
        answers = []
        for command in commands:
            words = shlex.split(command)
            assert words[2].startswith(f"http://127.0.0.1:{port}/")
            answer = httpx.post(
                words[2], content=words[words.index("-d") + 1], headers={"content-type": "application/json"}
            )
            answers.append(answer.raise_for_status().json())
        assert answers[0]["user"]["status"] == "cold"
        assert answers[1]["applied"] == 3
        assert answers[2]["user"] == {**answers[2]["user"], "status": "adapted", "transitions": 3}
        assert {item["item_id"] for item in answers[2]["items"]}.isdisjoint({"50", "172", "181"})
        assert all(item["reasons"] for item in answers[2]["items"])
    finally:
        stop(process)
    process, lines = served_quickstart(tmp_path, port)
    try:
        assert any("using the artifacts" in line for line in lines)
        assert not any(re.search("stages 1-5", line) for line in lines)
    finally:
        stop(process)


def test_train_chooses_what_is_left_open_and_the_same_again_when_it_goes_on(tmp_path: Path) -> None:
    workdir = ["--workdir", str(tmp_path)]
    for arguments in (["import", "ml-100k"], ["embed"]):
        assert invoke(*arguments, *workdir).exit_code == 0
    given = ["prior.item_attribute_scale=0.1", "prior.shrinkage=0.25", "prior.attribute_gain=1.1"]
    options = ["--choose", *QUICK, *(part for each in given for part in ("--set", each)), *workdir]
    first = invoke("train", *options)
    assert first.exit_code == 0, first.output
    assert "item_attribute_scale 0.1, shrinkage 0.25, attribute_gain 1.1, noises" in first.output
    version = load_checkpoint(tmp_path / "checkpoint").version
    again = invoke("train", "--resume", *options)
    assert again.exit_code == 0, again.output
    assert load_checkpoint(tmp_path / "checkpoint").version == version


def test_train_interrupted_says_how_to_go_on_and_resumes(tmp_path: Path) -> None:
    workdir = ["--workdir", str(tmp_path)]
    for arguments in (["import", "ml-100k"], ["embed"]):
        assert invoke(*arguments, *workdir).exit_code == 0
    many = quick_training(2000, 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "train", *many, *workdir],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    state = tmp_path / "training" / "trainer.json"
    for _ in range(1200):
        if state.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().startswith("stopped; `metarl-rec train --resume`")
    assert 1 <= json.loads(state.read_text())["iteration"] < 2000
