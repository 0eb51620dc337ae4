"""The real service as a process of its own: `python -m service.server` with METARL_ variables, on a free port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

__all__ = ["ServiceProcess", "free_port", "reason", "start_and_fail"]

_ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """Returns a port of the loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(checkpoint_dir: Path, data_dir: Path, settings: dict[str, Any]) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("METARL_")}
    given = {"checkpoint_dir": checkpoint_dir, "data_dir": data_dir, **settings}
    return plain | {f"METARL_{key.upper()}": str(value) for key, value in given.items()}


def start_and_fail(checkpoint_dir: Path, data_dir: Path, **settings: Any) -> tuple[int, str]:
    """Returns exit code and standard error of a service that must not start."""
    done = subprocess.run(
        [sys.executable, "-m", "service.server"],
        env=_environment(checkpoint_dir, data_dir, {"port": free_port(), **settings}),
        cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def reason(stderr: str) -> str:
    """Returns the one line that is no routine log line; fails where there are more."""
    lines = [line for line in stderr.splitlines() if not (line.startswith("{") and json.loads(line)["level"] == "info")]
    assert len(lines) == 1, stderr
    return lines[0]


class ServiceProcess:
    """A service process and a client of it; both end with the `with` block.

    Args:
        checkpoint_dir: what it serves.
        data_dir: where its Redis lives.
        **settings: further settings, by their lower-case names.
    """

    def __init__(self, checkpoint_dir: Path, data_dir: Path, **settings: Any) -> None:
        self.port = free_port()
        self._data_dir = data_dir
        self._environment = _environment(checkpoint_dir, data_dir, {"port": self.port, **settings})
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data_dir.with_name(data_dir.name + ".log")
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def __enter__(self) -> ServiceProcess:
        """Starts it and waits until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops it in order, and by force where that fails."""
        self.client.close()
        if self._process is not None and self._process.poll() is None:
            self.stop()

    @property
    def pid(self) -> int:
        """The service's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def redis_pid(self) -> int:
        """Process id of its embedded Redis."""
        return int((self._data_dir / "redis" / "redis.pid").read_text())

    @property
    def socket(self) -> Path:
        """Where its embedded Redis listens."""
        return self._data_dir / "redis" / "redis.sock"

    @property
    def log(self) -> str:
        """Everything that it wrote to standard error."""
        return self._log.read_text()

    def start(self) -> None:
        """Starts the process and waits until it is ready."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "service.server"]
            self._process = subprocess.Popen(command, env=self._environment, cwd=_ROOT, stdout=log, stderr=log)
        self.wait_until(lambda: self.client.get("/readyz").status_code == 200)

    def wait_until(self, condition: Any, patience_s: float = 180.0) -> None:
        """Waits until a condition holds; a refused connection counts as not yet."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, self.log
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"waited {patience_s} s in vain\n{self.log}")

    def kill(self) -> None:
        """Ends the service as `kill -9` does; its Redis stays behind."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """Stops it and returns its exit code."""
        assert self._process is not None
        self._process.send_signal(sign)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def recommend(self, user_id: str, **fields: Any) -> httpx.Response:
        """Asks for a slate."""
        return self.client.post("/v1/recommendations", json={"user_id": user_id, **fields})

    def feedback(self, event_id: str, user_id: str, item_id: str, **fields: Any) -> httpx.Response:
        """Sends one event, a like unless told otherwise."""
        event = {"event_id": event_id, "user_id": user_id, "item_id": item_id, "type": "like", **fields}
        return self.client.post("/v1/feedback", json=event)

    def transitions(self, user_id: str) -> int:
        """Returns how many transitions are held of a user."""
        return int(self.client.get(f"/v1/users/{user_id}").json()["transitions"])

    def metric(self, sample: str) -> float:
        """Returns a sample's value by its full name with labels; 0 for one that is not there."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(sample + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0
