"""`metarl-rec simulate` and `calibrate` end to end: in process, with given factors, and on a live service."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from metarl_rec.checkpoint import load_checkpoint
from service.cli import app
from tests.quick_training import quick_training
from tests.service_process import ServiceProcess, free_port

QUICK = quick_training(2, 2)
# These tests are about answers, not about a machine that has other things to do.
PATIENT = {"redis_timeout_s": 5, "redis_connect_timeout_s": 5}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100", "METARL_WORKDIR": None})


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, embedding and a checkpoint of ml-100k."""
    path = tmp_path_factory.mktemp("simulate")
    for arguments in (["import", "ml-100k"], ["embed"], ["train", *QUICK]):
        result = invoke(*arguments, "--workdir", str(path))
        assert result.exit_code == 0, result.output
    return path


def report(workdir: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((workdir / "simulation" / "simulation.json").read_text())
    return found


def test_simulate_in_process_writes_the_table_the_figures_and_the_plots(workdir: Path) -> None:
    arguments = ["simulate", "--world", "sessions", "--users", "40", "--steps", "10", "--workdir", str(workdir)]
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert "adapted meta-policy" in result.output
    first = report(workdir)
    assert [row["policy"] for row in first["policies"]][-1] == "oracle"  # type: ignore[attr-defined,index]
    assert first["context"]["policy_version"] == load_checkpoint(workdir / "checkpoint").version  # type: ignore[index]
    assert (workdir / "simulation" / "simulation.png").read_bytes().startswith(b"\x89PNG")
    assert invoke(*arguments).exit_code == 0
    assert report(workdir) == first
    assert invoke(*arguments, "--seed", "1").exit_code == 0
    assert report(workdir)["rewards"] != first["rewards"]


def test_simulate_given_factors_and_what_is_wrong_with_others(workdir: Path, tmp_path: Path) -> None:
    items = len(load_checkpoint(workdir / "checkpoint").items)
    arrays = {"users": np.zeros((7, 2)), "items": np.zeros((items, 2)), "intercepts": np.full(items, 30.0)}
    np.savez(tmp_path / "given.npz", **arrays)
    common = ["simulate", "--population", "factors", "--steps", "3", "--policy", "random", "--workdir", str(workdir)]
    result = invoke(*common, "--factors", str(tmp_path / "given.npz"))
    assert result.exit_code == 0, result.output
    assert report(workdir)["rewards"] == {"random": ["111"] * 7}
    np.savez(tmp_path / "short.npz", **{**arrays, "items": np.zeros((5, 2))})
    np.savez(tmp_path / "objects.npz", users=np.array([{"a": 1}], dtype=object), items=1, intercepts=1)
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("short", "objects", "text"):
        refused = invoke(*common, "--factors", str(tmp_path / f"{name}.npz"))
        assert refused.exit_code == 2
        assert f"{name}.npz" in refused.output.replace("\n", "")
        assert "Traceback" not in refused.output


@pytest.mark.parametrize(
    ("population", "more"),
    [("latent", ["--slate-size", "2"]), ("logged", []), ("latent", ["--world", "delayed", "--set", "world.bots=0.1"])],
    ids=["slates", "logged users with attributes", "late and lost feedback"],
)
def test_simulate_live_service_agrees_with_the_process_and_leaves_nothing_behind(
    workdir: Path, tmp_path: Path, population: str, more: list[str]
) -> None:
    with ServiceProcess(workdir / "checkpoint", tmp_path / "data", **PATIENT) as service:
        result = invoke(
            "simulate", "--population", population, "--users", "60", "--steps", "12", "--policy", "meta-policy",
            "--url", f"http://127.0.0.1:{service.port}", "--workdir", str(workdir), *more,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        context = report(workdir)["context"]
        agreement = context["agreement"]  # type: ignore[index]
        # Two runs of a sampling policy; four standard errors, because this test is not to fail by chance.
        assert abs(agreement["difference"]) <= 4 * agreement["standard_error"], agreement
        assert "live service" in result.output
        text = service.client.get("/metrics").text
        asked = [line for line in text.splitlines() if line.startswith("metarl_recommendations_total{")]
        assert sum(float(line.split()[-1]) for line in asked) == (37 if population == "logged" else 60) * 12
        for row in (0, 1):
            assert service.client.get(f"/v1/users/simulated-nobody-{row}").status_code == 404
        erased = [line for line in text.splitlines() if line.startswith("metarl_user_erasures_total")]
        assert float(erased[0].split()[-1]) == (37 if population == "logged" else 60)


def test_simulate_sessions_a_fatigued_policy_is_served_as_it_was_trained(tmp_path: Path) -> None:
    sessions = [
        "train.form=session", "train.population=latent", "train.session_length=10", "inner.discount=0.9",
        "inner.fatigue=[0.1,0.2,0.1]", 'train.world={"leaving": {"hazard": 0.02, "boredom": 3, "tolerance": 0.25}}',
        "train.horizon=20", "train.validation_users=20", "train.simulated_users=16",
    ]  # fmt: skip
    trained = [word for setting in sessions for word in ("--set", setting)]
    for arguments in (["import", "ml-100k"], ["embed"], ["train", *QUICK, *trained]):
        result = invoke(*arguments, "--workdir", str(tmp_path))
        assert result.exit_code == 0, result.output
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    assert min(checkpoint.inner.fatigue) > 0.05
    assert checkpoint.topics is not None
    with ServiceProcess(tmp_path / "checkpoint", tmp_path / "data", **PATIENT) as service:
        result = invoke(
            "simulate", "--world", "sessions", "--users", "80", "--steps", "20", "--session-length", "20",
            "--policy", "meta-policy", "--url", f"http://127.0.0.1:{service.port}", "--workdir", str(tmp_path),
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = report(tmp_path)
    agreement = found["context"]["agreement"]  # type: ignore[index]
    assert abs(agreement["difference"]) <= 4 * agreement["standard_error"], agreement
    rows = {row["policy"]: row for row in found["policies"]}  # type: ignore[attr-defined]
    assert abs(rows["live service"]["presence"] - rows["adapted meta-policy"]["presence"]) < 0.1


def test_simulate_service_away_or_of_another_policy_is_one_line(workdir: Path, tmp_path: Path) -> None:
    common = ["simulate", "--users", "5", "--steps", "2", "--policy", "random", "--workdir"]
    away = invoke(*common, str(workdir), "--url", f"http://127.0.0.1:{free_port()}")
    assert away.exit_code == 2
    assert "is the service running?" in away.output.replace("\n", " ")
    for arguments in (["import", "ml-100k"], ["embed", "--seed", "1"], ["train", "--seed", "1", *QUICK]):
        assert invoke(*arguments, "--workdir", str(tmp_path / "other")).exit_code == 0
    with ServiceProcess(tmp_path / "other" / "checkpoint", tmp_path / "data") as service:
        other = invoke(*common, str(workdir), "--url", f"http://127.0.0.1:{service.port}")
    assert other.exit_code == 2
    assert "serves policy" in other.output.replace("\n", " ")


def test_calibrate_prints_verdicts_and_writes_figures(workdir: Path) -> None:
    result = invoke("calibrate", "--folds", "2", "--workdir", str(workdir))
    assert result.exit_code == 0, result.output
    found = json.loads((workdir / "calibration" / "calibration.json").read_text())
    assert set(found["conventions"]) == {"rated-only", "unrated-zero"}
    assert all(found["conventions"]["unrated-zero"]["verdicts"].values())
    assert len(found["users"]["rated-only"]["real"]) == 943
    assert (workdir / "calibration" / "calibration.png").read_bytes().startswith(b"\x89PNG")
