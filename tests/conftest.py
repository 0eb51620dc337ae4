"""Fixtures of the service's tests: a checkpoint on disk, and the real application with its embedded Redis."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.running_service import Running, running
from tests.service_checkpoint import write_checkpoint

# OpenMP's threads spin while they wait: beside another busy process that costs small matrices a factor of ten. Set
# before anything imports torch; the trainer's own processes share the cores by `metarl_rec.threads`.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Every test's Redis syncs each write, and a disk that still writes back what an installation left makes it wait for
# seconds. What is asked here is the answer; that files last is asked of a killed Redis, whatever they lie on.
_IN_MEMORY = Path("/dev/shm")
if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """Log handlers that a test's own service set up go with the test: their streams are closed by then."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def checkpoint_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved synthetic checkpoint; tests must not change it."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
async def app(checkpoint_dir: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Running]:
    """The application with an embedded Redis of its own."""
    async with running(checkpoint_dir, tmp_path / "service") as service:
        yield service
