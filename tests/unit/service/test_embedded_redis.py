"""The embedded Redis: real server processes, their files, what a killed service leaves behind, and the lock."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from metarl_rec.errors import ConfigError
from service.embedded_redis import DataDirectoryLock, EmbeddedRedis

pytestmark = pytest.mark.anyio


async def ask(server: EmbeddedRedis, *command: str) -> object:
    async with Redis.from_url(server.url) as client:
        return await client.execute_command(*command)


async def gone(pid: int) -> bool:
    """Returns whether a process has ended; a zombie has."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_start_answers_on_a_private_socket_with_every_write_synced(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    await server.start()
    try:
        assert await ask(server, "PING") in (True, b"PONG")
        async with Redis.from_url(server.url) as client:
            names = ("appendonly", "appendfsync", "maxmemory-policy", "port", "dir")
            settings = {name: (await client.config_get(name))[name] for name in names}
            assert (await client.info("server"))["process_id"] == server.pid
        assert settings == {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "port": "0",
            "dir": str(tmp_path / "redis"),
        }
        assert server.socket.stat().st_mode & 0o077 == 0
    finally:
        await server.stop()
    assert server.pid is None


async def test_second_start_has_the_data_of_the_first(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        server = EmbeddedRedis(tmp_path)
        await server.start()
        assert await ask(server, "GET", "key") == expected
        await ask(server, "SET", "key", "1")
        await server.stop()


async def test_killed_server_comes_back_with_what_it_acknowledged(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    await server.start()
    try:
        await ask(server, "SET", "key", "1")
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        for _ in range(500):
            await asyncio.sleep(0.02)
            if server.pid not in (None, first) and await server._answers():
                break
        assert server.pid not in (None, first)
        assert await ask(server, "GET", "key") == b"1"
    finally:
        await server.stop()


async def test_start_stops_a_server_that_a_killed_service_left_behind(tmp_path: Path) -> None:
    left = EmbeddedRedis(tmp_path)
    await left.start()
    await ask(left, "SET", "key", "1")
    pid = left.pid
    assert pid is not None
    # What kill -9 of the service does: nobody watches or stops the server any more.
    assert left._watcher is not None
    left._watcher.cancel()
    server = EmbeddedRedis(tmp_path)
    await server.start()
    try:
        assert await gone(pid)
        assert server.pid != pid
        assert await ask(server, "GET", "key") == b"1"
    finally:
        await server.stop()
        await left.stop()


async def test_start_leaves_a_foreign_process_with_the_recorded_pid_alone(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    other = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "redis" / "redis.pid").write_text(f"{other.pid}\n")
    server = EmbeddedRedis(tmp_path)
    try:
        await server.start()
        assert other.returncode is None
        await ask(server, "PING")
    finally:
        await server.stop()
        other.kill()
        await other.wait()


async def test_long_directory_gets_a_short_socket_of_its_own(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    server = EmbeddedRedis(deep)
    assert len(os.fsencode(server.socket)) <= 100
    assert EmbeddedRedis(deep).socket == server.socket
    assert EmbeddedRedis(tmp_path / ("e" * 120)).socket.parent != server.socket.parent
    await server.start()
    try:
        await ask(server, "SET", "key", "1")
        assert (deep / "redis" / "appendonly.aof").stat().st_size > 0
    finally:
        await server.stop()
        for directory in (server.socket.parent, EmbeddedRedis(tmp_path / ("e" * 120)).socket.parent):
            directory.rmdir()


@pytest.mark.parametrize("name", ["my data", 'a "quoted" name', "back\\slash", "Überall 🎬", "{socket}"])
async def test_directory_with_an_odd_name_works(tmp_path: Path, name: str) -> None:
    server = EmbeddedRedis(tmp_path / name)
    await server.start()
    try:
        await ask(server, "SET", "key", "1")
        assert (tmp_path / name / "redis" / "appendonly.aof").stat().st_size > 0
    finally:
        await server.stop()


async def test_start_with_damaged_files_names_the_log(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"this is no append-only file\r\n" * 9)
    server = EmbeddedRedis(tmp_path)
    with pytest.raises(ConfigError, match=r"did not start.*redis\.log"):
        await server.start()
    assert server.pid is None


def test_lock_refuses_a_second_service_and_names_its_pid(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    with pytest.raises(ConfigError, match=rf"in use by the service with pid {os.getpid()}"):
        DataDirectoryLock(tmp_path)
    lock.release()
    DataDirectoryLock(tmp_path).release()
