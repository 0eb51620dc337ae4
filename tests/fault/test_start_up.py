"""What must not start ends with exit code 1 and one line that says why; it is never ready."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.service_process import reason, start_and_fail


def flip_bit(directory: Path) -> None:
    path = directory / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(bytes(content))


def plant_nan(directory: Path) -> None:
    """Writes a NaN and makes every digest agree with it, as a broken trainer would."""
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors["features"][3, 2] = np.nan
    save_file(tensors, path)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["model.safetensors"] = hashlib.sha256(path.read_bytes()).hexdigest()
    content = {key: value for key, value in manifest.items() if key != "version"}
    manifest["version"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    (directory / "manifest.json").write_text(json.dumps(manifest))


def remove_file(directory: Path) -> None:
    (directory / "items.jsonl").unlink()


@pytest.mark.parametrize(
    ("damage", "named"),
    [(flip_bit, "model.safetensors: sha256"), (plant_nan, "tensor features"), (remove_file, "items.jsonl")],
)
def test_damaged_checkpoint_ends_the_start_with_one_line(
    checkpoint_dir: Path, tmp_path: Path, damage: object, named: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint_dir, broken)
    damage(broken)  # type: ignore[operator]
    code, stderr = start_and_fail(broken, tmp_path / "service")
    assert code == 1
    assert reason(stderr).startswith("error: ")
    assert named in reason(stderr)
    # Nothing was started for it.
    assert not (tmp_path / "service" / "redis" / "redis.pid").exists()


def test_port_in_use_ends_the_start_with_one_line(checkpoint_dir: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, stderr = start_and_fail(checkpoint_dir, tmp_path / "service", port=port)
    assert code == 1
    assert f"port {port}" in reason(stderr)


def test_quickstart_on_a_port_in_use_ends_before_anything_slow(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "service.cli", "quickstart", "--workdir", str(tmp_path / "w"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"port {port}" in reason(done.stderr)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"buffer_size": 0}, "METARL_BUFFER_SIZE"),
        ({"bufer_size": 8}, "METARL_BUFER_SIZE"),
        ({"redis_url": "http://x"}, "METARL_REDIS_URL"),
    ],
)
def test_bad_setting_ends_the_start_with_one_line(
    checkpoint_dir: Path, tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    code, stderr = start_and_fail(checkpoint_dir, tmp_path / "service", **settings)
    assert code == 1
    assert named in reason(stderr)


def test_serve_verb_ends_with_2_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service.cli", "serve", "--workdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert reason(done.stderr).startswith("error: ")
    assert "manifest.json" in done.stderr
